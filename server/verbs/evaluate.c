/* evaluate.c - convd evaluate: how well the model knows labelled images that it does not learn from. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/batch.h"
#include "server/cli/io.h"
#include "server/cli/offline.h"
#include "server/cli/progress.h"
#include "server/cli/remote.h"
#include "server/common/json.h"
#include "server/verbs/verbs.h"

#define BATCH         256u
#define TABLE_CLASSES 40 /* more would be wider than any terminal */
#define COLUMN_MIN    5

static const struct cli_flag flags[] = {
    CLI_FLAG_DB,     CLI_FLAG_URL,          {FLAG_COUNT("limit", "N", NULL, 1, 1e12, "only the first N images")},
    CLI_FLAG_STRICT, CLI_FLAG_IMAGE_PIXELS, CLI_FLAG_ARITH,
    CLI_FLAG_JSON,   CLI_FLAG_QUIET,        CLI_FLAG_END,
};

struct evaluation {
    size_t n_classes;
    const char (*names)[LABEL_BYTES_MAX + 1]; /* borrowed                              */
    uint64_t *confusion;                      /* [n_classes][n_classes]: label, predicted */
    uint64_t samples, correct;
    double loss_sum;
    uint64_t revision, step;
    char digest[2 * DIGEST_BYTES + 1];
    bool moved; /* the daemon learned meanwhile: the figures mix revisions */
    bool interrupted;
    double seconds;
};

static int evaluation_init(struct evaluation *e, const char (*names)[LABEL_BYTES_MAX + 1], size_t n, struct err *err)
{
    *e = (struct evaluation){.n_classes = n, .names = names, .confusion = calloc(n * n + 1, sizeof *e->confusion)};
    return e->confusion != NULL ? 0 : err_memory(err, "%zu x %zu counts", n, n);
}

/* e = 1/2 sum_m (l^2_m - y_m)^2, of probabilities as a daemon answers them. */
static void count(struct evaluation *e, uint32_t label, const double *row)
{
    uint32_t best = 0;
    double loss = 0;
    for (uint32_t m = 0; m < e->n_classes; m++) {
        double r = row[m] - (m == label ? 1.0 : 0.0);
        loss += r * r / 2;
        best = row[m] > row[best] ? m : best;
    }
    e->confusion[label * e->n_classes + best]++;
    e->samples++;
    e->correct += label == best;
    e->loss_sum += loss;
}

/* ---- the two ways to predict a batch ---- */

static void count_db(struct evaluation *e, struct learner *learner, const struct cli_batch *batch, double *row)
{
    for (uint32_t i = 0; i < batch->n; i++) {
        const struct sample *sample = &batch->samples[i];
        net_forward(learner->arith, &learner->net, &learner->settings, sample->pixels, learner->ws);
        for (uint32_t m = 0; m < e->n_classes; m++)
            row[m] = cli_fixed9((double)learner->ws->l2[m]);
        count(e, sample->label, row);
    }
}

static int count_url(struct evaluation *e, struct remote *remote, const struct cli_batch *batch, double *probabilities,
                     struct err *err)
{
    uint64_t revision = remote->revision;
    if (remote_predict(probabilities, remote, batch->pixels, batch->n, err) != 0)
        return -1;
    e->moved = e->moved || remote->revision != revision;
    for (uint32_t i = 0; i < batch->n; i++)
        count(e, batch->samples[i].label, probabilities + (size_t)i * e->n_classes);
    return 0;
}

/* learner or remote: the other one is NULL. */
static int evaluate(struct evaluation *e, struct learner *learner, struct remote *remote, const struct cli_args *args,
                    struct dataset *dataset, struct err *err)
{
    const struct shape *shape = learner != NULL ? &learner->shape : &remote->shape;
    struct settings settings = learner != NULL ? learner->settings : remote->settings;
    if (learner != NULL)
        settings.fit = learner_fit(learner);
    uint32_t wanted = remote != NULL ? remote_slice(remote) : BATCH;
    struct cli_labels labels = {0};
    struct cli_batch batch = {0};
    double *probabilities = NULL;
    struct progress progress;
    int status = -1;

