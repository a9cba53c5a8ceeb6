/* feed.c - see routes/feed.h. The ring and its readers; the words are at the end. */
#include "server/routes/feed.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/clock.h"
#include "server/model/json_parts.h"
#include "server/routes/handlers.h"

#define FILL_BYTES 8192u /* a reader takes as many events at a time as begin within so much */
#define WAIT_MS    2000  /* after which a client that was cut off comes back                */

struct reader {
    struct http_stream stream; /* first: it is the reader */
    struct events *events;
    struct reader *previous, *next;
    uint64_t at;      /* number of the event that comes next                              */
    bool missed;      /* it comes back from another process, or with an id that is none   */
    bool beat;        /* it is time for a comment                                         */
    int64_t last_ms;  /* when it was last given something                                 */
    int64_t until_ms; /* then it ends                                                     */
    struct text out;  /* what it is being given: whole events, however they are cut up    */
    size_t sent;
};

struct events {
    unsigned readers_max;
    int64_t start_us;
    pthread_mutex_t lock;    /* guards all that follows */
    uint64_t n;              /* told so far: the next gets this number, from 1 */
    char *ring[EVENTS_KEPT]; /* number % EVENTS_KEPT; NULL: there was no memory for it */
    struct reader *readers;
    struct events_counts counts;
    struct notice train; /* held back: samples of several groups; samples = 0: none */
    int64_t train_ms;    /* when the last was told                                  */
    struct held_job {
        struct job_status status;
        bool held;
        int64_t sent_ms;
    } jobs[2]; /* as many as may run at once */
};

struct events *events_create(unsigned readers, struct err *err)
{
    struct events *events = calloc(1, sizeof *events);
    if (events == NULL) {
        err_memory(err, "events");
        return NULL;
    }
    events->readers_max = readers;
    events->start_us = store_now_us();
    events->n = 1;
    events->train_ms = events->jobs[0].sent_ms = events->jobs[1].sent_ms = -EVENTS_BEAT_MS;
    (void)pthread_mutex_init(&events->lock, NULL);
    return events;
}

void events_free(struct events *events)
{
    if (events == NULL)
        return;
    assert(events->readers == NULL);
    for (size_t i = 0; i < EVENTS_KEPT; i++)
        free(events->ring[i]);
    (void)pthread_mutex_destroy(&events->lock);
    free(events);
}

/* ---- telling; with the lock held ---- */

static uint64_t oldest(const struct events *events)
{
    return events->n > EVENTS_KEPT ? events->n - EVENTS_KEPT : 1;
}

/* The next event: its frame, as readers get it. data is used up. */
static void send_notice(struct events *events, const char *kind, struct text *data)
{
    struct text frame = {0};
    text_add_format(&frame, "id: %" PRIx64 "-%" PRIu64 "\nevent: %s\ndata: ", (uint64_t)events->start_us, events->n,
                    kind);
    text_add(&frame, data->bytes, data->n);
    text_add_string(&frame, "\n\n");
    frame.failed = frame.failed || data->failed;
    text_free(data);
    char **place = &events->ring[events->n % EVENTS_KEPT];
    free(*place);
    *place = text_take(&frame);
    events->n++;
    events->counts.sent++;
    for (struct reader *reader = events->readers; reader != NULL; reader = reader->next)
        http_stream_wake(&reader->stream);
}

/* Ends the object, which is the data of an event. */
static void send_object(struct events *events, const char *kind, struct json_writer *json)
{
    json_write_end(json);
    send_notice(events, kind, json->text);
}

static void send_train(struct events *events, int64_t now)
{
    const struct notice *train = &events->train;
    struct text data = {0};
    if (train->samples == 0)
        return;
    struct json_writer json = json_write_begin(&data);
    json_write_u64(&json, "revision", train->revision);
    json_write_u64(&json, "step", train->step);
    json_write_u64(&json, "samples", train->samples);
    json_write_u64(&json, "correct", train->correct);
    json_write_ratio(&json, "loss", train->loss_sum, train->samples);
    events->train = (struct notice){0};
    events->train_ms = now;
    send_object(events, "train", &json);
}

static void send_job(struct events *events, struct held_job *job, int64_t now)
{
    struct text data = {0};
    if (!job->held)
        return;
    struct json_writer json = json_write_begin(&data);
    job_write(&json, &job->status);
    job->held = false;
    job->sent_ms = now;
    send_object(events, "job", &json);
}

/* ---- reading ---- */

/* A frame for one reader alone; it has no id, so that the client goes on to know the last one that it got. */
static void add_lost(struct reader *reader, uint64_t n, bool known)
{
    text_add_string(&reader->out, "event: lost\ndata: ");
    struct json_writer json = json_write_begin(&reader->out);
    if (known)
        json_write_u64(&json, "missed", n);
    else
        json_write_null(&json, "missed");
    json_write_end(&json);
    text_add_string(&reader->out, "\n\n");
    reader->events->counts.lost += n;
}

