/* cli_train.c - convd train: offline, the daemon's own order of things without the daemon.
 *
 *   pass 1     for each batch: learner_apply() one train event, store_append() it; a commit about five times a second
 *   pass 2..   one rehearse event each, on the samples that pass 1 put into the log, in an order drawn from the seed
 *   the end    a snapshot
 *
 * Applying comes first, as in the daemon: so each sample's row holds its test-then-train outcome. What is on the disk is
 * always a whole number of events, so a crash at any point leaves a model that has learned exactly the log.
 */
#include "server/cli_train.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli.h"
#include "server/cli_batch.h"
#include "server/cli_io.h"
#include "server/cli_model.h"
#include "server/json.h"
#include "server/progress.h"
#include "server/team.h"
#include "server/trainer.h"

#define GROUP_US      200000 /* a commit at least this often: a slow disk's sync costs a few per cent   */
#define WAL_BYTES_MAX ((uint64_t)16 << 20)
#define SEED_MASK     ((UINT64_C(1) << 53) - 1) /* JSON holds it                                              */

static const struct cli_flag flags[] = {
    CLI_FLAG_DB,
    CLI_FLAG_URL,
    {.name = "passes",
     .kind = CLI_COUNT,
     .argument = "N",
     .fallback = "1",
     .low = 1,
     .high = 10000,
     .help = "times over the images; later passes rehearse what the first put into the log"},
    {.name = "rate",
     .kind = CLI_SETTING,
     .argument = "X",
     .help = "tune the model to this step size first; it keeps it (default: the model's)"},
    {.name = "decay",
     .kind = CLI_NUMBER,
     .argument = "X",
     .fallback = "1",
     .low = 0.001,
     .high = 1,
     .help = "multiply the step size by this before each later pass; the model keeps it"},
    {.name = "limit", .kind = CLI_COUNT, .argument = "N", .low = 1, .high = 1e12, .help = "only the first N images"},
    {.name = "batch",
     .kind = CLI_COUNT,
     .argument = "N",
     .fallback = "256",
     .low = 1,
     .high = 65536,
     .help = "images in one event of the log, or in one request; the arithmetic is one at a time always"},
    {.name = "add-classes", .kind = CLI_SWITCH, .help = "labels that the model does not know become new classes"},
    {.name = "train-threads",
     .kind = CLI_COUNT,
     .argument = "N",
     .fallback = "0",
     .low = 0,
     .high = TEAM_MEMBERS_MAX,
     .help = "threads that share the steps of a large model, offline; 0: all processors"},
    CLI_FLAG_ARITH,
    CLI_FLAG_JSON,
    CLI_FLAG_QUIET,
    CLI_FLAG_END,
};

/* One run over a database. */
struct run {
    struct offline model;
    const struct cli_args *args;
    struct dataset *dataset;
    struct training *training;
    bool group; /* store_begin() was called and no commit yet */
    int64_t group_us;
};

char *train_note(char text[40], const struct training *t)
{
    double accuracy = t->samples > 0 ? (double)t->correct / (double)t->samples : 0;
    (void)snprintf(text, 40, "accuracy %.1f %%", 100 * accuracy);
    return text;
}

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
        run->group_us = event->created_us;
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
    return learner_apply(run->model.learner, event, err) == 0 ? append(run, event, err) : -1;
}

/* ---- before the first pass ---- */

static int tune_rate(struct run *run, double rate, struct err *err)
{
    struct event event = next_event(run, EVENT_TUNE);
    event.as.tune.settings = run->model.learner->settings;
    if (settings_set(&event.as.tune.settings, SETTING_RATE, rate, err) != 0 || apply_and_append(run, &event, err) != 0)
        return -1;
    return commit(run, err);
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
        if (label_check(labels[i], strlen(labels[i]), err) != 0)
            return -1;
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
    return store_now_us() - run->group_us >= GROUP_US ? commit(run, err) : 0;
}

static int first_pass(struct run *run, const struct cli_labels *labels, struct err *err)
{
    struct learner *learner = run->model.learner;
    struct training *t = run->training;
    struct cli_batch batch = {0};
    struct progress progress;
    int status = -1;
    uint64_t limit = cli_count(run->args, "limit");
    if (cli_batch_init(&batch, &learner->shape, (uint32_t)cli_count(run->args, "batch"), limit, err) != 0)
        return -1;
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
    cli_batch_fini(&batch);
    return status;
}

