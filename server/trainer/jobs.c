/* jobs.c - see trainer/jobs.h. The table is a list in the order of ids; when it is full, the oldest job that has ended leaves it. Nobody is
 * called while the lock is held, so that a watcher may look into the table. */
#include "server/trainer/jobs.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/clock.h"
#include "store/store.h"

struct jobs {
    pthread_mutex_t lock;
    int64_t next_id;
    size_t n;
    struct entry {
        struct job_status status;
        uint64_t begun_us; /* monotonic */
    } list[JOBS_KEPT];     /* [n] */
    struct job_watch *watches;
    void (*changed)(void *context, const struct job_status *job); /* NULL: nobody listens */
    void *context;
};

struct jobs *jobs_create(int64_t first_id, struct err *err)
{
    struct jobs *jobs = calloc(1, sizeof *jobs);
    if (jobs == NULL) {
        err_memory(err, "the table of jobs");
        return NULL;
    }
    (void)pthread_mutex_init(&jobs->lock, NULL);
    jobs->next_id = first_id;
    return jobs;
}

void jobs_free(struct jobs *jobs)
{
    if (jobs == NULL)
        return;
    assert(jobs->watches == NULL);
    (void)pthread_mutex_destroy(&jobs->lock);
    free(jobs);
}

const char *job_state_name(enum job_state state)
{
    static const char *const names[] = {[JOB_STATE_RUNNING] = "running",
                                        [JOB_STATE_DONE] = "done",
                                        [JOB_STATE_FAILED] = "failed",
                                        [JOB_STATE_CANCELLED] = "cancelled"};
    return names[state];
}

/* With the lock held: that job, or NULL. */
static struct entry *find(struct jobs *jobs, int64_t id)
{
    for (size_t i = 0; i < jobs->n; i++)
        if (jobs->list[i].status.id == id)
            return &jobs->list[i];
    return NULL;
}

static struct entry *find_running(struct jobs *jobs, int64_t id)
{
    struct entry *entry = find(jobs, id);
    assert(entry != NULL && entry->status.state == JOB_STATE_RUNNING);
    return entry;
}

static double seconds_since(uint64_t begun_us)
{
    return (double)(clock_us() - begun_us) / 1e6;
}

/* With the lock held. */
static void copy(struct job_status *out, const struct entry *entry)
{
    *out = entry->status;
    if (out->state == JOB_STATE_RUNNING)
        out->seconds = seconds_since(entry->begun_us);
}

void jobs_listen(struct jobs *jobs, void (*changed)(void *context, const struct job_status *job), void *context)
{
    (void)pthread_mutex_lock(&jobs->lock);
    jobs->changed = changed;
    jobs->context = context;
    (void)pthread_mutex_unlock(&jobs->lock);
}

/* Without the lock, by the thread that does the work: only that one changes a job. */
static void notify(struct jobs *jobs, int64_t id)
{
    struct job_status job;
    (void)pthread_mutex_lock(&jobs->lock);
    copy(&job, find(jobs, id));
    void (*changed)(void *, const struct job_status *) = jobs->changed;
    void *context = jobs->context;
    (void)pthread_mutex_unlock(&jobs->lock);
    if (changed != NULL)
        changed(context, &job);
}

/* With the lock held. */
static void take_out(struct jobs *jobs, struct entry *entry)
{
    jobs->n--;
    memmove(entry, entry + 1, (size_t)(&jobs->list[jobs->n] - entry) * sizeof *entry);
}

/* With the lock held: a place at the end. There are fewer kinds than places, so one of a full list has ended. */
static struct entry *add(struct jobs *jobs)
{
    size_t leaves = 0;
    if (jobs->n < JOBS_KEPT)
        return &jobs->list[jobs->n++];
    while (jobs->list[leaves].status.state == JOB_STATE_RUNNING)
        leaves++;
    take_out(jobs, &jobs->list[leaves]);
    return &jobs->list[jobs->n++];
}

int64_t jobs_begin(struct jobs *jobs, const char *kind, uint64_t steps_total, uint64_t passes, uint64_t revision,
                   struct err *err)
{
    const struct job_status *other = NULL;
    int64_t id = -1;
    (void)pthread_mutex_lock(&jobs->lock);
    for (size_t i = 0; i < jobs->n; i++)
        if (jobs->list[i].status.state == JOB_STATE_RUNNING && strcmp(jobs->list[i].status.kind, kind) == 0)
            other = &jobs->list[i].status;
    if (other != NULL) {
        err_set(err, ERR_CONFLICT, "job %lld (%s) is running: wait for its end, or DELETE /jobs/%lld",
                (long long)other->id, other->kind, (long long)other->id);
    } else {
        id = jobs->next_id++;
        *add(jobs) = (struct entry){.status = {.id = id,
                                               .kind = kind,
                                               .steps_total = steps_total,
                                               .pass = 1,
                                               .passes = passes,
                                               .revision = revision,
                                               .started_us = store_now_us()},
                                    .begun_us = clock_us()};
    }
    (void)pthread_mutex_unlock(&jobs->lock);
    if (id >= 0)
        notify(jobs, id);
    return id;
}

