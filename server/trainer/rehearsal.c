/* rehearsal.c - a rehearsal (trainer/rehearsal_plan.h) between the trainer's other jobs: one chunk at the end of each round. */
#include <stdlib.h>

#include "server/common/logger.h"
#include "server/trainer/internal.h"

int trainer_rehearsal_begin(struct trainer *t, struct command *command, struct err *err)
{
    struct rehearse_plan plan;
    if (trainer_long_work_check(t, err) != 0 || rehearse_begin(&plan, &command->rehearse, t->store, t->work, err) != 0)
        return -1;
    struct err why;
    err_set(&why, ERR_CONFLICT, "a rehearsal was asked for");
    trainer_idle_end(t, JOB_STATE_CANCELLED, &why);
    int64_t id =
        jobs_begin(t->jobs, "rehearse", rehearse_steps_total(&plan), command->rehearse.passes, t->work->revision, err);
    if (id < 0)
        return -1;
    t->rehearsing = true;
    t->rehearse_job = id;
    t->plan = plan;
    (void)jobs_find(t->jobs, id, &command->job_status);
    return 0;
}

void trainer_rehearsal_end(struct trainer *t, enum job_state state, const struct err *err)
{
    if (err != NULL) /* what GET /jobs tells of it is less, and gone after a restart */
        logger_line(state == JOB_STATE_FAILED ? LOG_LINE_ERROR : LOG_LINE_NOTICE,
                    "rehearsal %s after %llu of %llu steps, and will not be resumed: %s", job_state_name(state),
                    (unsigned long long)rehearse_steps(&t->plan), (unsigned long long)rehearse_steps_total(&t->plan),
                    err->text);
    t->rehearsing = false;
    store_rehearse_end(t->store);
    jobs_end(t->jobs, t->rehearse_job, state, err);
}

/* One more into the group's transaction. Whatever its pictures cannot be read for ends the rehearsal, and nothing else. */
static int add_part(struct trainer *t, struct trainer_group *g, uint64_t steps)
{
    struct rehearse_part *more = realloc(g->parts, (g->n_parts + 1) * sizeof *more);
    if (more == NULL)
        return err_memory(&g->chunk_err, "a rehearsal");
    g->parts = more;
    struct rehearse_part *part = &more[g->n_parts];
    *part = (struct rehearse_part){0};
    rehearse_next(&part->event, &t->plan, t->store, t->work, t->work->step + g->steps, steps);
    if (store_rehearse_read(&part->pictures, t->store, t->work, &part->event, &g->chunk_err) != 0) {
        rehearse_pictures_free(&part->pictures);
        return -1;
    }
    g->n_parts++;
    g->appended = true;
    g->failed = t->journal->append(t->journal, &part->event, NULL, &g->err) != 0;
    const uint64_t n = part->event.as.rehearse.end - part->event.as.rehearse.begin;
    g->steps += n;
    g->rehearsed += n;
    return g->failed ? -1 : 0;
}

/* Several events where passes are short. */
void trainer_rehearsal_chunk(struct trainer *t, struct trainer_group *g, uint64_t target_us)
{
    if (t->config.alone)
        t->plan.step_us = 0; /* as if none had been measured */
    const uint64_t steps = rehearse_steps_in(&t->plan, t->work, target_us);
    const uint64_t end = g->rehearsed + steps;
    if (g->failed || g->chunk_err.code != ERR_NONE)
        return; /* its turn comes, or it is over */
    g->chunk = true;
    g->plan = t->plan;
    g->chunk_us = target_us;
    trainer_group_open(t, g);
    while (!g->failed && g->rehearsed < end && !rehearse_over(&t->plan))
        if (add_part(t, g, end - g->rehearsed) != 0)
            break;
}

void trainer_rehearsal_apply(struct trainer *t, struct trainer_group *g)
{
    struct err err;
    for (size_t i = 0; i < g->n_parts; i++)
        if (rehearse_apply(&t->plan, t->work, &g->parts[i].event, &g->parts[i].pictures, &err) != 0)
            trainer_cannot_apply(&err);
        else
            trainer_mark(t);
}

void trainer_rehearsal_report(struct trainer *t, const struct trainer_group *g)
{
    const bool over = rehearse_over(&t->plan);
    if (g->failed || g->chunk_err.code != ERR_NONE) {
        trainer_rehearsal_end(t, JOB_STATE_FAILED, g->failed ? &g->err : &g->chunk_err);
        return;
    }
    jobs_progress(t->jobs, t->rehearse_job, rehearse_steps(&t->plan), over ? t->plan.passes : t->plan.pass,
                  t->work->revision);
    if (over)
        trainer_rehearsal_end(t, JOB_STATE_DONE, NULL);
}
