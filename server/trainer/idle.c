/* idle.c - what new samples still bring once nobody asks for anything: `rehearsal_idle` steps on the replay buffer for each, in chunks
 * of some milliseconds that are one event each. It gives way to every command, and rests IDLE_WAIT_US after it. Work of IDLE_US_MAX
 * since the last sample ends it: how much was done is in the log, and nowhere else. */
#include "server/common/clock.h"
#include "server/common/logger.h"
#include "server/trainer/internal.h"

#define IDLE_WAIT_US 100000  /* without a command, before it begins or goes on */
#define IDLE_US_MAX  2000000 /* of work, rests for predictions included         */

void trainer_idle_learned(struct trainer *t, uint64_t samples)
{
    struct idle *idle = &t->idle;
    const uint64_t steps = samples * t->work->settings.rehearsal_idle;
    if (steps == 0 || t->config.alone || t->work->buffer->share == 0)
        return;
    idle->left += steps;
    idle->worked_us = 0;
    if (idle->job != 0)
        jobs_total(t->jobs, idle->job, idle->done + idle->left);
}

uint64_t trainer_idle_wait_us(const struct trainer *t)
{
    if (t->idle.left == 0 || t->rehearsing || rebuild_wait_us(&t->rebuild) == 0)
        return UINT64_MAX;
    const uint64_t quiet_us = clock_us() - t->idle.busy_us;
    return quiet_us < IDLE_WAIT_US ? IDLE_WAIT_US - quiet_us : 0;
}

/* One of them is remembered, so that those of many lessons leave the others in the table. */
static void begin(struct trainer *t)
{
    struct idle *idle = &t->idle;
    jobs_forget(t->jobs, idle->last_job);
    idle->done = 0;
    idle->job = idle->last_job = jobs_begin(t->jobs, "idle", idle->left, 1, t->work->revision, NULL);
}

void trainer_idle_end(struct trainer *t, enum job_state state, const struct err *err)
{
    struct idle *idle = &t->idle;
    const int64_t job = idle->job;
    idle->left = 0;
    idle->job = 0;
    if (job != 0)
        jobs_end(t->jobs, job, state, err);
    if (t->idle_mine)
        (void)shared_idle(t->shared, false, NULL); /* else it ends with the connection */
    t->idle_mine = false;
}

/* One node at a time, where several have the log: the others rest, and ask again. */
static bool is_my_turn(struct trainer *t)
{
    if (t->shared == NULL || t->idle_mine)
        return true;
    t->idle_mine = !trainer_log_away(t) && shared_idle(t->shared, true, NULL) == 1;
    if (!t->idle_mine)
        t->idle.busy_us = clock_us();
    return t->idle_mine;
}

bool trainer_idle_next(struct trainer *t, struct event *event)
{
    struct idle *idle = &t->idle;
    if (t->work->settings.rehearsal_idle == 0) { /* it was switched off meanwhile */
        trainer_idle_end(t, JOB_STATE_CANCELLED, NULL);
        return false;
    }
    if (!is_my_turn(t))
        return false;
    if (idle->job == 0)
        begin(t);
    const uint64_t most = rehearse_steps_in(&(struct rehearse_plan){.step_us = idle->step_us}, t->work, CHUNK_US);
    *event = (struct event){.kind = EVENT_IDLE};
    event->as.idle.steps = (uint32_t)(idle->left < most ? idle->left : most);
    return true;
}

void trainer_idle_report(struct trainer *t, const struct trainer_group *g)
{
    struct idle *idle = &t->idle;
    if (g->failed) {
        logger_line(LOG_LINE_ERROR, "idle rehearsal failed, and will not be resumed: %s", g->err.text);
        trainer_idle_end(t, JOB_STATE_FAILED, &g->err);
        return;
    }
    idle->step_us = (double)g->apply_us / g->idle.as.idle.steps;
    idle->worked_us += g->apply_us;
    idle->done += g->idle.as.idle.steps;
    idle->left -= g->idle.as.idle.steps;
    if (idle->worked_us >= IDLE_US_MAX)
        idle->left = 0;
    jobs_total(t->jobs, idle->job, idle->done + idle->left);
    jobs_progress(t->jobs, idle->job, idle->done, 1, t->work->revision);
    if (idle->left == 0)
        trainer_idle_end(t, JOB_STATE_DONE, NULL);
}