/* With the lock held: what there is for the reader, into its text. */
static void fill(struct reader *reader)
{
    const struct events *events = reader->events;
    text_clear(&reader->out);
    reader->sent = 0;
    if (reader->missed)
        add_lost(reader, 0, false);
    reader->missed = false;
    if (reader->at < oldest(events)) {
        add_lost(reader, oldest(events) - reader->at, true);
        reader->at = oldest(events);
    }
    while (reader->at < events->n && reader->out.n < FILL_BYTES) {
        const char *frame = events->ring[reader->at++ % EVENTS_KEPT];
        if (frame != NULL)
            text_add_string(&reader->out, frame);
        else
            add_lost(reader, 1, true);
    }
    if (reader->out.n == 0 && reader->beat)
        text_add_string(&reader->out, ":\n\n");
}

/* The reader's stream: http/http.h. */
static long reader_read(struct http_stream *stream, char *bytes, size_t room)
{
    struct reader *reader = (struct reader *)(void *)stream;
    struct events *events = reader->events;
    const int64_t now = now_ms();
    (void)pthread_mutex_lock(&events->lock);
    if (reader->sent == reader->out.n)
        fill(reader);
    size_t n = reader->out.n - reader->sent;
    n = n < room ? n : room;
    if (n > 0) {
        memcpy(bytes, reader->out.bytes + reader->sent, n);
        reader->sent += n;
        reader->last_ms = now;
        reader->beat = false;
    }
    const bool failed = reader->out.failed, over = n == 0 && now >= reader->until_ms;
    (void)pthread_mutex_unlock(&events->lock);
    if (failed)
        return HTTP_STREAM_BROKEN;
    return over ? HTTP_STREAM_END : (long)n;
}

static void reader_free(struct http_stream *stream)
{
    struct reader *reader = (struct reader *)(void *)stream;
    struct events *events = reader->events;
    (void)pthread_mutex_lock(&events->lock);
    if (reader->previous != NULL)
        reader->previous->next = reader->next;
    else
        events->readers = reader->next;
    if (reader->next != NULL)
        reader->next->previous = reader->previous;
    events->counts.readers--;
    (void)pthread_mutex_unlock(&events->lock);
    text_free(&reader->out);
    free(reader);
}

/* Where a reader that has seen `last_id` goes on; with the lock held. */
static void go_on(struct reader *reader, const char *last_id)
{
    const struct events *events = reader->events;
    uint64_t start = 0, number = 0;
    char end;
    reader->at = events->n;
    if (last_id == NULL || last_id[0] == '\0')
        return;
    if (sscanf(last_id, "%" SCNx64 "-%" SCNu64 "%c", &start, &number, &end) == 2 &&
        start == (uint64_t)events->start_us && number < events->n)
        reader->at = number + 1;
    else
        reader->missed = true;
}

int events_open(struct http_stream **out, struct events *events, const char *last_id, uint64_t seconds, struct err *err)
{
    struct reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL)
        return err_memory(err, "a reader of events");
    reader->stream.read = reader_read;
    reader->stream.free = reader_free;
    reader->stream.endless = true;
    reader->events = events;
    reader->last_ms = now_ms();
    reader->until_ms = seconds > INT64_MAX / 2000 ? INT64_MAX : reader->last_ms + (int64_t)seconds * 1000;
    (void)pthread_mutex_lock(&events->lock);
    const bool full = events->counts.readers >= events->readers_max;
    if (full) {
        events->counts.refused++;
    } else {
        events->counts.readers++;
        go_on(reader, last_id);
        text_add_format(&reader->out, "retry: %d\n\n", WAIT_MS);
        reader->next = events->readers;
        if (reader->next != NULL)
            reader->next->previous = reader;
        events->readers = reader;
    }
    (void)pthread_mutex_unlock(&events->lock);
    if (!full) {
        *out = &reader->stream;
        return 0;
    }
    free(reader);
    return err_set(err, ERR_BUSY, "%u clients read events, the limit: try again later", events->readers_max);
}

void events_tick(struct events *events, int64_t now)
{
    (void)pthread_mutex_lock(&events->lock);
    if (now - events->train_ms >= EVENTS_TRAIN_MS)
        send_train(events, now);
    for (int i = 0; i < 2; i++)
        if (now - events->jobs[i].sent_ms >= EVENTS_JOB_MS)
            send_job(events, &events->jobs[i], now);
    for (struct reader *reader = events->readers; reader != NULL; reader = reader->next) {
        reader->beat = reader->beat || now - reader->last_ms >= EVENTS_BEAT_MS;
        if (reader->beat || now >= reader->until_ms)
            http_stream_wake(&reader->stream);
    }
    (void)pthread_mutex_unlock(&events->lock);
}

struct events_counts events_counts(struct events *events)
{
    (void)pthread_mutex_lock(&events->lock);
    const struct events_counts counts = events->counts;
    (void)pthread_mutex_unlock(&events->lock);
    return counts;
}

/* ---- the words ---- */