/* ---- later passes ---- */

/* splitmix64's finalizer: neighbouring passes and models get unrelated orders. */
static uint64_t order_seed(uint64_t seed, uint64_t pass)
{
    uint64_t z = seed + pass * UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) & SEED_MASK;
}

/* A rehearsal is one event: it is learned whole or, when the person stops it, not at all. */
static int later_pass(struct run *run, uint64_t pass, struct learner *before, struct err *err)
{
    struct learner *learner = run->model.learner;
    struct training *t = run->training;
    char what[40];
    (void)snprintf(what, sizeof what, "pass %llu of %llu", (unsigned long long)pass,
                   (unsigned long long)cli_count(run->args, "passes"));
    struct event event = next_event(run, EVENT_REHEARSE);
    event.as.rehearse.first_id = t->first_id;
    event.as.rehearse.last_id = t->last_id;
    event.as.rehearse.seed = order_seed(learner->settings.seed, pass);
    struct progress progress;
    progress_start(&progress, what, t->samples, cli_quiet(run->args));
    uint64_t step = learner->step;
    int status = learner_copy(before, learner, err);
    if (status == 0)
        status = store_rehearse(run->model.store, learner, &event, cli_show_or_stop, &progress, err);
    progress_finish(&progress);
    if (status != 0 && err->code == ERR_STOPPING)
        return learner_copy(learner, before, err);
    if (status != 0 || append(run, &event, err) != 0 || commit(run, err) != 0)
        return -1;
    learner->revision = event.revision;
    t->passes = pass;
    t->steps += learner->step - step;
    return 0;
}

static int later_passes(struct run *run, struct err *err)
{
    uint64_t passes = cli_count(run->args, "passes");
    double decay = cli_number(run->args, "decay");
    struct learner *before = passes > 1 ? learner_dup(run->model.learner, false, err) : NULL;
    if (passes > 1 && before == NULL)
        return -1;
    int status = 0;
    for (uint64_t pass = 2; pass <= passes && !cli_stop() && status == 0; pass++) {
        double rate = (double)run->model.learner->settings.rate * decay;
        if (decay < 1 && tune_rate(run, rate, err) != 0)
            status = -1;
        else
            status = later_pass(run, pass, before, err);
        /* replay after a crash then starts here, and not at the first pass */
        if (status == 0 && pass < passes && !cli_stop())
            status = store_snapshot(run->model.store, run->model.learner, "interval", "convd train", false, NULL, err);
    }
    learner_free(before);
    return status;
}

/* ---- the verb ---- */

static int learn(struct run *run, struct err *err)
{
    struct learner *learner = run->model.learner;
    struct cli_labels labels = {0};
    int status = -1;
    if (cli_on(run->args, "add-classes") && add_classes(run, err) != 0)
        return -1;
    if (cli_labels_init(&labels, (const char(*)[LABEL_BYTES_MAX + 1]) learner->labels, learner->n_classes, err) != 0)
        return -1;
    if (cli_labels_cover(&labels, run->dataset, "; --add-classes adds what is missing", err) != 0)
        goto out;
    if (cli_given(run->args, "rate")) {
        struct settings wanted = learner->settings;
        if (settings_set_text(&wanted, SETTING_RATE, cli_text(run->args, "rate"), err) != 0)
            goto out;
        bool differs = settings_get(&wanted, SETTING_RATE) != settings_get(&learner->settings, SETTING_RATE);
        if (differs && tune_rate(run, settings_get(&wanted, SETTING_RATE), err) != 0)
            goto out;
    }
    status = first_pass(run, &labels, err);
    if (status == 0 && run->training->samples > 0)
        status = later_passes(run, err);
out:
    cli_labels_fini(&labels);
    return status;
}