void jobs_progress(struct jobs *jobs, int64_t id, uint64_t steps, uint64_t pass, uint64_t revision)
{
    (void)pthread_mutex_lock(&jobs->lock);
    struct job_status *job = &find_running(jobs, id)->status;
    assert(steps <= job->steps_total && pass <= job->passes);
    job->steps = steps;
    job->pass = pass;
    job->revision = revision;
    (void)pthread_mutex_unlock(&jobs->lock);
    notify(jobs, id);
}

void jobs_total(struct jobs *jobs, int64_t id, uint64_t steps_total)
{
    (void)pthread_mutex_lock(&jobs->lock);
    struct job_status *job = &find_running(jobs, id)->status;
    job->steps_total = steps_total;
    job->steps = job->steps < steps_total ? job->steps : steps_total;
    (void)pthread_mutex_unlock(&jobs->lock);
}

void jobs_trouble(struct jobs *jobs, int64_t id, const struct err *err, const char *then)
{
    (void)pthread_mutex_lock(&jobs->lock);
    struct job_status *job = &find_running(jobs, id)->status;
    job->err = *err;
    job->then = then;
    (void)pthread_mutex_unlock(&jobs->lock);
    notify(jobs, id);
}

/* Takes the watches out that are of that job (id), or whose time is over (now_ms); with the lock held. */
static struct job_watch *take_watches(struct jobs *jobs, int64_t id, int64_t now_ms)
{
    struct job_watch *taken = NULL, **end = &taken;
    for (struct job_watch **at = &jobs->watches; *at != NULL;) {
        struct job_watch *watch = *at;
        if (watch->id != id && watch->until_ms > now_ms) {
            at = &watch->next;
            continue;
        }
        *at = watch->next;
        watch->next = NULL;
        *end = watch;
        end = &watch->next;
    }
    return taken;
}

static void call(struct job_watch *watches)
{
    for (struct job_watch *next; watches != NULL; watches = next) {
        next = watches->next;
        watches->done(watches); /* it may be gone afterwards */
    }
}

void jobs_end(struct jobs *jobs, int64_t id, enum job_state state, const struct err *err)
{
    (void)pthread_mutex_lock(&jobs->lock);
    struct entry *entry = find_running(jobs, id);
    struct job_status *job = &entry->status;
    assert(state != JOB_STATE_RUNNING);
    job->seconds = seconds_since(entry->begun_us);
    job->state = state;
    job->err = err != NULL ? *err : (struct err){0};
    job->then = err != NULL ? job->then : NULL;
    struct job_watch *watches = take_watches(jobs, id, INT64_MIN);
    (void)pthread_mutex_unlock(&jobs->lock);
    notify(jobs, id);
    call(watches);
}

void jobs_forget(struct jobs *jobs, int64_t id)
{
    (void)pthread_mutex_lock(&jobs->lock);
    struct entry *entry = find(jobs, id);
    if (entry != NULL && entry->status.state != JOB_STATE_RUNNING)
        take_out(jobs, entry);
    (void)pthread_mutex_unlock(&jobs->lock);
}

size_t jobs_running(struct jobs *jobs)
{
    size_t n = 0;
    (void)pthread_mutex_lock(&jobs->lock);
    for (size_t i = 0; i < jobs->n; i++)
        n += jobs->list[i].status.state == JOB_STATE_RUNNING;
    (void)pthread_mutex_unlock(&jobs->lock);
    return n;
}

int jobs_find(struct jobs *jobs, int64_t id, struct job_status *out)
{
    (void)pthread_mutex_lock(&jobs->lock);
    const struct entry *entry = find(jobs, id);
    if (entry != NULL)
        copy(out, entry);
    (void)pthread_mutex_unlock(&jobs->lock);
    return entry != NULL;
}

size_t jobs_list(struct jobs *jobs, struct job_status *out)
{
    (void)pthread_mutex_lock(&jobs->lock);
    const size_t n = jobs->n;
    for (size_t i = 0; i < n; i++)
        copy(&out[i], &jobs->list[i]);
    (void)pthread_mutex_unlock(&jobs->lock);
    return n;
}

void jobs_watch(struct jobs *jobs, struct job_watch *watch)
{
    (void)pthread_mutex_lock(&jobs->lock);
    const struct entry *entry = find(jobs, watch->id);
    const bool wait = entry != NULL && entry->status.state == JOB_STATE_RUNNING;
    watch->next = NULL;
    if (wait) {
        watch->next = jobs->watches;
        jobs->watches = watch;
    }
    (void)pthread_mutex_unlock(&jobs->lock);
    if (!wait)
        call(watch);
}

void jobs_wake(struct jobs *jobs, int64_t now_ms)
{
    (void)pthread_mutex_lock(&jobs->lock);
    struct job_watch *watches = take_watches(jobs, 0, now_ms);
    (void)pthread_mutex_unlock(&jobs->lock);
    call(watches);
}