static void write_class(struct json_writer *json, const struct event *event)
{
    json_write_string(json, "action", event->as.class_.action == CLASS_ADD ? "add" : "rename");
    json_write_u64(json, "index", event->as.class_.index);
    json_write_string(json, "label", event->as.class_.label);
}

static void write_edit(struct json_writer *json, const struct notice *notice)
{
    const struct rebuild_made *edit = notice->edit;
    json_write_u64(json, "step", notice->step);
    json_write_u64(json, "forgotten", edit->forgotten);
    json_write_u64(json, "relabelled", edit->relabelled);
    json_write_string(json, "class", edit->removed[0] != '\0' ? edit->removed : NULL);
    json_write_string(json, "into", edit->into[0] != '\0' ? edit->into : NULL);
}

static void write_snapshot(struct json_writer *json, const struct notice *notice)
{
    const struct store_snapshot *snapshot = notice->snapshot;
    json_write_i64(json, "id", snapshot->id);
    json_write_u64(json, "revision", snapshot->revision);
    if (notice->kind == NOTICE_SNAPSHOT) {
        json_write_u64(json, "step", snapshot->step);
        json_write_string(json, "reason", snapshot->reason);
    } else {
        json_write_bool(json, "pinned", snapshot->pinned);
        json_write_string(json, "note", snapshot->note);
    }
}

/* All members of the event; NOTICE_TRAIN has others, which are those of several notes. */
static void write_notice(struct json_writer *json, const struct notice *notice)
{
    if (notice->kind != NOTICE_SNAPSHOT && notice->kind != NOTICE_UPDATE)
        json_write_u64(json, "revision", notice->revision);
    switch (notice->kind) {
    case NOTICE_TRAIN:
        break;
    case NOTICE_CLASS:
        write_class(json, notice->event);
        break;
    case NOTICE_TUNE:
        json_write_object(json, "settings");
        settings_write(json, &notice->event->as.tune.settings);
        json_write_end(json);
        break;
    case NOTICE_SNAPSHOT:
    case NOTICE_UPDATE:
        write_snapshot(json, notice);
        break;
    case NOTICE_ACTIVATE:
        json_write_u64(json, "target", notice->target);
        json_write_u64(json, "step", notice->step);
        break;
    case NOTICE_BASELINE:
        json_write_u64(json, "baseline", notice->target);
        break;
    case NOTICE_EDIT:
        write_edit(json, notice);
        break;
    case NOTICE_DRIFT:
        json_write_u64(json, "sample", notice->samples);
        json_write_u64(json, "alarms", notice->alarms);
        break;
    case NOTICE_WARNING:
        json_write_u64(json, "sample", notice->samples);
        json_write_string(json, "code", notice->code);
        json_write_string(json, "text", notice->text);
        break;
    }
}

static void merge_train(struct notice *train, const struct notice *notice)
{
    train->revision = notice->revision;
    train->step = notice->step;
    train->samples += notice->samples;
    train->correct += notice->correct;
    train->loss_sum += notice->loss_sum;
}

void events_notify(void *context, const struct notice *notice)
{
    static const char *const kinds[] = {
        [NOTICE_CLASS] = "class",       [NOTICE_TUNE] = "tune",       [NOTICE_SNAPSHOT] = "snapshot",
        [NOTICE_ACTIVATE] = "activate", [NOTICE_EDIT] = "edit",       [NOTICE_UPDATE] = "update",
        [NOTICE_DRIFT] = "drift",       [NOTICE_WARNING] = "warning", [NOTICE_BASELINE] = "baseline"};
    struct events *events = context;
    const int64_t now = now_ms();
    (void)pthread_mutex_lock(&events->lock);
    if (notice->kind == NOTICE_TRAIN) {
        merge_train(&events->train, notice);
        if (now - events->train_ms >= EVENTS_TRAIN_MS)
            send_train(events, now);
    } else {
        struct text data = {0};
        struct json_writer json = json_write_begin(&data);
        write_notice(&json, notice);
        send_train(events, now); /* what was held back comes first */
        send_object(events, kinds[notice->kind], &json);
    }
    (void)pthread_mutex_unlock(&events->lock);
}

/* The job's own place; else one that is free, or whose job has ended, which has been told. */
static struct held_job *place_of(struct events *events, int64_t id)
{
    struct held_job *first = &events->jobs[0], *second = &events->jobs[1];
    if (first->status.id == id || second->status.id == id)
        return first->status.id == id ? first : second;
    return first->status.id == 0 || first->status.state != JOB_STATE_RUNNING ? first : second;
}

void events_job(void *context, const struct job_status *job)
{
    struct events *events = context;
    const int64_t now = now_ms();
    (void)pthread_mutex_lock(&events->lock);
    struct held_job *mine = place_of(events, job->id);
    mine->status = *job;
    mine->held = true;
    if (job->state != JOB_STATE_RUNNING || job->steps == 0 || now - mine->sent_ms >= EVENTS_JOB_MS) {
        send_train(events, now);
        send_job(events, mine, now);
    }
    (void)pthread_mutex_unlock(&events->lock);
}
