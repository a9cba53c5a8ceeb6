/* train_run.c - the order of things of convd train, whoever holds the model; see verbs/train.h */
#include <math.h>
#include <stdio.h>

#include "server/cli/io.h"
#include "server/cli/progress.h"
#include "server/verbs/train.h"

#define WHAT_BYTES 64

void train_count(struct training *t, const struct store_trained *trained, uint64_t revision)
{
    if (t->samples == 0)
        t->first_id = trained->first_id;
    t->last_id = trained->last_id;
    t->samples += trained->n;
    t->steps += trained->n;
    t->correct += trained->correct;
    t->loss_sum += cli_fixed9(trained->loss) * trained->n;
    t->step = trained->step;
    t->revision = revision;
}

/* ---- before the first pass ---- */

static int add_classes(struct target *t, const struct dataset *dataset, struct err *err)
{
    struct cli_labels known = {0};
    const char *const *labels = NULL;
    size_t n = dataset_labels(dataset, &labels);
    size_t added = 0;
    if (cli_labels_init(&known, (const char(*)[LABEL_BYTES_MAX + 1]) t->remote.labels, t->remote.n_labels, err) != 0)
        return -1;
    int status = 0;
    for (size_t i = 0; i < n && status == 0; i++) {
        if (cli_labels_find(&known, labels[i]) >= 0)
            continue;
        status = t->way->add_class(t, labels[i], err);
        if (status == 0)
            cli_say(stderr, "convd: class \"%s\" was added\n", labels[i]);
        added++;
    }
    cli_labels_fini(&known);
    return status == 0 && added > 0 ? t->way->refresh(t, err) : status;
}

/* A rate that is to stay. */
static int tune_rate(struct target *t, double rate, struct err *err)
{
    struct settings *settings = &t->remote.settings;
    if (rate == settings_get(settings, SETTING_RATE) && settings->decay_steps == 0.0F)
        return 0;
    if (t->way->tune_rate(t, rate, err) != 0)
        return -1;
    settings->decay_steps = 0.0F;
    return settings_set(settings, SETTING_RATE, rate, err);
}

/* --rate, as the model keeps it. */
static int tune_given_rate(struct target *t, const char *text, struct err *err)
{
    struct settings wanted = t->remote.settings;
    if (settings_set_text(&wanted, SETTING_RATE, text, err) != 0)
        return -1;
    return tune_rate(t, settings_get(&wanted, SETTING_RATE), err);
}

/* ---- the first pass ---- */

static void show(struct progress *progress, const struct training *t)
{
    char note[40];
    const double accuracy = t->samples > 0 ? (double)t->correct / (double)t->samples : 0;
    (void)snprintf(note, sizeof note, "accuracy %.1f %%", 100 * accuracy);
    progress_update(progress, t->samples, note);
}

static int send_all(struct target *t, struct cli_batch *batch, struct dataset *dataset, const struct cli_labels *labels,
                    struct progress *progress, struct err *err)
{
    while (!cli_stop()) {
        if (cli_batch_fill(batch, dataset, &t->remote.shape, &t->remote.settings, labels, err) != 0 ||
            (batch->n > 0 && t->way->send(t, batch, err) != 0))
            return -1;
        if (batch->n == 0)
            break;
        show(progress, t->training);
    }
    return 0;
}

static int pass_over_files(struct target *t, const struct cli_args *args, struct dataset *dataset, struct err *err)
{
    struct training *done = t->training;
    struct cli_labels labels = {0};
    struct cli_batch batch = {0};
    struct progress progress;
    int status = -1;
    const uint32_t wanted = (uint32_t)cli_count(args, "batch"), slice = remote_slice(&t->remote);

    t->images = wanted < slice ? wanted : slice;
    progress_start(&progress, "training", 0, cli_quiet(args));
    if (cli_labels_init(&labels, (const char(*)[LABEL_BYTES_MAX + 1]) t->remote.labels, t->remote.n_labels, err) == 0 &&
        cli_labels_cover(&labels, dataset, "; --add-classes adds what is missing", err) == 0 &&
        cli_batch_init(&batch, &t->remote.shape, t->way->batch != NULL ? t->way->batch(t) : t->images,
                       cli_count(args, "limit"), err) == 0) {
        batch.no_flat = !cli_on(args, "flat");
        progress.total = cli_batch_total(&batch, dataset);
        status = send_all(t, &batch, dataset, &labels, &progress, err);
    }
    progress_finish(&progress);
    done->passes = status == 0 && !cli_stop();
    done->flat = batch.flat;
    if (status != 0 && err->code == ERR_STOPPING)
        status = 0; /* interrupted in a request: what was answered counts */
    else if (status != 0 && done->samples > 0)
        err_wrap(err, "%llu images were learned, then", (unsigned long long)done->samples);
    cli_batch_fini(&batch);
    cli_labels_fini(&labels);
    return status;
}

/* ---- the later passes ---- */

