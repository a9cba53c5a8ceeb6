/* trainer.c - see trainer.h. The queue and the thread are here; what a round does with jobs that go into the log is
 * the "group" below: applied one by one to `work`, appended, committed once, published once, then all completed. */
#include "server/trainer.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/log.h"

#define ROUND_SAMPLES       8192u         /* at most so many in one transaction, so that none waits long    */
#define WAL_BYTES_MAX       (8u << 20)    /* checkpoint between rounds when the WAL is larger               */
#define TICK_NS             500000000L    /* how often an idle thread looks round                           */
#define CHUNK_US            5000          /* of a rehearsal, while others wait for the trainer             */
#define CHUNK_BUSY_MAX_US   250000        /* of a rebuild, which must be quicker than what it runs after    */
#define CHUNK_IDLE_US       20000         /* while nobody does: a slow disk's commit is a fifth of it       */
#define SECOND_US           1000000       /* microseconds                                                   */
#define QUEUE_BYTES_DEFAULT (64ULL << 20) /* memory that waiting requests may hold                          */

struct trainer {
    struct trainer_config config;
    struct store *store;  /* the thread's own */
    struct learner *work; /* the thread's own: the state with everything applied, published or not */
    struct model *model;
    struct jobs *jobs;
    struct past *past;
    pthread_t thread;

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake;
    struct job *first, **last;
    bool stopping, quiesced;
    struct trainer_stats stats;

    _Atomic uint64_t columns; /* trainer_columns() */

    /* the thread's own */
    uint64_t samples_since_snapshot;
    uint64_t alarms;            /* of drift, that were told */
    uint64_t snapshot_revision; /* of the newest snapshot */
    uint64_t snapshot_clock_us; /* monotonic, when it was taken or last tried */
    uint64_t keys_clock_us;
    uint64_t went_back; /* revision of the last activate event, or removal of a class; 0: none since the start */
    bool rehearsing;    /* the running job is a rehearsal, and this is its plan */
    struct rehearse_plan plan;
    struct rebuild rebuild; /* where it is active, that is the running job */
    struct err stop_err;
    int stop_status;
};

struct trainer_config trainer_config_default(void)
{
    return (struct trainer_config){
        .queue_samples = 65536,
        .queue_bytes = QUEUE_BYTES_DEFAULT,
        .snapshot_samples = 20000,
        .snapshot_seconds = 300,
        .keep_snapshots = 8,
        .key_seconds = 24 * 3600,
    };
}

static uint64_t clock_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_US + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t job_samples(const struct job *job)
{
    return job->kind == JOB_TRAIN ? job->event.as.train.n : 1;
}

/* ---- completing ---- */

static void complete(struct trainer *t, struct job *job)
{
    (void)pthread_mutex_lock(&t->lock);
    t->stats.queued_jobs--;
    t->stats.queued_samples -= job_samples(job);
    t->stats.queued_bytes -= job->bytes;
    t->stats.progress++;
    (void)pthread_mutex_unlock(&t->lock);
    job->done(job);
}

static void fail(struct job *job, const struct err *err)
{
    job->status = -1;
    job->err = *err;
}

/* ---- publishing and going back ---- */

/* Out of memory here only means that readers hold old revisions: they let go soon, and a slot comes back. The jobs are durable
 * and applied already; they must not be answered with a failure. */