    progress_start(&progress, "evaluating", 0, cli_quiet(args));
    if (dataset_look(dataset, shape, &settings, cli_on(args, "strict"), err) != 0 ||
        cli_labels_init(&labels, e->names, e->n_classes, err) != 0 ||
        cli_labels_cover(&labels, dataset, "", err) != 0 ||
        cli_batch_init(&batch, shape, wanted, cli_count(args, "limit"), err) != 0)
        goto out;
    probabilities = calloc(remote != NULL ? batch.capacity : 1, e->n_classes * sizeof *probabilities);
    if (probabilities == NULL) {
        err_memory(err, "%u predictions", batch.capacity);
        goto out;
    }
    progress.total = cli_batch_total(&batch, dataset);
    while (!cli_stop()) {
        if (cli_batch_fill(&batch, dataset, shape, &settings, &labels, err) != 0)
            goto out;
        if (batch.n == 0)
            break;
        if (learner != NULL)
            count_db(e, learner, &batch, probabilities);
        else if (count_url(e, remote, &batch, probabilities, err) != 0)
            goto out;
        progress_update(&progress, e->samples, NULL);
    }
    status = 0;
out:
    progress_finish(&progress);
    e->seconds = progress_seconds(&progress);
    e->interrupted = cli_stop();
    free(probabilities);
    cli_batch_fini(&batch);
    cli_labels_fini(&labels);
    return status;
}

/* ---- telling ---- */

static int characters(const char *utf8)
{
    int n = 0;
    for (; *utf8 != '\0'; utf8++)
        n += ((unsigned char)*utf8 & 0xC0) != 0x80;
    return n;
}

static void print_padded(const char *text, int width)
{
    cli_say(stdout, "%*s%s", width - characters(text) > 0 ? width - characters(text) : 0, "", text);
}

/* Rows are what the images show, columns what was predicted. */
static void print_table(const struct evaluation *e)
{
    int width = COLUMN_MIN;
    for (size_t i = 0; i < e->n_classes; i++) {
        int n = characters(e->names[i]);
        width = n > width ? n : width;
    }
    cli_say(stdout, "\n");
    cli_say(stdout, "%*s  predicted\n", width, "");
    print_padded("label", width);
    cli_say(stdout, " ");
    for (size_t i = 0; i < e->n_classes; i++) {
        cli_say(stdout, " ");
        print_padded(e->names[i], width);
    }
    cli_say(stdout, "   found\n");
    for (size_t i = 0; i < e->n_classes; i++) {
        const uint64_t *row = &e->confusion[i * e->n_classes];
        uint64_t sum = 0;
        print_padded(e->names[i], width);
        cli_say(stdout, " ");
        for (size_t j = 0; j < e->n_classes; j++) {
            sum += row[j];
            if (row[j] == 0)
                cli_say(stdout, " %*s", width, ".");
            else
                cli_say(stdout, " %*llu", width, (unsigned long long)row[j]);
        }
        if (sum > 0)
            cli_say(stdout, "  %5.1f %%\n", 100.0 * (double)row[i] / (double)sum);
        else
            cli_say(stdout, "       -\n");
    }
}

static int print_evaluation(const struct evaluation *e, const struct dataset *dataset, bool as_json, struct err *err)
{
    double n = e->samples > 0 ? (double)e->samples : 1;
    if (!as_json) {
        cli_say(stdout, "%saccuracy %.2f %%: %llu of %llu images, loss %.4f, revision %llu, step %llu (%.2f s)\n",
                e->interrupted ? "stopped: " : "", 100.0 * (double)e->correct / n, (unsigned long long)e->correct,
                (unsigned long long)e->samples, e->loss_sum / n, (unsigned long long)e->revision,
                (unsigned long long)e->step, e->seconds);
        if (e->n_classes <= TABLE_CLASSES)
            print_table(e);
        else
            cli_say(stdout, "(--json has the table of %zu classes)\n", e->n_classes);
        return 0;
    }
    struct text text = {0};
    struct json_writer json = json_write_begin(&text);
    json_write_u64(&json, "samples", e->samples);
    json_write_number(&json, "accuracy", (double)e->correct / n);
    json_write_number(&json, "loss", e->loss_sum / n);
    json_write_u64(&json, "errors", e->samples - e->correct);
    json_write_array(&json, "classes");
    for (size_t i = 0; i < e->n_classes; i++)
        json_write_string(&json, NULL, e->names[i]);
    json_write_end(&json);
    json_write_array(&json, "confusion");
    for (size_t i = 0; i < e->n_classes; i++) {
        json_write_array(&json, NULL);
        for (size_t j = 0; j < e->n_classes; j++)
            json_write_u64(&json, NULL, e->confusion[i * e->n_classes + j]);
        json_write_end(&json);
    }
    json_write_end(&json);
    json_write_u64(&json, "step", e->step);
    json_write_u64(&json, "revision", e->revision);
    json_write_string(&json, "digest", e->digest);
    json_write_number(&json, "seconds", e->seconds);
    json_write_bool(&json, "interrupted", e->interrupted);
    cli_skipped_add(&json, dataset_skipped(dataset));
    return cli_print_object(&json, err);
}