static int train_db(struct training *training, const struct cli_args *args, struct dataset *dataset, struct err *err)
{
    struct run run = {.args = args, .dataset = dataset, .training = training};
    if (offline_open(&run.model, args, false, err) != 0)
        return -1;
    struct progress clock;
    progress_start(&clock, "", 0, true);
    int status = offline_share(&run.model, args, err) == 0 ? learn(&run, err) : -1;
    struct store *store = run.model.store;
    struct learner *learner = run.model.learner;
    if (status == 0)
        status = store_snapshot(store, learner, "request", "convd train", false, NULL, err);
    if (status == 0)
        status = store_snapshots_thin(store, trainer_config_default().keep_snapshots, err);
    training->seconds = progress_seconds(&clock);
    training->revision = learner->revision;
    training->step = learner->step;
    training->interrupted = cli_stop();
    offline_close(&run.model);
    return status;
}

static int print_training(const struct training *t, bool json, struct err *err)
{
    double rate = t->seconds > 0 ? (double)t->steps / t->seconds : 0;
    double accuracy = t->samples > 0 ? (double)t->correct / (double)t->samples : 0;
    double loss = t->samples > 0 ? t->loss_sum / (double)t->samples : 0;
    if (!json) {
        char passes[40] = "";
        if (t->passes > 1)
            (void)snprintf(passes, sizeof passes, ", %llu passes,", (unsigned long long)t->passes);
        (void)printf("%slearned %llu images%s in %.2f s, %.0f/s; test-then-train accuracy %.2f %%, loss %.4f; "
                     "step %llu, revision %llu\n",
                     t->interrupted ? "stopped: " : "", (unsigned long long)t->samples, passes, t->seconds, rate,
                     100 * accuracy, loss, (unsigned long long)t->step, (unsigned long long)t->revision);
        return 0;
    }
    struct json *root = json_object();
    json_add_number(root, "samples", (double)t->samples);
    json_add_number(root, "passes", (double)t->passes);
    json_add_number(root, "steps", (double)t->steps);
    json_add_number(root, "seconds", t->seconds);
    json_add_number(root, "steps_per_second", rate);
    json_add_number(root, "accuracy", accuracy);
    json_add_number(root, "loss", loss);
    struct json *ids = json_add_array(root, "ids");
    if (t->samples > 0) {
        json_add_number(ids, NULL, (double)t->first_id);
        json_add_number(ids, NULL, (double)t->last_id);
    }
    json_add_number(root, "step", (double)t->step);
    json_add_number(root, "revision", (double)t->revision);
    json_add_bool(root, "interrupted", t->interrupted);
    return cli_print_json(root, err);
}

static int run_train(const struct cli_args *args, struct err *err)
{
    const char *url = NULL;
    if (cli_url(&url, args, err) != 0)
        return -1;
    if (url != NULL && (cli_count(args, "passes") > 1 || cli_given(args, "decay") || cli_given(args, "arith")))
        return err_set(err, ERR_USAGE, "--passes, --decay and --arith need a database: with --url, one pass is made");
    struct dataset *dataset = NULL;
    if (dataset_open(&dataset, args->operands, args->n_operands, err) != 0)
        return -1;
    if (dataset_length(dataset) == 0) {
        dataset_close(dataset);
        return err_set(err, ERR_FILE, "there is no image in %.200s", args->operands[0]);
    }
    cli_stop_watch();
    struct training training = {0};
    int status = url != NULL ? train_url(&training, url, args, dataset, err) : train_db(&training, args, dataset, err);
    dataset_close(dataset);
    if (status != 0)
        return -1;
    if (print_training(&training, cli_on(args, "json"), err) != 0)
        return -1;
    return training.interrupted ? CLI_INTERRUPTED : CLI_OK;
}

const struct cli_verb cli_train = {
    .name = "train",
    .purpose = "learn from labelled images",
    .operands = "IMAGES.idx LABELS.idx | FOLDER",
    .operands_min = 1,
    .operands_max = 2,
    .details =
        "A pair of IDX files (plain or gzipped), or a folder with one sub-folder of PNG and JPEG files for each\n"
        "class. Every image is predicted before it is learned from: that gives the test-then-train accuracy.\n"
        "What is printed in the end is on the disk. SIGINT stops after the current batch and keeps what was\n"
        "learned. Nothing is tuned back afterwards: --rate and --decay leave their last step size behind.\n",
    .examples = "  convd train --db digits.db train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz\n"
                "  convd train --db digits.db --passes 12 --rate 0.073 --decay 0.75 images.idx labels.idx\n"
                "  convd train --url http://127.0.0.1:8080 --add-classes photos/\n",
    .flags = flags,
    .run = run_train,
};
