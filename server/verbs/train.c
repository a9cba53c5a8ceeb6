/* train.c - convd train: what is asked for, and what is told of it. verbs/train_db.c and verbs/train_url.c do it. */
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
     .low = REHEARSE_DECAY_MIN,
     .high = 1,
     .help = "multiply the step size by this before each later pass; the model keeps it"},
    {.name = "jitter",
     .kind = CLI_NUMBER,
     .argument = "PIXELS",
     .low = 0,
     .high = JITTER_SHIFT_MAX,
     .help = "shift rehearsed images by up to this at random (default: the model's)"},
    {.name = "rotation",
     .kind = CLI_NUMBER,
     .argument = "DEGREES",
     .low = 0,
     .high = JITTER_DEGREES_MAX,
     .help = "and turn them by up to this (default: the model's)"},
    {.name = "limit", .kind = CLI_COUNT, .argument = "N", .low = 1, .high = 1e12, .help = "only the first N images"},
    {.name = "batch",
     .kind = CLI_COUNT,
     .argument = "N",
     .fallback = "256",
     .low = 1,
     .high = 65536,
     .help = "images in one event of the log, or in one request; the arithmetic is one at a time always"},
    {.name = "add-classes", .kind = CLI_SWITCH, .help = "labels that the model does not know become new classes"},
    CLI_FLAG_STRICT,
    {.name = "flat",
     .kind = CLI_SWITCH,
     .help = "learn flat images, too, whose pixels are all equal; else they are passed over"},
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

static int print_training(const struct training *t, const struct dataset *dataset, bool json, struct err *err)
{
    double rate = t->seconds > 0 ? (double)t->steps / t->seconds : 0;
    double accuracy = t->samples > 0 ? (double)t->correct / (double)t->samples : 0;
    double loss = t->samples > 0 ? t->loss_sum / (double)t->samples : 0;
    if (t->flat > 0)
        (void)fprintf(stderr,
                      "convd: %llu images were passed over: all pixels are equal where the network would see them "
                      "(--flat learns them, too)\n",
                      (unsigned long long)t->flat);
    if (!json && t->samples == 0 && t->rehearsed > 0) {
        (void)printf("%srehearsed %llu images, %llu pass%s, in %.2f s, %.0f/s; step %llu, revision %llu\n",
                     t->interrupted ? "stopped: " : "", (unsigned long long)t->rehearsed, (unsigned long long)t->passes,
                     t->passes == 1 ? "" : "es", t->seconds, rate, (unsigned long long)t->step,
                     (unsigned long long)t->revision);
        return 0;
    }
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
    json_add_number(root, "flat", (double)t->flat);
    json_add_number(root, "rehearsed", (double)t->rehearsed);
    json_add_number(root, "passes", (double)t->passes);
    json_add_number(root, "steps", (double)t->steps);
    json_add_number(root, "seconds", t->seconds);
    json_add_number(root, "steps_per_second", rate);
    if (t->samples > 0 || t->rehearsed == 0) {
        json_add_number(root, "accuracy", accuracy);
        json_add_number(root, "loss", loss);
    }
    struct json *ids = json_add_array(root, "ids");
    if (t->samples > 0) {
        json_add_number(ids, NULL, (double)t->first_id);
        json_add_number(ids, NULL, (double)t->last_id);
    }
    json_add_number(root, "step", (double)t->step);
    json_add_number(root, "revision", (double)t->revision);
    json_add_bool(root, "interrupted", t->interrupted);
    cli_skipped_add(root, dataset);
    return cli_print_json(root, err);
}

static int open_files(struct dataset **out, const struct cli_args *args, struct err *err)
{
    *out = NULL;
    if (args->n_operands == 0) {
        if (cli_given(args, "limit") || cli_given(args, "batch") || cli_on(args, "add-classes") || cli_on(args, "flat"))
            return err_set(err, ERR_USAGE,
                           "--limit, --batch, --add-classes and --flat are for images, but none is given");
        return cli_given(args, "passes")
                   ? 0
                   : err_set(err, ERR_USAGE,
                             "the input is missing: usage is convd train [FLAGS] FILES, or convd train "
                             "--passes N to rehearse what was learned before");
    }
    if (dataset_open(out, args->operands, args->n_operands, err) != 0)
        return -1;
    if (dataset_length(*out) > 0)
        return 0;
    dataset_close(*out);
    *out = NULL;
    return err_set(err, ERR_FILE, "there is no image in %.200s", args->operands[0]);
}

static int run_train(const struct cli_args *args, struct err *err)
{
    const char *url = NULL;
    if (cli_url(&url, args, err) != 0)
        return -1;
    if (url != NULL && cli_given(args, "arith"))
        return err_set(err, ERR_USAGE, "--arith needs a database: with --url, the daemon computes");
    if (url != NULL && cli_count(args, "passes") > REHEARSE_PASSES_MAX)
        return err_set(err, ERR_USAGE, "--passes is at most %u with --url", REHEARSE_PASSES_MAX);
    struct dataset *dataset = NULL;
    if (open_files(&dataset, args, err) != 0)
        return -1;
    cli_stop_watch();
    struct training training = {0};
    int status = url != NULL ? train_url(&training, url, args, dataset, err) : train_db(&training, args, dataset, err);
    cli_skipped_tell(dataset);
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
        "A pair of IDX files (plain or gzipped), or a folder with one sub-folder of PNG and JPEG files for each\n"
        "class: what is no picture in there is skipped, counted and told in the end, and a class without a picture is\n"
        "none. An image all of whose pixels are equal, once it is fitted, has nothing to learn from: it is passed "
        "over,\n"
        "and counted. Every other image is predicted before it is learned from: that gives the test-then-train\n"
        "accuracy.\n"
        "What is printed in the end is on the disk. SIGINT stops after the current batch and keeps what was\n"
        "learned. The exit code is 0 when something was learned. Nothing is tuned back afterwards: --rate and --decay "
        "leave their last step size behind.\n"
        "Without files, --passes N rehearses all that the model has learned from. With --url, later passes are a\n"
        "job of the daemon, which goes on answering and learning meanwhile; SIGINT cancels it.\n",
    .examples = "  convd train --db digits.db train-images-idx3-ubyte.gz train-labels-idx1-ubyte.gz\n"
                "  convd train --db digits.db --passes 12 --rate 0.073 --decay 0.75 images.idx labels.idx\n"
                "  convd train --db digits.db --passes 3 --rate 0.01 --jitter 1\n"
                "  convd train --url http://127.0.0.1:8080 --add-classes photos/\n",
    .flags = flags,
    .run = run_train,
};
