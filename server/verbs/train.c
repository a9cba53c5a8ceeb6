/* train.c - convd train: what is asked for, and what is told of it. verbs/train_run.c does it. */
#include "server/verbs/train.h"

#include <stdio.h>

#include "core/jitter.h"
#include "server/cli/batch.h"
#include "server/cli/io.h"
#include "server/cli/offline.h"
#include "server/common/json.h"
#include "server/common/worker_team.h"
#include "server/verbs/verbs.h"

static const struct cli_flag flags[] = {
    CLI_FLAG_DB,
    CLI_FLAG_URL,
    {FLAG_COUNT("passes", "N", "1", 1, 10000,
                "passes over the images; later ones rehearse what the first put into the log")},
    {.name = "rate",
     .kind = CLI_SETTING,
     .argument = "X",
     .help = "tune the model to this step size first; the model keeps it (default: the model's)"},
    {FLAG_NUMBER("decay", "X", "1", REHEARSE_DECAY_MIN, 1,
                 "multiply the step size by this before each later pass; the model keeps it")},
    {FLAG_NUMBER("jitter", "PIXELS", NULL, 0, JITTER_SHIFT_MAX,
                 "shift rehearsed images by up to this at random (default: the model's)")},
    {FLAG_NUMBER("rotation", "DEGREES", NULL, 0, JITTER_DEGREES_MAX,
                 "rotate rehearsed images by up to this at random (default: the model's)")},
    {FLAG_COUNT("limit", "N", NULL, 1, 1e12, "only the first N images")},
    {FLAG_COUNT("batch", "N", "256", 1, 65536,
                "images in one event of the log, or in one request; training is one image at a time in any case")},
    {FLAG_SWITCH("add-classes", "labels that the model does not know become new classes")},
    CLI_FLAG_STRICT,
    CLI_FLAG_IMAGE_PIXELS,
    {FLAG_SWITCH("flat", "learn flat images, whose pixels are all equal, too; else they are skipped")},
    {FLAG_COUNT("train-threads", "N", "0", 0, TEAM_MEMBERS_MAX,
                "threads that share the steps of a large model, offline; 0: all processors")},
    CLI_FLAG_ARITH,
    CLI_FLAG_JSON,
    CLI_FLAG_QUIET,
    CLI_FLAG_END,
};

static int print_training(const struct training *t, const struct dataset *dataset, bool as_json, struct err *err)
{
    double rate = t->seconds > 0 ? (double)t->steps / t->seconds : 0;
    double accuracy = t->samples > 0 ? (double)t->correct / (double)t->samples : 0;
    double loss = t->samples > 0 ? t->loss_sum / (double)t->samples : 0;
    if (t->flat > 0)
        cli_say(stderr,
                "convd: %llu flat images were skipped: all pixels are equal where the network sees them (--flat "
                "learns them, too)\n",
                (unsigned long long)t->flat);
    if (!as_json && t->samples == 0 && t->rehearsed > 0) {
        cli_say(stdout, "%srehearsed %llu images, %llu pass%s, in %.2f s, %.0f/s; step %llu, revision %llu\n",
                t->interrupted ? "stopped: " : "", (unsigned long long)t->rehearsed, (unsigned long long)t->passes,
                t->passes == 1 ? "" : "es", t->seconds, rate, (unsigned long long)t->step,
                (unsigned long long)t->revision);
        return 0;
    }
    if (!as_json) {
        char passes[40] = "";
        if (t->passes > 1)
            (void)snprintf(passes, sizeof passes, ", %llu passes,", (unsigned long long)t->passes);
        cli_say(stdout,
                "%slearned %llu images%s in %.2f s, %.0f/s; test-then-train accuracy %.2f %%, loss %.4f; "
                "step %llu, revision %llu\n",
                t->interrupted ? "stopped: " : "", (unsigned long long)t->samples, passes, t->seconds, rate,
                100 * accuracy, loss, (unsigned long long)t->step, (unsigned long long)t->revision);
        return 0;
    }
    struct text text = {0};
    struct json_writer json = json_write_begin(&text);
    json_write_u64(&json, "samples", t->samples);
    json_write_u64(&json, "flat", t->flat);
    json_write_u64(&json, "rehearsed", t->rehearsed);
    json_write_u64(&json, "passes", t->passes);
    json_write_u64(&json, "steps", t->steps);
    json_write_number(&json, "seconds", t->seconds);
    json_write_number(&json, "steps_per_second", rate);
    if (t->samples > 0 || t->rehearsed == 0) {
        json_write_number(&json, "accuracy", accuracy);
        json_write_number(&json, "loss", loss);
    }
    json_write_array(&json, "ids");
    if (t->samples > 0) {
        json_write_i64(&json, NULL, t->first_id);
        json_write_i64(&json, NULL, t->last_id);
    }
    json_write_end(&json);
    json_write_u64(&json, "step", t->step);
    json_write_u64(&json, "revision", t->revision);
    json_write_bool(&json, "interrupted", t->interrupted);
    cli_skipped_add(&json, dataset_skipped(dataset));
    return cli_print_object(&json, err);
}

