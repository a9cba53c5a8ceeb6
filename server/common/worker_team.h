/* worker_team.h - the threads behind core/team.h: persistent, awake while there is work, asleep soon after.
 *
 * A member that has nothing to do watches for the next phase for some tens of microseconds (the phases of a step follow one another
 * faster than that), then sleeps until it is woken. run() never waits for a sleeper: each part is claimed by whoever comes first, by
 * preference the member of that number, so that a member meets the same memory again; and the caller, when its own part is
 * done, takes every part that nobody has begun. All it ever waits for is a part that another thread is computing; and where such
 * a thread is found to have lost its processor, the caller works alone for a while. So a team on a busy machine is
 * not much slower than its caller alone.
 *
 * Errors: only while it is made. Threads: one thread calls run() at a time; a team serves one workspace at a time.
 */
#ifndef CONVD_SERVER_COMMON_WORKER_TEAM_H
#define CONVD_SERVER_COMMON_WORKER_TEAM_H

#include "core/err.h"
#include "core/net.h"
#include "core/team.h"

#define TEAM_MEMBERS_MAX 64u

/* team_create - n members, 2..TEAM_MEMBERS_MAX: the caller of run() and n - 1 threads, which block all signals.
 * Errors: ERR_MEMORY (threads too). Owns: the caller; team_free() (NULL is fine) ends the threads; nothing may be running. */
struct team *team_create(unsigned n, struct err *err);
void team_free(struct team *team);

/* team_create_for - the team that a model of that shape deserves, or NULL in *out where it is better off alone: where no phase of a
 * step reaches TEAM_LEAST, or there is one processor. wanted: --train-threads; 0: as many as processors that this process may use.
 * Errors: as team_create(). */
int team_create_for(struct team **out, const struct shape *shape, uint32_t n_2, unsigned wanted, struct err *err);

#endif
