/* rebuild.h - edits of the past, worked in between the trainer's rounds: a replay in chunks, and its end in one transaction.
 *
 *     rebuild_ask()      accepts: looks the samples up, refuses what cannot be, makes it durable; begins, or joins what is begun
 *     rebuild_chunk()    replays some milliseconds of the edited log; the last one takes over
 *
 * Edits that come while one is at work join it: where the replay has not come to their first sample yet, it just goes on; else
 * it begins again before that. What was accepted is on the disk (table edit_pending), so after a crash or a stop it is begun
 * again: rebuild_resume(). Meanwhile the model learns on, from a log that grows; the replay follows to its end.
 *
 * One thread, the trainer's. store/edits.h has the meaning of it all.
 */
#ifndef CONVD_SERVER_REBUILD_H
#define CONVD_SERVER_REBUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/edits.h"
#include "store/replayer.h"

#define REBUILD_IDS_MAX 10000u /* samples of one request: each is looked up, 5 us, while others wait */

/* What is asked for. */
struct edit_ask {
    int64_t *ids; /* [n], any order; borrowed                                    */
    size_t n;
    bool many; /* as a list in the body: errors point into it                 */
    bool forget;
    char label[LABEL_BYTES_MAX + 1]; /* of the class that they get, where they are not forgotten    */
    bool removes;                    /* instead of ids: all of class `from`, which is no more then  */
    char from[LABEL_BYTES_MAX + 1];
    bool drop_pinned; /* pinned snapshots that saw them may go                       */
};

struct rebuild {
    struct edits edits;              /* accepted, not in the log yet                                */
    struct store_replayer *replayer; /* NULL: nothing is at work                                    */
    struct team *team;               /* of `work`; lent to the replay                               */
    size_t team_least;
};

bool rebuild_active(const struct rebuild *rebuild);

/* rebuild_ask - *changed: how many samples are edited by it, or are being edited so already; 0: all are as they are asked to be,
 * and nothing is begun.
 * `work`: the live state. Errors, nothing being accepted: ERR_NOT_FOUND, ERR_GONE, ERR_LABEL_UNKNOWN, ERR_CONFLICT (pinned snapshots;
 * samples that were left behind; a class is removed while nothing else is at work), those of the store. */
int rebuild_ask(struct rebuild *rebuild, struct store *store, const struct learner *work, const struct edit_ask *ask,
                size_t *changed, struct err *err);

/* rebuild_resume - what was accepted by an earlier process. Relabels that became impossible since are left out, and the log says so. Errors:
 * the store's. */
int rebuild_resume(struct rebuild *rebuild, struct store *store, const struct learner *work, struct err *err);

/* rebuild_again - the model went back: the replay begins anew, on the line that is live now; relabels as above. Errors: the store's. */
int rebuild_again(struct rebuild *rebuild, struct store *store, const struct learner *work, struct err *err);

/* rebuild_chunk - as much as so many microseconds hold, and a sample at least. 1: there is more; 0: taken over: *state (to be freed) is
 * the model now (NULL: it is what it was), *snapshot was taken of it, and there is nothing at work; -1: it cannot be done, and nothing has changed. */
int rebuild_chunk(struct rebuild *rebuild, struct store *store, const struct learner *work, uint64_t us,
                  struct learner **state, struct store_snapshot *snapshot, struct err *err);

/* rebuild_removes - whether what is at work takes a class away: columns of the model move then. */
bool rebuild_removes(const struct rebuild *rebuild);

void rebuild_progress(struct rebuild *rebuild, uint64_t *done, uint64_t *total);

/* rebuild_drop - what was accepted is not wanted any more. rebuild_fini - it stays on the disk, for rebuild_resume(). */
int rebuild_drop(struct rebuild *rebuild, struct store *store, struct err *err);
void rebuild_fini(struct rebuild *rebuild);

#endif
