/* train_db.c - convd train on a database: the daemon's own order of things without the daemon.
 *
 *   pass 1     for each batch: learner_apply() one train event, store_append() it; a commit about five times a second
 *   pass 2..   rehearse events on the samples that pass 1 put into the log; without files every pass is one, on all samples
 *              that are live. Chunks of a tenth of a second, commits as above
 *   the end    the step size of the last pass becomes the model's; a snapshot
 *
 * Applying comes first, as in the daemon: so each sample's row holds its test-then-train outcome. What is on the disk is
 * always a whole number of events, so a crash at any point leaves a model that has learned exactly the log.
 */
#include <string.h>

#include "server/cli/batch.h"
#include "server/cli/cli.h"
#include "server/cli/io.h"
#include "server/cli/offline.h"
#include "server/cli/progress.h"
#include "server/common/clock.h"
#include "server/trainer/trainer.h"
#include "server/verbs/train.h"

#define GROUP_US       200000   /* a commit at least this often: a slow disk's sync costs a few per cent         */
#define CHUNK_US       100000   /* of a rehearsal: an interrupt waits for its end                                */
#define SNAPSHOT_US    10000000 /* at the end of a pass, when the last is so old: what a crash costs in replay   */
#define PICTURES_BYTES ((size_t)64 << 20) /* of past samples in memory: all of 60,000 of 28x28                   */
#define WAL_BYTES_MAX  ((uint64_t)16 << 20)

/* One run over a database. */
struct run {
    struct offline model;
    const struct cli_args *args;
    struct dataset *dataset; /* NULL: only what is in the log */
    struct training *training;
    bool group;           /* store_begin() was called and no commit yet */
    uint64_t group_us;    /* monotonic, when it was begun */
    uint64_t snapshot_us; /* likewise, when the last was taken, or the run began */
};

/* ---- the log ---- */

/* Withstands kill -9 and power loss from here on: everything appended so far. */
static int commit(struct run *run, struct err *err)
{
    struct store *store = run->model.store;
    if (!run->group)
        return 0;
    run->group = false;
    if (store_commit(store, err) != 0)
        return -1;
    return store_wal_bytes(store) > WAL_BYTES_MAX ? store_checkpoint(store, false, err) : 0;
}

static int append(struct run *run, struct event *event, struct err *err)
{
    struct store *store = run->model.store;
    if (!run->group && store_begin(store, err) != 0)
        return -1;
    if (!run->group)
        run->group_us = clock_us();
    run->group = true;
    if (store_append(store, event, err) == 0)
        return 0;
    store_rollback(store);
    run->group = false;
    return -1;
}

static struct event next_event(const struct run *run, enum event_kind kind)
{
    return (struct event){.kind = kind, .revision = store_revision(run->model.store) + 1, .created_us = store_now_us()};
}

static int apply_and_append(struct run *run, struct event *event, struct err *err)
{
    store_next(run->model.store, event);
    return learner_apply(run->model.learner, event, err) == 0 ? append(run, event, err) : -1;
}

/* ---- before the first pass ---- */

/* A rate that is to stay. */
static int tune_rate(struct run *run, double rate, struct err *err)
{
    const struct settings *settings = &run->model.learner->settings;
    struct event event = next_event(run, EVENT_TUNE);
    if (rate == settings_get(settings, SETTING_RATE) && settings->decay_steps == 0.0F)
        return 0;
    event.as.tune.settings = *settings;
    event.as.tune.settings.decay_steps = 0.0F;
    if (settings_set(&event.as.tune.settings, SETTING_RATE, rate, err) != 0 || apply_and_append(run, &event, err) != 0)
        return -1;
    return commit(run, err);
}

/* --rate, as the model keeps it. */
static int tune_as_asked(struct run *run, struct err *err)
{
    struct settings wanted = run->model.learner->settings;
    if (!cli_given(run->args, "rate"))
        return 0;
    if (settings_set_text(&wanted, SETTING_RATE, cli_text(run->args, "rate"), err) != 0)
        return -1;
    return tune_rate(run, settings_get(&wanted, SETTING_RATE), err);
}