/* What is to be rehearsed after the files; false: nothing. */
static bool is_rehearsed(struct rehearse_options *options, const struct target *t, const struct cli_args *args)
{
    const struct training *done = t->training;
    const uint64_t passes = cli_count(args, "passes");
    const float rate = settings_rate(&t->remote.settings, done->step);
    *options = rehearse_options_default();
    options->decay = cli_number(args, "decay");
    if (cli_given(args, "jitter"))
        options->jitter = cli_number(args, "jitter");
    if (cli_given(args, "rotation"))
        options->rotation = cli_number(args, "rotation");
    if (args->n_operands == 0) {
        options->passes = passes;
        options->rate = options->decay < 1 ? (double)rate : (double)NAN;
        return true;
    }
    /* the files' own pass was the first */
    options->passes = passes - 1;
    options->rate = options->decay < 1 ? (double)(float)((double)rate * options->decay) : (double)NAN;
    options->first_id = done->first_id;
    options->last_id = done->last_id;
    return passes > 1 && done->samples > 0;
}

/* The step size of the pass that it came to, as the trainer counts it. */
static double last_rate(const struct rehearse_options *options, const struct follow *job)
{
    float rate = (float)options->rate;
    for (uint64_t pass = 1; pass < job->pass; pass++)
        rate = (float)((double)rate * options->decay);
    return (double)rate;
}

/* before: as it was when the job began. */
static void count_job(struct training *t, const struct training *before, const struct follow *job)
{
    t->rehearsed = job->steps_total / job->passes;
    t->steps = before->steps + job->steps;
    t->passes = before->passes + (job->state == JOB_STATE_DONE ? job->passes : job->pass - 1);
    t->step = before->step + job->steps;
    t->revision = job->revision;
}

/* Looks until the job has ended, or ends it when the person wishes to stop. */
static int follow_job(struct target *t, struct follow *job, const struct cli_args *args, struct err *err)
{
    const struct training before = *t->training;
    char what[WHAT_BYTES] = "";
    struct progress progress;
    int status = 0;
    progress_start(&progress, what, job->steps_total, cli_quiet(args));
    while (status == 0 && job->state == JOB_STATE_RUNNING && !cli_stop()) {
        (void)snprintf(what, sizeof what, "pass %llu of %llu", (unsigned long long)before.passes + job->pass,
                       (unsigned long long)before.passes + job->passes);
        progress_update(&progress, job->steps, NULL);
        status = follow_look(job, err);
    }
    if (cli_stop() && job->state == JOB_STATE_RUNNING) {
        status = t->way->cancel(t, job, err);
        if (status != 0 && err->code == ERR_CONFLICT)
            status = 0; /* it ended in this very moment */
    }
    count_job(t->training, &before, job);
    progress_finish(&progress);
    if (status != 0)
        return err_wrap(err, "job %llu was at step %llu of %llu, then", (unsigned long long)job->id,
                        (unsigned long long)job->steps, (unsigned long long)job->steps_total);
    if (job->state == JOB_STATE_DONE || cli_stop())
        return 0;
    *err = job->why;
    return err_wrap(err, "job %llu %s", (unsigned long long)job->id, job_state_name(job->state));
}

static int rehearse(struct target *t, const struct rehearse_options *options, const struct cli_args *args,
                    struct err *err)
{
    struct follow job = {0};
    if (t->way->rehearse(t, options, &job, err) != 0 || follow_job(t, &job, args, err) != 0)
        return -1;
    /* said in --help: what decay has left stays */
    if (options->decay < 1 && job.steps > 0 && tune_rate(t, last_rate(options, &job), err) != 0)
        return -1;
    if (job.client != NULL && cli_stop()) /* after a wish to stop, a daemon is asked nothing more */
        return 0;
    if (t->way->refresh(t, err) != 0)
        return -1;
    t->training->revision = t->remote.revision;
    t->training->step = t->remote.step;
    return 0;
}

/* ---- the whole of it ---- */

static int learn(struct target *t, const struct cli_args *args, struct dataset *dataset, struct err *err)
{
    struct rehearse_options options;
    if (dataset != NULL &&
        dataset_look(dataset, &t->remote.shape, &t->remote.settings, cli_on(args, "strict"), err) != 0)
        return -1;
    if (cli_stop())
        return 0;
    if (dataset != NULL && cli_on(args, "add-classes") && add_classes(t, dataset, err) != 0)
        return -1;
    if (cli_given(args, "rate") && tune_given_rate(t, cli_text(args, "rate"), err) != 0)
        return -1;
    if (dataset != NULL && pass_over_files(t, args, dataset, err) != 0)
        return -1;
    return is_rehearsed(&options, t, args) && !cli_stop() ? rehearse(t, &options, args, err) : 0;
}

int train(struct training *training, const struct train_way *way, const char *url, const struct cli_args *args,
          struct dataset *dataset, struct err *err)
{
    struct target t = {.way = way, .training = training};
    struct progress clock;
    struct err why;
    int status = t.way->open(&t, url, args, err);
    progress_start(&clock, "", 0, true);
    training->revision = t.remote.revision;
    training->step = t.remote.step;
    if (status == 0)
        status = learn(&t, args, dataset, err);
    training->seconds = progress_seconds(&clock);
    if (status == 0)
        t.way->warn(&t);
    if (t.way->close(&t, &why) != 0 && status == 0) {
        *err = why;
        status = -1;
    }
    training->interrupted = cli_stop();
    return status;
}
