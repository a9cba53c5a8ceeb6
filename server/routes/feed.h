/* feed.h - what happens to the model, told while it happens: GET /events, server-sent events.
 *
 *   train     {"revision","step","samples","correct","loss"}   samples learned, how many were predicted right, their mean loss
 *   class     {"revision","action":"add"|"rename","index","label"}
 *   tune      {"revision","settings":{..}}
 *   snapshot  {"id","revision","step","reason"}
 *   update    {"id","revision","pinned","note"}                a snapshot was pinned, unpinned, or got another note
 *   activate  {"revision","target","step"}
 *   edit      {"revision","step","forgotten","relabelled","class","into"}   the past was edited, and the model is another: how many
 *             samples; class: the label of one that was removed, into: of that which got its samples; null: none. Snapshots that
 *             saw the samples are gone
 *   baseline  {"revision","baseline"}                          samples up to revision `baseline` are no longer kept (--keep-samples)
 *   job       as GET /jobs/{id}
 *   drift     {"revision","sample","alarms"}
 *   warning   {"revision","sample","code","text"}              a warning was raised; text null: was cleared
 *   lost      {"missed": n, or null where nobody knows}        to a reader that has missed some
 *
 * An event is told after it is durable and published. A busy trainer's train events are merged: the first at once, then at
 * most one in EVENTS_TRAIN_MS; likewise the progress of a job. So telling costs a round of the trainer some 50 ns.
 *
 * The last EVENTS_KEPT are kept in one ring, which all readers read at their own pace: a slow reader costs no memory. One that falls
 * out of the ring is told that it has lost some, and goes on with the oldest there is. Each event has an id, "<start of the
 * process>-<number>"; who comes back with Last-Event-ID goes on behind it. Readers are bounded in number, get a comment
 * every EVENTS_BEAT_MS, and end when the daemon stops.
 *
 * Any thread may call anything. One lock, held for copies and for waking readers.
 */
#ifndef CONVD_SERVER_ROUTES_FEED_H
#define CONVD_SERVER_ROUTES_FEED_H

#include <stdint.h>

#include "server/http/http.h"
#include "server/trainer/jobs.h"
#include "server/trainer/trainer.h"

#define EVENTS_KEPT     1024u
#define EVENTS_TRAIN_MS 50
#define EVENTS_JOB_MS   200
#define EVENTS_BEAT_MS  15000

struct events;

/* events_create - for at most so many readers, 0: none. NULL: out of memory. events_free() - when nobody tells or reads any more. */
struct events *events_create(unsigned readers, struct err *err);
void events_free(struct events *events); /* NULL is fine */

/* events_notify, events_job - what happened: trainer_config.notify, and jobs_listen(). context: the struct events. */
void events_notify(void *context, const struct notice *notice);
void events_job(void *context, const struct job_status *job);

/* events_open - a reader, for response.stream. last_id: Last-Event-ID, or NULL: from now on. seconds: how long it reads, 0: what
 * there is; EVENTS_FOREVER. Errors: ERR_BUSY (too many readers), ERR_MEMORY. */
#define EVENTS_FOREVER UINT64_MAX
int events_open(struct http_stream **out, struct events *events, const char *last_id, uint64_t seconds,
                struct err *err);

/* events_tick - tells what was held back; wakes readers for whom it is time. Some times a second. */
void events_tick(struct events *events, int64_t now_ms);

struct events_counts {
    uint64_t readers, sent, refused, lost; /* now; events; readers; events that readers missed */
};
struct events_counts events_counts(struct events *events);

#endif