/* ---- the verb ---- */

static int evaluate_db(struct evaluation *e, struct learner *learner, const struct cli_args *args,
                       struct dataset *dataset, struct err *err)
{
    uint8_t digest[DIGEST_BYTES];
    if (evaluation_init(e, (const char(*)[LABEL_BYTES_MAX + 1]) learner->labels, learner->n_classes, err) != 0 ||
        evaluate(e, learner, NULL, args, dataset, err) != 0)
        return -1;
    learner_digest(learner, digest);
    cli_hex(e->digest, digest);
    e->revision = learner->revision;
    e->step = learner->step;
    return print_evaluation(e, dataset, cli_on(args, "json"), err);
}

static int evaluate_url(struct evaluation *e, struct remote *remote, const struct cli_args *args,
                        struct dataset *dataset, struct err *err)
{
    if (evaluation_init(e, (const char(*)[LABEL_BYTES_MAX + 1]) remote->labels, remote->n_labels, err) != 0)
        return -1;
    e->revision = remote->revision;
    e->step = remote->step;
    memcpy(e->digest, remote->digest, sizeof e->digest);
    if (evaluate(e, NULL, remote, args, dataset, err) != 0)
        return -1;
    if (e->moved)
        cli_say(stderr, "convd: warning: the daemon learned meanwhile: predictions are of revisions %llu to %llu\n",
                (unsigned long long)e->revision, (unsigned long long)remote->revision);
    return print_evaluation(e, dataset, cli_on(args, "json"), err);
}

static int run(const struct cli_args *args, struct err *err)
{
    const char *url = NULL;
    if (cli_url(&url, args, err) != 0)
        return -1;
    struct offline model = {0};
    struct remote remote = {0};
    struct dataset *dataset = NULL;
    struct evaluation e = {0};
    int status = -1;
    cli_stop_watch();
    if (cli_dataset_open(&dataset, args, err) != 0)
        goto out;
    if (url != NULL)
        status = remote_open(&remote, url, err) == 0 ? evaluate_url(&e, &remote, args, dataset, err) : -1;
    else
        status = offline_open(&model, args, true, err) == 0 ? evaluate_db(&e, model.learner, args, dataset, err) : -1;
out:
    cli_skipped_print(dataset_skipped(dataset));
    if (status == 0 && e.interrupted)
        status = CLI_INTERRUPTED;
    free(e.confusion);
    dataset_close(dataset);
    remote_close(&remote);
    offline_close(&model);
    return status;
}

const struct cli_verb cli_evaluate = {
    .name = "evaluate",
    .purpose = "measure the model on labelled images, without learning",
    .operands = "IMAGES.idx LABELS.idx | FOLDER",
    .operands_min = 1,
    .operands_max = 2,
    .details =
        "Accuracy, mean loss and the confusion matrix: rows are what the images show, columns what was predicted.\n"
        "Takes the same files as `convd train`, skips files that are not pictures as it does, and changes nothing.\n",
    .examples = "  convd evaluate --db digits.db t10k-images-idx3-ubyte.gz t10k-labels-idx1-ubyte.gz\n"
                "  convd evaluate --url http://127.0.0.1:8080 --json photos/\n",
    .flags = flags,
    .run = run,
};
