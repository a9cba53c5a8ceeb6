/* reads.c - what only reads the log, in the thread that writes it: after a round's group, and between the steps of long work that ends no round. */
#include "server/common/clock.h"
#include "server/trainer/internal.h"

/* Behind the round's group: what is published is `work`. */
static void publish_again(struct trainer *t)
{
    struct revision *revision = model_acquire(t->model);
    const bool has_novelty = revision->novelty != NULL;
    model_release(t->model, revision);
    if (!has_novelty)
        trainer_publish(t);
}

static int read_of(struct trainer *t, struct command *command, struct err *err)
{
    if (command->kind == COMMAND_SNAPSHOTS)
        return store_snapshots(t->store, &command->list, &command->n_list, err);
    if (command->kind == COMMAND_READ) {
        command->shared = t->shared;
        command->log_err = trainer_log_away(t) ? &t->log_err : NULL;
        command->same = trainer_same(t);
        return command->read(command, t->store, err);
    }
    publish_again(t);
    return 0;
}

static void run_read(struct trainer *t, struct command *command)
{
    struct err err = {0};
    command->revision = t->work->revision;
    command->step = t->work->step;
    const int status = read_of(t, command, &err);
    if (store_sync_failed(t->store)) /* what it reads may have to be written first */
        trainer_storage_error(t, &err);
    if (status > 0) {
        trainer_queue_again(t, command);
        return;
    }
    if (status < 0)
        trainer_fail(command, &err);
    trainer_queue_done(t, command);
}

/* What only reads comes last in a round, so that it neither cuts a group in two nor keeps one waiting: each that waits once, until their
 * time is over; who is left is first in the next round. */
void trainer_run_reads(struct trainer *t)
{
    const uint64_t begin = clock_us();
    uint64_t n = trainer_queue_reads(t);
    struct command *command;
    while (n-- > 0 && (command = trainer_queue_take_read(t)) != NULL) {
        run_read(t, command);
        if (clock_us() - begin >= READS_US)
            break;
    }
}
