/* rebuild.h - edits of the past, worked in between the trainer's rounds, in chunks; one short transaction among them has the model change.
 *
 *     rebuild_accept()      accepts: looks the samples up, refuses what cannot be, makes it durable; begins, or joins what is begun
 *     rebuild_chunk()    some milliseconds: replays the edited log; writes down what is edited; takes over; and empties what was
 *                        forgotten, until nothing of it is in the file
 *
 * Edits that come while one is at work join it: where the replay has not come to their first sample yet, it just goes on; else
 * it begins again before that; those that come after it took over are begun when it is through. Meanwhile the model learns on, from a log that grows; the replay follows to its end.
 *
 * What was accepted is on the disk (tables edit_pending, class_pending) before anybody is told so, and stays there until the
 * transaction that takes over. So no failure drops it:
 *
 *     no room, no memory                       it begins anew after 1, 2, 4, .. 60 s, until it is done
 *     a pinned snapshot that must not go       likewise: when it was let go, it is done
 *     a sync that failed                       given up until the next start
 *     a damaged log, or what looks like one    tried four times, since to SQLite a read that fails is damage, too; then given up
 *                                              until the next start, or until somebody asks for it again
 *     a crash, a stop                          the next start takes it up: rebuild_resume()
 *
 * Only what has become impossible is dropped, and told: the model went back to before a sample that was to be relabelled, or a class
 * that was to be removed got another meaning. Then there is nothing to be done, and the client may request for something else.
 *
 * One thread, the trainer's. store/replay/edits.h has the meaning of it all.
 */
#ifndef CONVD_SERVER_TRAINER_REBUILD_H
#define CONVD_SERVER_TRAINER_REBUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/replay/edits.h"
#include "store/replay/replayer.h"

#define REBUILD_IDS_MAX 10000u /* samples of one request: each is looked up, 5 us, while others wait */

/* What is asked for. */
struct edit_request {
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
    bool unread;                     /* there may be some on the disk that are not in `edits`       */
    bool given_up;                   /* until somebody asks again                                   */
    bool sweep;                      /* there may be something in the file that was forgotten, or not made */
    struct edits_look *look;         /* at work on `edits`, or NULL                                 */
    bool looked;                     /* they were all looked at, when the store counted             */
    uint64_t class_changes;          /* so many class changes                                       */
    struct store_replayer *replayer; /* NULL: nothing is at work                                    */
    unsigned failures;               /* in a row                                                    */
    uint64_t again_us;               /* when it begins anew: monotonic                              */
    unsigned retry_ms;               /* after the first failure; twice as long after each more      */
    struct team *team;               /* of `work`; lent to the replay                               */
    size_t team_least;
};

#define REBUILD_RETRY_MS     1000u
#define REBUILD_RETRY_MAX_MS 60000u
#define REBUILD_DAMAGED_MAX  3u /* failures in a row, after which damage is believed */

/* What has become of it. */
enum rebuild_state {
    REBUILD_DONE,     /* nothing is accepted that is not in the log, and nothing forgotten that is in the file */
    REBUILD_MORE,     /* at work                                                                 */
    REBUILD_MADE,     /* likewise, but the model is another from now on                          */
    REBUILD_FAILED,   /* err says why; it begins anew when rebuild_wait_us() is over             */
    REBUILD_GIVEN_UP, /* err says why; it stays accepted, for the next start                     */
    REBUILD_VOID,     /* err says why it has become impossible; it was dropped                   */
};

/* What was done, when it is. */
struct rebuild_made {
    size_t forgotten, relabelled;      /* samples                                             */
    bool removes;                      /* a class was removed                                 */
    char removed[LABEL_BYTES_MAX + 1]; /* its label; "": the live model had it no more        */
    char into[LABEL_BYTES_MAX + 1];    /* that of the class that got its samples; "": none, or likewise */
};

/* rebuild_pending - something is accepted and not in the log, or may be. rebuild_active - that, or something is still to be emptied, and it
 * was not given up. */
bool rebuild_pending(const struct rebuild *rebuild);
bool rebuild_active(const struct rebuild *rebuild);

/* rebuild_wait_us - until the next chunk is due: 0, now; UINT64_MAX, never. */
uint64_t rebuild_wait_us(const struct rebuild *rebuild);

/* rebuild_accept - *changed: how many samples are edited by it, or are being edited so already; 0: all are as they are asked to be,
 * and nothing is begun.
 * `work`: the live state. Errors, nothing being accepted, and what was accepted before going on as it did: ERR_NOT_FOUND, ERR_GONE,
 * ERR_LABEL_UNKNOWN, ERR_CONFLICT (pinned snapshots; samples that were left behind; a class is removed while nothing else is at
 * work), those of the store. After a sync that failed, it may be found accepted at the next start. */
int rebuild_accept(struct rebuild *rebuild, struct store *store, const struct learner *work,
                   const struct edit_request *request, size_t *changed, struct err *err);

/* rebuild_wanted - the edits that are asked for, where nothing is accepted and not made: checked as by rebuild_accept(), and nothing is begun; *edits
 * is the caller's, edits_fini(), also after failure. rebuild_sweep - an edit was made elsewhere: what it has left to be deleted is the next chunk's. */
int rebuild_wanted(struct edits *edits, size_t *changed, struct store *store, const struct learner *work,
                   const struct edit_request *request, struct err *err);
void rebuild_sweep(struct rebuild *rebuild);

/* rebuild_resume - begins what was accepted by an earlier process. Relabels that became impossible since are left out, and the log says so. */
enum rebuild_state rebuild_resume(struct rebuild *rebuild, struct store *store, const struct learner *work,
                                  struct err *err);

/* rebuild_again - the model went back: with its next chunk it begins anew, on the lineage that is live then; relabels as above. */
void rebuild_again(struct rebuild *rebuild);

/* rebuild_chunk - of what is due: as much as so many microseconds of processor time hold, and a sample at least. REBUILD_MADE: taken
 * over: *state (to be freed) is the model now, *snapshot was taken of it, *made is what was done. In all other cases the model is what it was. REBUILD_DONE:
 * the caller empties the WAL. */
enum rebuild_state rebuild_chunk(struct rebuild *rebuild, struct store *store, const struct learner *work, uint64_t us,
                                 struct learner **state, struct store_snapshot *snapshot, struct rebuild_made *made,
                                 struct err *err);

/* rebuild_progress - 0 of 0 while it waits. */
void rebuild_progress(struct rebuild *rebuild, uint64_t *done, uint64_t *total);

/* rebuild_drop - what was accepted is not wanted any more. Errors: the store's; it goes on then. rebuild_halt - it ends, and stays
 * on the disk, for rebuild_resume(). rebuild_fini - the same, and all is freed. */
int rebuild_drop(struct rebuild *rebuild, struct store *store, struct err *err);
void rebuild_halt(struct rebuild *rebuild);
void rebuild_fini(struct rebuild *rebuild);

#endif
