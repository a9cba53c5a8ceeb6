/* signals.c - see daemon/signals.h */
#include "server/daemon/signals.h"

#include <stddef.h>
#include <time.h>

static void stop_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
}

/* Those that do not stop it. */
static void other_signals(sigset_t *set)
{
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGUSR1);
    sigaddset(set, SIGUSR2);
}

/* What came after the last look would end a daemon that has stopped well, as soon as it is let through. To ignore a signal
 * takes back one that waits. */
static void forget_late_signals(void)
{
    static const int ours[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        void (*before)(int) = signal(ours[i], SIG_IGN);
        (void)signal(ours[i], before);
    }
}

void signals_block(sigset_t *before)
{
    sigset_t set;
    stop_signals(&set);
    other_signals(&set);
    (void)pthread_sigmask(SIG_BLOCK, &set, before);
    (void)signal(SIGPIPE, SIG_IGN);
}

void signals_restore(const sigset_t *before)
{
    forget_late_signals();
    (void)pthread_sigmask(SIG_SETMASK, before, NULL);
}

int signals_wait(int milliseconds, bool others)
{
    sigset_t set;
    stop_signals(&set);
    if (others)
        other_signals(&set);
    struct timespec time = {.tv_sec = milliseconds / 1000, .tv_nsec = (milliseconds % 1000) * 1000000L};
    int signal = sigtimedwait(&set, NULL, &time);
    return signal > 0 ? signal : 0;
}

bool signals_stop_came(void)
{
    return signals_wait(0, false) != 0;
}