static int add_classes(struct run *run, struct err *err)
{
    struct learner *learner = run->model.learner;
    const char *const *labels = NULL;
    size_t n = dataset_labels(run->dataset, &labels);
    for (size_t i = 0; i < n; i++) {
        if (learner_class(learner, labels[i], strlen(labels[i])) >= 0)
            continue;
        struct event event = next_event(run, EVENT_CLASS);
        event.as.class_.action = CLASS_ADD;
        event.as.class_.index = learner->n_classes;
        memcpy(event.as.class_.label, labels[i], strlen(labels[i]));
        if (learner_reserve(learner, learner->n_classes + 1, err) != 0 || apply_and_append(run, &event, err) != 0)
            return -1;
        (void)fprintf(stderr, "convd: class %u is \"%s\"\n", event.as.class_.index, event.as.class_.label);
    }
    return commit(run, err);
}

/* ---- the first pass ---- */

static void count(struct training *t, const struct cli_batch *batch)
{
    for (uint32_t i = 0; i < batch->n; i++) {
        t->correct += batch->samples[i].predicted == batch->samples[i].label;
        t->loss_sum += (double)batch->samples[i].loss;
    }
    t->samples += batch->n;
    t->steps += batch->n;
}

static int learn_batch(struct run *run, struct cli_batch *batch, struct err *err)
{
    struct event event = next_event(run, EVENT_TRAIN);
    event.as.train.n = batch->n;
    event.as.train.samples = batch->samples;
    if (apply_and_append(run, &event, err) != 0)
        return -1;
    count(run->training, batch);
    return clock_us() - run->group_us >= GROUP_US ? commit(run, err) : 0;
}

static int pass_over_files(struct run *run, const struct cli_labels *labels, struct err *err)
{
    struct learner *learner = run->model.learner;
    struct training *t = run->training;
    struct cli_batch batch = {0};
    struct progress progress;
    int status = -1;
    uint64_t limit = cli_count(run->args, "limit");
    if (cli_batch_init(&batch, &learner->shape, (uint32_t)cli_count(run->args, "batch"), limit, err) != 0)
        return -1;
    batch.no_flat = !cli_on(run->args, "flat");
    progress_start(&progress, "training", cli_batch_total(&batch, run->dataset), cli_quiet(run->args));
    t->first_id = store_next_sample_id(run->model.store);
    while (!cli_stop()) {
        if (cli_batch_fill(&batch, run->dataset, &learner->shape, &learner->settings, labels, err) != 0) {
            /* one bad file: what came before it is learned, and told */
            struct err lost = {0};
            if (commit(run, &lost) == 0)
                err_wrap(err, "%llu images were learned, then", (unsigned long long)t->samples);
            else
                *err = lost;
            goto out;
        }
        if (batch.n == 0)
            break;
        if (learn_batch(run, &batch, err) != 0)
            goto out;
        char note[40];
        progress_update(&progress, t->samples, train_note(note, t));
    }
    status = commit(run, err);
    t->passes = !cli_stop();
    t->last_id = store_next_sample_id(run->model.store) - 1;
out:
    progress_finish(&progress);
    t->flat = batch.flat;
    cli_batch_fini(&batch);
    return status;
}

/* ---- the passes over what is in the log ---- */

static int snapshot(struct run *run, const char *reason, struct err *err)
{
    struct store *store = run->model.store;
    if (store_snapshot(store, run->model.learner, reason, "convd train", false, NULL, err) != 0)
        return -1;
    run->snapshot_us = clock_us();
    return store_snapshots_thin(store, trainer_config_default().keep_snapshots, err);
}

