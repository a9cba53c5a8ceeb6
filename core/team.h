/* team.h - several threads that share one piece of work, as core/ sees them: an interface, since core/ has no threads.
 *
 * server/common/worker_team.h has the threads. A workspace that was given a team (net.h: workspace_share) cuts the large phases of a pass
 * into parts by what they write: positions of the convolution, chains of sums and rows of w01, kernels. No sum is
 * ever cut, so every number has the bits that it has alone, whatever n is and whichever thread computes which part.
 */
#ifndef CONVD_CORE_TEAM_H
#define CONVD_CORE_TEAM_H

struct team {
    unsigned n; /* parts that work is cut into: the members, the caller of run() one of them; at least 1 */

    /* Calls task(context, part, n) once for each part 0..n-1, on whatever threads, in any order, side by side or not; returns when all
     * have returned, with all their writes visible. One caller at a time. Cannot fail. */
    void (*run)(struct team *team, void (*task)(void *context, unsigned part, unsigned n), void *context);
};

#endif