static void publish(struct trainer *t)
{
    struct err err;
    while (model_publish(t->model, t->work, &err) != 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    learner_mark(t->work);
}

/* Throws away what was applied since the last publication. The copy needs no memory: `work` never shrinks. */
static void restore(struct trainer *t)
{
    struct revision *published = model_acquire(t->model);
    learner_restore(t->work, published->learner);
    model_release(t->model, published);
}

static void note_storage_error(struct trainer *t)
{
    (void)pthread_mutex_lock(&t->lock);
    t->stats.storage_errors++;
    if (store_sync_failed(t->store))
        t->stats.storage_failed = true;
    (void)pthread_mutex_unlock(&t->lock);
}

static void tell(const struct trainer *t, const struct note *note)
{
    if (t->config.note != NULL)
        t->config.note(t->config.note_context, note);
}

/* ---- a group: jobs that share one transaction ---- */

struct group {
    struct job *first, **last;
    bool open;    /* a transaction is open */
    bool failed;  /* the transaction is lost, and `err` says why */
    bool changed; /* `work` is ahead of what is published */
    struct err err;
    uint64_t samples, apply_us;
    bool chunk;         /* of the rehearsal, the last thing in it */
    uint64_t rehearsed; /* steps of it                            */
};

static void group_init(struct group *g)
{
    *g = (struct group){0};
    g->last = &g->first;
}

/* A known key: the first answer again. 1: it was, the job is done with; 0: not known; -1: storage error. */
static int group_known_key(struct trainer *t, struct job *job, struct err *err)
{
    struct store_key known;
    int found = store_find_key(t->store, job->key, &known, err);
    if (found <= 0)
        return found;
    if (memcmp(known.fingerprint, job->fingerprint, sizeof known.fingerprint) != 0) {
        free(known.answer);
        job->status = -1;
        (void)err_set(&job->err, ERR_KEY_REUSED,
                      "this Idempotency-Key was used for another request; a new request needs a new key");
        return 1;
    }
    job->replayed_answer = known.answer;
    job->revision = known.revision;
    return 1;
}

static int group_put_key(struct trainer *t, const struct job *job, struct err *err)
{
    struct store_key key = {.revision = job->event.revision, .created_us = job->event.created_us};
    memcpy(key.fingerprint, job->fingerprint, sizeof key.fingerprint);
    memcpy(key.key, job->key, strlen(job->key) + 1); /* trainer_submit() has measured it */
    key.answer = t->config.render_answer == NULL ? NULL : t->config.render_answer(job);
    if (key.answer == NULL)
        return err_set(err, ERR_MEMORY, "no memory for the answer");
    int status = store_put_key(t->store, &key, err);
    free(key.answer);
    return status;
}

/* Makes the event of a class or tune job from what the job asks for and what the state is now. */
static int job_prepare(struct trainer *t, struct job *job, struct err *err)
{
    struct event *event = &job->event;
    if (job->kind == JOB_CLASS) {
        event->kind = EVENT_CLASS;
        if (event->as.class_.action != CLASS_ADD)
            return 0;
        event->as.class_.index = t->work->n_classes;
        if (store_class_id(t->store, t->work->n_classes) >= SHAPE_CLASSES_MAX)
            return err_set(err, ERR_LIMIT, "a model has at most %u classes, removed ones included", SHAPE_CLASSES_MAX);
        return learner_reserve(t->work, t->work->n_classes + 1, err);
    }
    if (job->kind == JOB_TUNE) {
        event->kind = EVENT_TUNE;
        event->as.tune.settings = t->work->settings;
        bool given[SETTING_N] = {false};
        for (unsigned i = 0; i < job->tune.n; i++) {
            if (settings_set(&event->as.tune.settings, job->tune.which[i], job->tune.value[i], err) != 0)
                return -1;
            given[job->tune.which[i]] = true;
        }
        settings_given(&event->as.tune.settings, given);
    }
    return 0;
}

static void job_results(const struct trainer *t, struct job *job)
{
    job->revision = job->event.revision;
    job->step = t->work->step;
    if (job->kind != JOB_TRAIN)
        return;
    const uint32_t n = job->event.as.train.n;
    double loss = 0.0;
    for (uint32_t i = 0; i < n; i++) {
        const struct sample *sample = &job->event.as.train.samples[i];
        job->correct += sample->predicted == sample->label;
        job->refused += sample->refused;
        loss += (double)sample->loss;
    }
    job->loss = n > 0 ? loss / n : 0.0;
}

/* Takes one job into the group. Whatever is wrong with the job itself fails that job alone; a storage error fails the group. */
static void group_add(struct trainer *t, struct group *g, struct job *job)
{
    struct err err = {0};
    *g->last = job;
    g->last = &job->next;
    job->next = NULL;
    if (g->failed)
        return;

    if (!g->open) {
        if (store_begin(t->store, &err) != 0)
            goto storage;
        g->open = true;
    }
    if (job->key != NULL) {
        int known = group_known_key(t, job, &err);
        if (known < 0)
            goto storage;
        if (known > 0)
            return;
    }
    if (job->as_of != 0 && job->as_of < t->went_back) {
        err_set(
            &err, ERR_BUSY,
            "the model went back to an earlier state, or lost a class, while this waited, and has other classes now; "
            "nothing was taken: send it again");
        fail(job, &err);
        return;
    }
    if (job_prepare(t, job, &err) != 0) {
        fail(job, &err);
        return;
    }
    const uint64_t begin = clock_us();
    job->event.created_us = 0;
    store_next(t->store, &job->event);
    if (learner_apply(t->work, &job->event, &err) != 0) {
        fail(job, &err);
        return;
    }
    g->changed = true;
    g->apply_us += clock_us() - begin;
    g->samples += job->kind == JOB_TRAIN ? job->event.as.train.n : 0;
    if (store_append(t->store, &job->event, &err) != 0)
        goto storage;
    job_results(t, job);
    if (job->key != NULL && group_put_key(t, job, &err) != 0)
        goto storage;
    return;

storage:
    g->failed = true;
    g->err = err;
}

/* Ends the rehearsal that is running; what was committed of it stays. */
static void rehearsal_end(struct trainer *t, enum job_state state, const struct err *err)
{
    if (err != NULL) /* what GET /jobs tells of it is less, and gone after a restart */
        log_line(state == JOB_STATE_FAILED ? LOG_LINE_ERROR : LOG_LINE_NOTICE,
                 "rehearsal %s after %llu of %llu steps; it will not be taken up again: %s", job_state_name(state),
                 (unsigned long long)rehearse_steps(&t->plan), (unsigned long long)rehearse_steps_total(&t->plan),
                 err->text);
    t->rehearsing = false;
    store_rehearse_end(t->store);
    jobs_end(t->jobs, state, err);
}

/* After the group that held a chunk. */
static void rehearsal_report(struct trainer *t, const struct group *g)
{
    const bool over = rehearse_over(&t->plan);
    if (g->failed) {
        rehearsal_end(t, JOB_STATE_FAILED, &g->err);
        return;
    }
    jobs_progress(t->jobs, rehearse_steps(&t->plan), over ? t->plan.passes : t->plan.pass, t->work->revision);
    if (over)
        rehearsal_end(t, JOB_STATE_DONE, NULL);
}

/* The next chunk of the rehearsal, behind whatever the group holds; several events where passes are short. An error is the
 * store's, and so the whole group's. */
static void group_rehearse(struct trainer *t, struct group *g, uint64_t target_us)
{
    const uint64_t begin = clock_us();
    uint64_t steps = rehearse_steps_in(&t->plan, t->work, target_us);
    if (g->failed)
        return; /* its turn comes */
    g->chunk = true;
    g->failed = !g->open && store_begin(t->store, &g->err) != 0;
    g->open = g->open || !g->failed;
    while (!g->failed && steps > 0 && !rehearse_over(&t->plan)) {
        struct event event;
        g->changed = true;
        g->failed = rehearse_chunk(&event, &t->plan, t->store, t->work, steps, &g->err) != 0 ||
                    store_append(t->store, &event, &g->err) != 0;
        steps -= event.as.rehearse.end - event.as.rehearse.begin;
        g->rehearsed += event.as.rehearse.end - event.as.rehearse.begin;
    }
    g->apply_us += clock_us() - begin;
}

/* What the group did, in its order; samples of the requests between two other events together. */
static void group_tell(const struct trainer *t, const struct group *g)
{
    struct note train = {.kind = NOTE_TRAIN};
    for (const struct job *job = g->first; job != NULL && t->config.note != NULL; job = job->next) {
        const struct event *event = &job->event;
        if (job->status != 0 || job->replayed_answer != NULL)
            continue;
        if (job->kind == JOB_TRAIN) {
            train.revision = job->revision;
            train.step = job->step;
            train.samples += event->as.train.n;
            train.correct += job->correct;
            train.loss_sum += job->loss * event->as.train.n;
        } else {
            if (train.samples > 0)
                tell(t, &train);
            train = (struct note){.kind = NOTE_TRAIN};
            tell(t, &(struct note){.kind = job->kind == JOB_CLASS ? NOTE_CLASS : NOTE_TUNE,
                                   .revision = job->revision,
                                   .event = event});
        }
    }
    if (train.samples > 0)
        tell(t, &train);
}

/* An alarm that was raised since the last look; going back may have taken some away. */
static void tell_drift(struct trainer *t)
{
    const struct drift *drift = &t->work->tally.drift;
    if (drift->alarms > t->alarms) {
        const uint64_t sample = drift_at(drift, drift_recent(drift) - 1);
        log_line(LOG_LINE_WARNING, "drift: the model errs more often than it did; alarm %llu, at sample %llu",
                 (unsigned long long)drift->alarms, (unsigned long long)sample);
        tell(t, &(struct note){
                    .kind = NOTE_DRIFT, .revision = t->work->revision, .samples = sample, .alarms = drift->alarms});
    }
    t->alarms = drift->alarms;
}

/* Commits, publishes and completes what the group holds. */
static void group_finish(struct trainer *t, struct group *g)
{
    const uint64_t begin = clock_us();
    if (g->failed)
        store_rollback(t->store);
    else if (g->open && store_commit(t->store, &g->err) != 0)
        g->failed = true;
    const uint64_t commit_us = clock_us() - begin;

    if (g->failed)
        note_storage_error(t);
    if (g->changed && g->failed)
        restore(t);
    else if (g->changed)
        publish(t);

    (void)pthread_mutex_lock(&t->lock);
    t->stats.rounds += g->open && !g->failed;
    t->stats.commit_us += commit_us;
    t->stats.apply_us += g->apply_us;
    t->stats.samples += g->failed ? 0 : g->samples;
    t->stats.rehearsed += g->failed ? 0 : g->rehearsed;
    (void)pthread_mutex_unlock(&t->lock);
    if (!g->failed)
        t->samples_since_snapshot += g->samples + g->rehearsed;

    if (!g->failed) {
        group_tell(t, g);
        tell_drift(t);
    }
    for (struct job *job = g->first, *next; job != NULL; job = next) {
        next = job->next;
        if (g->failed && job->status == 0) {
            free(job->replayed_answer);
            job->replayed_answer = NULL;
            fail(job, &g->err);
        }
        complete(t, job);
    }
    if (g->chunk)
        rehearsal_report(t, g);
    group_init(g);
}

/* ---- snapshots ---- */

static int snapshot(struct trainer *t, const char *reason, const char *note, bool pinned, struct store_snapshot *out,
                    struct err *err)
{
    t->snapshot_clock_us = clock_us();
    t->samples_since_snapshot = 0;
    struct store_snapshot taken;
    if (store_snapshot(t->store, t->work, reason, note, pinned, &taken, err) != 0) {
        note_storage_error(t);
        return -1;
    }
    if (out != NULL)
        *out = taken;
    tell(t, &(struct note){.kind = NOTE_SNAPSHOT, .snapshot = &taken});
    t->snapshot_revision = t->work->revision;
    (void)pthread_mutex_lock(&t->lock);
    t->stats.snapshots++;
    t->stats.last_snapshot_us = store_now_us();
    (void)pthread_mutex_unlock(&t->lock);
    /* Thinning and truncating are upkeep: the snapshot is there, whatever becomes of them. */
    (void)store_snapshots_thin(t->store, t->config.keep_snapshots, NULL);
    (void)store_checkpoint(t->store, true, NULL);
    return 0;
}

/* ---- long work ---- */

static int rehearsal_begin(struct trainer *t, struct job *job, struct err *err)
{
    (void)pthread_mutex_lock(&t->lock);
    const bool quiesced = t->quiesced || t->stopping;
    (void)pthread_mutex_unlock(&t->lock);
    if (quiesced)
        return err_set(err, ERR_STOPPING, "the daemon is stopping");
    struct rehearse_plan plan;
    if (rehearse_begin(&plan, &job->rehearse, t->store, t->work, err) != 0)
        return -1;
    int64_t id =
        jobs_begin(t->jobs, "rehearse", rehearse_steps_total(&plan), job->rehearse.passes, t->work->revision, err);
    if (id < 0)
        return -1;
    t->rehearsing = true;
    t->plan = plan;
    (void)jobs_find(t->jobs, id, &job->job_status);
    return 0;
}

/* The job of the rebuild ends. */
static void rebuild_end(struct trainer *t, enum job_state state, const struct err *err)
{
    if (err != NULL)
        log_line(state == JOB_STATE_FAILED ? LOG_LINE_ERROR : LOG_LINE_NOTICE, "rebuild %s: %s", job_state_name(state),
                 err->text);
    jobs_end(t->jobs, state, err);
}

/* It cannot be done: what was accepted is dropped, if the disk lets us, and nothing has changed. */
static void rebuild_fail(struct trainer *t, const struct err *err)
{
    if (err->code == ERR_STORAGE || err->code == ERR_STORAGE_FULL)
        note_storage_error(t);
    (void)rebuild_drop(&t->rebuild, t->store, NULL);
    rebuild_end(t, JOB_STATE_FAILED, err);
}

static void rebuild_tell(struct trainer *t)
{
    uint64_t done, total;
    rebuild_progress(&t->rebuild, &done, &total);
    jobs_total(t->jobs, total);
    jobs_progress(t->jobs, done, 1, t->work->revision);
}

static int edit(struct trainer *t, struct job *job, struct err *err)
{
    const bool active = rebuild_active(&t->rebuild);
    (void)pthread_mutex_lock(&t->lock);
    const bool quiesced = t->quiesced || t->stopping;
    (void)pthread_mutex_unlock(&t->lock);
    if (quiesced)
        return err_set(err, ERR_STOPPING, "the daemon is stopping");
    if (t->rehearsing) {
        const long long id = (long long)jobs_running(t->jobs);
        return err_set(err, ERR_CONFLICT, "job %lld (rehearse) is running: wait for its end, or DELETE /jobs/%lld", id,
                       id);
    }
    int status = rebuild_ask(&t->rebuild, t->store, t->work, &job->edit, &job->changed, err);
    if (status != 0 && active && !rebuild_active(&t->rebuild))
        rebuild_end(t, JOB_STATE_FAILED, err);
    if (status != 0 || !rebuild_active(&t->rebuild))
        return status;
    int64_t id = active ? jobs_running(t->jobs) : jobs_begin(t->jobs, "rebuild", 0, 1, t->work->revision, err);
    assert(id > 0 && "one job at a time, and none ran");
    rebuild_tell(t);
    (void)jobs_find(t->jobs, id, &job->job_status);
    return 0;
}

/* The rebuilt state becomes the live one; it is in the log already. Memory comes back: readers let go of old revisions. */
static void rebuild_publish(struct trainer *t, const struct learner *state, const struct store_snapshot *taken)
{
    while (learner_copy(t->work, state, NULL) != 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    publish(t);
    t->alarms = t->work->tally.drift.alarms;
    t->snapshot_revision = t->work->revision;
    t->snapshot_clock_us = clock_us();
    t->samples_since_snapshot = 0;
    (void)pthread_mutex_lock(&t->lock);
    t->stats.snapshots++;
    t->stats.last_snapshot_us = store_now_us();
    (void)pthread_mutex_unlock(&t->lock);
    tell(t, &(struct note){.kind = NOTE_SNAPSHOT, .snapshot = taken});
}

/* A chunk of it, after a round that took so long. */
static void rebuild_work(struct trainer *t, bool busy, uint64_t round_us)
{
    struct learner *state = NULL;
    struct store_snapshot taken;
    struct err err = {0};
    const bool removes = rebuild_removes(&t->rebuild);
    uint64_t us = busy ? 2 * round_us : CHUNK_IDLE_US;
    us = us < CHUNK_US ? CHUNK_US : us > CHUNK_BUSY_MAX_US ? CHUNK_BUSY_MAX_US : us;
    const int status = rebuild_chunk(&t->rebuild, t->store, t->work, us, &state, &taken, &err);
    if (status < 0) {
        rebuild_fail(t, &err);
        return;
    }
    if (status > 0) {
        rebuild_tell(t);
        return;
    }
    past_forget(t->past); /* they saw what is forgotten */
    if (state != NULL) {
        if (removes)
            atomic_store(&t->columns,
                         t->went_back = state->revision); /* indices that were looked up before mean others */
        rebuild_publish(t, state, &taken);
        learner_free(state);
    }
    /* Old pages, with what was forgotten, stand in the WAL until then. */
    if (store_checkpoint(t->store, true, &err) != 0)
        log_line(LOG_LINE_ERROR, "the WAL cannot be emptied yet, and holds what was forgotten: %s", err.text);
    struct job_status job;
    (void)jobs_find(t->jobs, jobs_running(t->jobs), &job);
    jobs_progress(t->jobs, job.steps_total, 1, t->work->revision);
    rebuild_end(t, JOB_STATE_DONE, NULL);
}

/* What was accepted before the last stop or crash. */
static void rebuild_take_up(struct trainer *t)
{
    struct err err = {0};
    if (t->config.training_off != NULL)
        return;
    /* After a crash between an edit and its checkpoint, old pages with what was forgotten still stand in the WAL. */
    if (store_edits_any(t->store) && store_wal_bytes(t->store) > 0 && store_checkpoint(t->store, true, &err) != 0)
        log_line(LOG_LINE_ERROR, "the WAL cannot be emptied yet, and may hold what was forgotten: %s", err.text);
    if (rebuild_resume(&t->rebuild, t->store, t->work, &err) != 0) {
        const bool later = err.code == ERR_MEMORY || err.code == ERR_STORAGE || err.code == ERR_STORAGE_FULL;
        log_line(LOG_LINE_ERROR, "edits that were accepted before the last stop cannot be made%s: %s",
                 later ? " now, but with the next edit, or at the next start" : "", err.text);
        if (!later)
            (void)rebuild_drop(&t->rebuild, t->store, NULL);
        rebuild_fini(&t->rebuild);
    } else if (rebuild_active(&t->rebuild)) {
        log_line(LOG_LINE_NOTICE, "edits of %zu samples, accepted before the last stop, are taken up again",
                 t->rebuild.edits.n);
        (void)jobs_begin(t->jobs, "rebuild", 0, 1, t->work->revision, &err);
        rebuild_tell(t);
    }
}

static int rehearsal_cancel(struct trainer *t, struct job *job, struct err *err)
{
    if (jobs_find(t->jobs, job->job_id, &job->job_status) == 0)
        return err_set(err, ERR_NOT_FOUND, "there is no job %lld; GET /jobs lists them", (long long)job->job_id);
    if (job->job_status.state != JOB_STATE_RUNNING)
        return err_set(err, ERR_CONFLICT, "job %lld is %s already", (long long)job->job_id,
                       job_state_name(job->job_status.state));
    if (rebuild_active(&t->rebuild)) {
        if (rebuild_drop(&t->rebuild, t->store, err) != 0) {
            rebuild_end(t, JOB_STATE_FAILED, err);
            return -1;
        }
        rebuild_end(t, JOB_STATE_CANCELLED, NULL);
    } else {
        rehearsal_end(t, JOB_STATE_CANCELLED, NULL);
    }
    (void)jobs_find(t->jobs, job->job_id, &job->job_status);
    return 0;
}

/* Back to an earlier state: one event that says so, then a snapshot, so that the next start need not look for the old one. */
static int activate(struct trainer *t, struct job *job, struct err *err)
{
    struct store_snapshot target;
    struct learner *learner = NULL;
    if (store_snapshot_find(t->store, job->snapshot_id, &target, err) != 0 ||
        store_snapshot_load(t->store, job->snapshot_id, t->work->arith, &learner, err) != 0)
        return -1;
    struct event event = {.kind = EVENT_ACTIVATE,
                          .revision = store_revision(t->store) + 1,
                          .created_us = store_now_us(),
                          .as.activate.revision = target.revision};
    int status = learner_reserve(t->work, learner->n_classes, err);
    if (status == 0 && (store_begin(t->store, err) != 0 || store_append(t->store, &event, err) != 0 ||
                        store_classes(t->store, learner, err) != 0 || store_commit(t->store, err) != 0)) {
        store_rollback(t->store);
        note_storage_error(t);
        status = -1;
    }
    if (status == 0) {
        (void)learner_copy(t->work, learner, NULL); /* cannot fail: room was reserved */
        t->work->revision = t->went_back = event.revision;
        publish(t);
        t->alarms = t->work->tally.drift.alarms;
        tell(t,
             &(struct note){
                 .kind = NOTE_ACTIVATE, .revision = event.revision, .target = target.revision, .step = t->work->step});
        if (t->rehearsing) {
            struct err why;
            err_set(&why, ERR_CONFLICT, "the model went back to revision %llu", (unsigned long long)target.revision);
            rehearsal_end(t, JOB_STATE_CANCELLED, &why);
        }
        struct err lost = {0};
        if (rebuild_active(&t->rebuild)) {
            if (rebuild_again(&t->rebuild, t->store, t->work, &lost) != 0)
                rebuild_fail(t, &lost);
            else if (rebuild_active(&t->rebuild))
                rebuild_tell(t);
            else
                rebuild_end(t, JOB_STATE_DONE, NULL); /* nothing was left to do */
        }
        job->revision = event.revision;
        job->step = t->work->step;
        /* The event is durable: a failing snapshot costs time at the next start, nothing else. */
        if (snapshot(t, "activate", "", false, &job->snapshot, NULL) != 0)
            job->snapshot = (struct store_snapshot){0};
    }
    learner_free(learner);
    return status;
}

/* Long work on the past would find a snapshot pinned that it must drop, and fail at its very end. */
static int may_pin(const struct trainer *t, struct err *err)
{
    if (!rebuild_active(&t->rebuild))
        return 0;
    return err_set(err, ERR_CONFLICT,
                   "job %lld is editing the past, and this state will not be the model's: pin one after it has ended",
                   (long long)jobs_running(t->jobs));
}

static int amend(struct trainer *t, struct job *job, struct err *err)
{
    if (job->amend_pinned && job->pinned && may_pin(t, err) != 0)
        return -1;
    const int status = store_snapshot_amend(t->store, job->snapshot_id, job->amend_pinned ? &job->pinned : NULL,
                                            job->amend_note ? job->note : NULL, &job->snapshot, err);
    if (status != 0 && (err->code == ERR_STORAGE || err->code == ERR_STORAGE_FULL))
        note_storage_error(t);
    return status;
}

static void run_alone(struct trainer *t, struct job *job)
{
    struct err err = {0};
    int status = -1;
    job->revision = t->work->revision;
    job->step = t->work->step;
    switch (job->kind) {
    case JOB_SNAPSHOT:
        status = job->pinned ? may_pin(t, &err) : 0;
        if (status == 0)
            status = snapshot(t, "request", job->note, job->pinned, &job->snapshot, &err);
        break;
    case JOB_ACTIVATE:
        status = activate(t, job, &err);
        break;
    case JOB_SNAPSHOTS:
        status = store_snapshots(t->store, &job->list, &job->n_list, &err);
        break;
    case JOB_DROP:
        status = store_snapshot_drop(t->store, job->snapshot_id, &err);
        break;
    case JOB_AMEND:
        status = amend(t, job, &err);
        break;
    case JOB_REHEARSE:
        status = rehearsal_begin(t, job, &err);
        break;
    case JOB_EDIT:
        status = edit(t, job, &err);
        break;
    case JOB_CANCEL:
        status = rehearsal_cancel(t, job, &err);
        break;
    case JOB_TRAIN:
    case JOB_CLASS:
    case JOB_TUNE:
    case JOB_READ:
        err_set(&err, ERR_INTERNAL, "a job for the log");
        break;
    }
    if (status != 0)
        fail(job, &err);
    complete(t, job);
}

/* What only reads comes last in a round, so that it neither cuts a group in two nor keeps one waiting. */
static void run_reads(struct trainer *t, struct job *jobs)
{
    for (struct job *job = jobs, *next; job != NULL; job = next) {
        struct err err = {0};
        next = job->next;
        job->next = NULL;
        job->revision = t->work->revision;
        job->step = t->work->step;
        const int status = job->read(job, t->store, &err);
        if (status > 0) {
            (void)pthread_mutex_lock(&t->lock);
            *t->last = job;
            t->last = &job->next;
            t->stats.progress++;
            (void)pthread_mutex_unlock(&t->lock);
            continue;
        }
        if (status < 0)
            fail(job, &err);
        complete(t, job);
    }
}

/* ---- the thread ---- */

static bool goes_into_log(const struct job *job)
{
    return job->kind == JOB_TRAIN || job->kind == JOB_CLASS || job->kind == JOB_TUNE;
}

static void run_round(struct trainer *t, struct job *jobs)
{
    const uint64_t begin = clock_us();
    struct group group;
    struct job *reads = NULL, **last_read = &reads;
    group_init(&group);
    for (struct job *job = jobs, *next; job != NULL; job = next) {
        next = job->next;
        if (job->kind == JOB_READ) {
            *last_read = job;
            last_read = &job->next;
            job->next = NULL;
        } else if (goes_into_log(job)) {
            group_add(t, &group, job);
        } else {
            group_finish(t, &group);
            run_alone(t, job);
        }
    }
    if (t->rehearsing)
        group_rehearse(t, &group, jobs != NULL ? CHUNK_US : CHUNK_IDLE_US);
    group_finish(t, &group);
    run_reads(t, reads);
    if (rebuild_active(&t->rebuild))
        rebuild_work(t, jobs != NULL, clock_us() - begin);
    if (past_active(t->past, NULL))
        past_work(t->past, CHUNK_US);
    (void)pthread_mutex_lock(&t->lock);
    t->stats.last_round_us = clock_us() - begin;
    (void)pthread_mutex_unlock(&t->lock);
}

/* What need not be done at once: snapshots that are due, checkpoints, old keys. */
static void upkeep(struct trainer *t, bool idle)
{
    if (t->config.training_off != NULL) { /* the file stays as it is */
        (void)pthread_mutex_lock(&t->lock);
        t->stats.progress++;
        (void)pthread_mutex_unlock(&t->lock);
        return;
    }
    const uint64_t now = clock_us();
    const struct trainer_config *c = &t->config;
    const bool changed = t->work->revision != t->snapshot_revision;
    const uint64_t age_us = now - t->snapshot_clock_us;
    const bool many = c->snapshot_samples > 0 && t->samples_since_snapshot >= c->snapshot_samples;
    const bool old = c->snapshot_seconds > 0 && age_us >= (uint64_t)c->snapshot_seconds * SECOND_US;
    if (changed && (many || old))
        (void)snapshot(t, "interval", "", false, NULL, NULL);

    uint64_t wal = store_wal_bytes(t->store);
    if (wal > WAL_BYTES_MAX || (idle && wal > 0)) {
        (void)store_checkpoint(t->store, idle, NULL);
        wal = store_wal_bytes(t->store);
    }
    if (now - t->keys_clock_us >= 60ULL * SECOND_US) {
        t->keys_clock_us = now;
        (void)store_expire_keys(t->store, store_now_us() - (int64_t)c->key_seconds * SECOND_US, NULL);
    }
    jobs_wake(t->jobs, (int64_t)(now / 1000));
    (void)pthread_mutex_lock(&t->lock);
    t->stats.wal_bytes = wal;
    t->stats.progress++;
    (void)pthread_mutex_unlock(&t->lock);
}

/* Cuts off the front of the queue: all of it, or as much as one transaction should hold. Called with the lock held. */
static struct job *take(struct trainer *t)
{
    struct job *jobs = t->first, **end = &t->first;
    uint64_t samples = 0;
    while (*end != NULL && (samples == 0 || samples + job_samples(*end) <= ROUND_SAMPLES)) {
        samples += job_samples(*end);
        end = &(*end)->next;
    }
    if (end == &t->first)
        return NULL;
    struct job *rest = *end;
    *end = NULL;
    t->first = rest;
    if (rest == NULL)
        t->last = &t->first;
    return jobs;
}

/* Something long is, and wants its chunk whether there are jobs or not. */
static bool is_at_work(const struct trainer *t)
{
    return t->rehearsing || rebuild_active(&t->rebuild) || past_active(t->past, NULL);
}

static void *trainer_main(void *argument)
{
    struct trainer *t = argument;
    for (;;) {
        bool idle = false;
        (void)pthread_mutex_lock(&t->lock);
        while (t->first == NULL && !t->stopping && !idle && !is_at_work(t)) {
            struct timespec until;
            (void)clock_gettime(CLOCK_MONOTONIC, &until);
            until.tv_nsec += TICK_NS;
            until.tv_sec += until.tv_nsec / 1000000000L;
            until.tv_nsec %= 1000000000L;
            idle = pthread_cond_timedwait(&t->wake, &t->lock, &until) != 0;
        }
        struct job *jobs = take(t);
        const bool stop = t->stopping && jobs == NULL, quiesced = t->quiesced || t->stopping;
        (void)pthread_mutex_unlock(&t->lock);
        if (quiesced && t->rehearsing) {
            struct err why;
            err_set(&why, ERR_STOPPING, "the daemon is stopping");
            rehearsal_end(t, JOB_STATE_CANCELLED, &why);
        }
        if (quiesced && rebuild_active(&t->rebuild)) {
            struct err why;
            err_set(&why, ERR_STOPPING, "the daemon is stopping; the next start takes it up again");
            rebuild_fini(&t->rebuild);
            rebuild_end(t, JOB_STATE_CANCELLED, &why);
        }
        if (stop)
            break;
        if (jobs != NULL || is_at_work(t))
            run_round(t, jobs);
        upkeep(t, idle);
    }
    if (t->work->revision != t->snapshot_revision && t->config.training_off == NULL)
        t->stop_status = snapshot(t, "shutdown", "", false, NULL, &t->stop_err);
    past_forget(t->past);
    store_close(t->store);
    t->store = NULL;
    return NULL;
}

/* ---- from outside ---- */

/* Revision of the newest snapshot: so that a stop without changes takes none. */
static uint64_t newest_snapshot(struct store *store)
{
    struct store_snapshot *list = NULL;
    size_t n = 0;
    uint64_t revision = 0;
    if (store_snapshots(store, &list, &n, NULL) == 0 && n > 0)
        revision = list[n - 1].revision;
    free(list);
    return revision;
}

struct trainer *trainer_create(struct store *store, struct learner *learner, const struct trainer_config *config,
                               struct err *err)
{
    struct trainer *t = calloc(1, sizeof *t);
    if (t == NULL) {
        err_set(err, ERR_MEMORY, "no memory for the trainer");
        return NULL;
    }
    t->config = *config;
    t->last = &t->first;
    t->stats.training_off = config->training_off != NULL;
    t->model = model_create(learner, err);
    t->jobs = t->model != NULL ? jobs_create((int64_t)store_revision(store) + 1, err) : NULL;
    t->past = t->jobs != NULL ? past_create(err) : NULL;
    if (t->past == NULL) {
        jobs_free(t->jobs);
        model_free(t->model);
        free(t);
        return NULL;
    }
    t->store = store;
    t->work = learner;
    t->rebuild.team = learner->ws->team;
    t->rebuild.team_least = learner->ws->team_least;
    t->alarms = learner->tally.drift.alarms;
    learner_mark(learner);
    t->snapshot_revision = newest_snapshot(store);
    t->snapshot_clock_us = clock_us();
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&t->lock, NULL);
    (void)pthread_cond_init(&t->wake, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    rebuild_take_up(t);
    int failed = pthread_create(&t->thread, NULL, trainer_main, t);
    if (failed != 0) {
        err_set(err, ERR_MEMORY, "cannot start the trainer's thread: %s", strerror(failed));
        rebuild_fini(&t->rebuild);
        (void)pthread_cond_destroy(&t->wake);
        (void)pthread_mutex_destroy(&t->lock);
        past_free(t->past);
        jobs_free(t->jobs);
        model_free(t->model);
        free(t);
        return NULL;
    }
    return t;
}

struct model *trainer_model(struct trainer *t)
{
    return t->model;
}

uint64_t trainer_columns(struct trainer *t)
{
    return atomic_load(&t->columns);
}

struct jobs *trainer_jobs(struct trainer *t)
{
    return t->jobs;
}

struct past *trainer_past(struct trainer *t)
{
    return t->past;
}

void trainer_quiesce(struct trainer *t)
{
    (void)pthread_mutex_lock(&t->lock);
    t->quiesced = true;
    (void)pthread_cond_signal(&t->wake);
    (void)pthread_mutex_unlock(&t->lock);
}

int trainer_submit(struct trainer *t, struct job *job, struct err *err)
{
    const uint64_t n = job_samples(job);
    int status = 0;
    if (job->key != NULL && strnlen(job->key, STORE_KEY_BYTES_MAX + 1) > STORE_KEY_BYTES_MAX)
        return err_set(err, ERR_VALUE, "the Idempotency-Key is longer than %d bytes", STORE_KEY_BYTES_MAX);
    job->next = NULL;
    job->status = 0;
    (void)pthread_mutex_lock(&t->lock);
    struct trainer_stats *s = &t->stats;
    /* A job larger than the whole queue may pass when nothing else waits: it could never otherwise. */
    const bool full = s->queued_jobs > 0 && (s->queued_samples + n > t->config.queue_samples ||
                                             s->queued_bytes + job->bytes > t->config.queue_bytes);
    if (t->stopping) {
        status = err_set(err, ERR_STOPPING, "the daemon is stopping");
    } else if (s->storage_failed) {
        status =
            err_set(err, ERR_STORAGE, "a write to the disk failed; training is off until the daemon has restarted");
    } else if (s->training_off && job->kind != JOB_SNAPSHOTS && job->kind != JOB_READ) {
        status = err_set(err, ERR_DB_CORRUPT, "training is off: %.280s", t->config.training_off);
    } else if (full) {
        s->refused_busy++;
        status = err_set(err, ERR_BUSY, "%llu samples wait to be learned; try again in a moment",
                         (unsigned long long)s->queued_samples);
    } else {
        s->queued_jobs++;
        s->queued_samples += n;
        s->queued_bytes += job->bytes;
        *t->last = job;
        t->last = &job->next;
        (void)pthread_cond_signal(&t->wake);
    }
    (void)pthread_mutex_unlock(&t->lock);
    return status;
}

struct trainer_stats trainer_stats(struct trainer *t)
{
    (void)pthread_mutex_lock(&t->lock);
    struct trainer_stats stats = t->stats;
    (void)pthread_mutex_unlock(&t->lock);
    return stats;
}

int trainer_stop(struct trainer *t, struct err *err)
{
    (void)pthread_mutex_lock(&t->lock);
    t->stopping = true;
    (void)pthread_cond_signal(&t->wake);
    (void)pthread_mutex_unlock(&t->lock);
    (void)pthread_join(t->thread, NULL);
    if (t->stop_status != 0 && err != NULL)
        *err = t->stop_err;
    return t->stop_status;
}

void trainer_free(struct trainer *t)
{
    if (t == NULL)
        return;
    assert(t->store == NULL && "trainer_stop() comes first");
    (void)pthread_cond_destroy(&t->wake);
    (void)pthread_mutex_destroy(&t->lock);
    past_free(t->past);
    jobs_free(t->jobs);
    model_free(t->model);
    learner_free(t->work);
    free(t);
}
