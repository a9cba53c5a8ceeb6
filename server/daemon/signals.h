/* signals.h - the daemon's signals, which come when its main thread asks for them and at no other time.
 *
 *   SIGTERM, SIGINT             stop
 *   SIGHUP, SIGUSR1, SIGUSR2    the tokens again; more is logged; as much as before
 *
 * They are blocked in every thread, and the main thread takes them one by one: no handler runs, so nothing is to be kept safe from one.
 */
#ifndef CONVD_SERVER_DAEMON_SIGNALS_H
#define CONVD_SERVER_DAEMON_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

/* signals_block - before any thread is started; SIGPIPE is ignored from here on. signals_restore - the mask of before; those that are
 * still to be taken are dropped. */
void signals_block(sigset_t *before);
void signals_restore(const sigset_t *before);

/* signals_wait - takes one that comes within that time; 0: none did. others: not only those that stop. */
int signals_wait(int milliseconds, bool others);

/* signals_stop_came - whether one came that stops; takes it. */
bool signals_stop_came(void);

#endif
