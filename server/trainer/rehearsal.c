/* rehearsal.c - a rehearsal (trainer/rehearsal_plan.h) between the trainer's other jobs: one chunk at the end of each round. */
#include "server/common/clock.h"
#include "server/common/logger.h"
#include "server/trainer/internal.h"

int trainer_rehearsal_begin(struct trainer *t, struct job *job, struct err *err)
{
    struct rehearse_plan plan;
    if (trainer_long_work_check(t, err) != 0 || rehearse_begin(&plan, &job->rehearse, t->store, t->work, err) != 0)
        return -1;
    int64_t id =
        jobs_begin(t->jobs, "rehearse", rehearse_steps_total(&plan), job->rehearse.passes, t->work->revision, err);
    if (id < 0)
        return -1;
    t->rehearsing = true;
    t->rehearse_job = id;
    t->plan = plan;
    (void)jobs_find(t->jobs, id, &job->job_status);
    return 0;
}

void trainer_rehearsal_end(struct trainer *t, enum job_state state, const struct err *err)
{
    if (err != NULL) /* what GET /jobs tells of it is less, and gone after a restart */
        log_line(state == JOB_STATE_FAILED ? LOG_LINE_ERROR : LOG_LINE_NOTICE,
                 "rehearsal %s after %llu of %llu steps; it will not be taken up again: %s", job_state_name(state),
                 (unsigned long long)rehearse_steps(&t->plan), (unsigned long long)rehearse_steps_total(&t->plan),
                 err->text);
    t->rehearsing = false;
    store_rehearse_end(t->store);
    jobs_end(t->jobs, t->rehearse_job, state, err);
}

/* Several events where passes are short. An error is the store's, and so the whole group's. */
void trainer_rehearsal_chunk(struct trainer *t, struct trainer_group *g, uint64_t target_us)
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
        if (g->failed)
            break; /* there may be no event */
        steps -= event.as.rehearse.end - event.as.rehearse.begin;
        g->rehearsed += event.as.rehearse.end - event.as.rehearse.begin;
    }
    g->apply_us += clock_us() - begin;
}

void trainer_rehearsal_report(struct trainer *t, const struct trainer_group *g)
{
    const bool over = rehearse_over(&t->plan);
    if (g->failed) {
        trainer_rehearsal_end(t, JOB_STATE_FAILED, &g->err);
        return;
    }
    jobs_progress(t->jobs, t->rehearse_job, rehearse_steps(&t->plan), over ? t->plan.passes : t->plan.pass,
                  t->work->revision);
    if (over)
        trainer_rehearsal_end(t, JOB_STATE_DONE, NULL);
}