/* One chunk into the log; *rate is its step size. */
static int rehearse_some(struct run *run, struct rehearse_plan *plan, float *rate, struct err *err)
{
    struct event event;
    plan->step_us = 0; /* by the geometry alone: the same data set gives the same revisions, however busy the machine */
    uint64_t pass = plan->pass, steps = rehearse_steps_in(plan, run->model.learner, CHUNK_US);
    if (rehearse_chunk(&event, plan, run->model.store, run->model.learner, steps, err) != 0 ||
        append(run, &event, err) != 0)
        return -1;
    *rate = event.as.rehearse.rate;
    uint64_t now = clock_us();
    if (now - run->group_us >= GROUP_US && commit(run, err) != 0)
        return -1;
    if (plan->pass == pass || rehearse_over(plan) || now - run->snapshot_us < SNAPSHOT_US)
        return 0;
    return commit(run, err) == 0 ? snapshot(run, "interval", err) : -1;
}

static int rehearse(struct run *run, const struct rehearse_ask *ask, struct err *err)
{
    struct training *t = run->training;
    struct rehearse_plan plan;
    const uint64_t steps = t->steps, passes = t->passes;
    float rate = 0;
    if (store_rehearse_memory(run->model.store, PICTURES_BYTES, err) != 0 ||
        rehearse_begin(&plan, ask, run->model.store, run->model.learner, err) != 0)
        return -1;
    struct progress progress;
    char what[TRAIN_WHAT_BYTES];
    progress_start(&progress, what, rehearse_steps_total(&plan), cli_quiet(run->args));
    int status = 0;
    t->rehearsed = plan.n;
    while (status == 0 && !rehearse_over(&plan) && !cli_stop()) {
        (void)train_what(what, passes + plan.pass, passes + plan.passes);
        status = rehearse_some(run, &plan, &rate, err);
        t->passes = passes + plan.pass - 1;
        t->steps = steps + rehearse_steps(&plan);
        progress_update(&progress, rehearse_steps(&plan), NULL);
    }
    progress_finish(&progress);
    store_rehearse_end(run->model.store);
    if (status == 0)
        status = commit(run, err);
    /* said in --help: what decay has left stays */
    if (status == 0 && ask->decay < 1 && t->steps > steps)
        status = tune_rate(run, (double)rate, err);
    return status;
}

/* ---- the whole of it ---- */

static int learn_files(struct run *run, struct err *err)
{
    struct learner *learner = run->model.learner;
    struct cli_labels labels = {0};
    int status = -1;
    if (dataset_look(run->dataset, &learner->shape, &learner->settings, cli_on(run->args, "strict"), err) != 0)
        return -1;
    if (cli_stop())
        return 0;
    if (cli_on(run->args, "add-classes") && add_classes(run, err) != 0)
        return -1;
    if (cli_labels_init(&labels, (const char(*)[LABEL_BYTES_MAX + 1]) learner->labels, learner->n_classes, err) == 0 &&
        cli_labels_cover(&labels, run->dataset, "; --add-classes adds what is missing", err) == 0 &&
        tune_as_asked(run, err) == 0)
        status = pass_over_files(run, &labels, err);
    cli_labels_fini(&labels);
    return status;
}

static int learn(struct run *run, struct err *err)
{
    struct training *t = run->training;
    struct rehearse_ask ask;
    if ((run->dataset != NULL ? learn_files(run, err) : tune_as_asked(run, err)) != 0)
        return -1;
    bool more = train_ask(&ask, t, run->args, &run->model.learner->settings, run->model.learner->step);
    return more && !cli_stop() ? rehearse(run, &ask, err) : 0;
}

int train_db(struct training *training, const struct cli_args *args, struct dataset *dataset, struct err *err)
{
    struct run run = {.args = args, .dataset = dataset, .training = training, .snapshot_us = clock_us()};
    if (offline_open(&run.model, args, false, err) != 0)
        return -1;
    struct progress clock;
    progress_start(&clock, "", 0, true);
    int status = offline_share(&run.model, args, err) == 0 ? learn(&run, err) : -1;
    if (status == 0)
        status = snapshot(&run, "request", err);
    training->seconds = progress_seconds(&clock);
    training->revision = run.model.learner->revision;
    training->step = run.model.learner->step;
    training->interrupted = cli_stop();
    offline_close(&run.model);
    return status;
}