static int open_files(struct dataset **out, const struct cli_args *args, struct err *err)
{
    *out = NULL;
    if (args->n_operands == 0) {
        if (cli_given(args, "limit") || cli_given(args, "batch") || cli_on(args, "add-classes") ||
            cli_on(args, "flat") || cli_on(args, "strict"))
            return err_set(err, ERR_USAGE,
                           "--limit, --batch, --add-classes, --flat and --strict need images, but no file is given");
        return cli_given(args, "passes") ? 0
                                         : err_set(err, ERR_USAGE,
                                                   "the input is missing: usage is convd train [FLAGS] FILES, or convd "
                                                   "train --passes N to rehearse earlier samples");
    }
    return cli_dataset_open(out, args, err);
}

static int run_train(const struct cli_args *args, struct err *err)
{
    const char *url = NULL;
    if (cli_url(&url, args, err) != 0)
        return -1;
    if (url != NULL && cli_count(args, "passes") > REHEARSE_PASSES_MAX)
        return err_set(err, ERR_USAGE, "with --url, the limit of --passes is %u", REHEARSE_PASSES_MAX);
    struct dataset *dataset = NULL;
    if (open_files(&dataset, args, err) != 0)
        return -1;
    cli_stop_watch();
    struct training training = {0};
    int status = train(&training, url != NULL ? &train_way_url : &train_way_db, url, args, dataset, err);
    cli_skipped_print(dataset_skipped(dataset));
    if (status == 0)
        status = print_training(&training, dataset, cli_on(args, "json"), err);
    dataset_close(dataset);
    if (status != 0)
        return -1;
    return training.interrupted ? CLI_INTERRUPTED : CLI_OK;
}

const struct cli_verb cli_train = {
    .name = "train",
    .purpose = "learn from labelled images",
    .operands = "[IMAGES.idx LABELS.idx | FOLDER]",
    .operands_min = 0,
    .operands_max = 2,
    .details =
        "The input is a pair of IDX files (plain or gzipped), or a folder with one sub-folder of pictures "
        "for\n"
        "each class. Files that are not pictures are skipped, counted and listed at the end; a sub-folder without\n"
        "pictures is no class. A flat image, whose pixels are all equal once it is fitted, has nothing to learn from: "
        "it\n"
        "is skipped, and counted. Every other image is predicted before it is learned from, which gives the "
        "prequential\n"
        "(test-then-train) accuracy.\n"
        "What is printed at the end is on the disk. SIGINT stops after the current batch and keeps what was learned. "
        "The\n"
        "exit code is 0 when something was learned. --rate and --decay leave their last step size behind.\n"
        "Without files, --passes N rehearses all that the model has learned from. With --url, later passes are a\n"
        "job of the daemon, which serves and learns meanwhile; SIGINT cancels it.\n",
    .examples = "  convd train --db digits.db train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz\n"
                "  convd train --db digits.db --passes 12 --rate 0.073 --decay 0.75 images.idx labels.idx\n"
                "  convd train --db digits.db --passes 3 --rate 0.01 --jitter 1\n"
                "  convd train --url http://127.0.0.1:8080 --add-classes photos/\n",
    .flags = flags,
    .run = run_train,
};
