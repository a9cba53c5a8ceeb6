/* predict.c - convd predict: pictures in, labels out. */
#include <stdio.h>
#include <stdlib.h>

#include "server/cli/io.h"
#include "server/cli/offline.h"
#include "server/cli/remote.h"
#include "server/common/json.h"
#include "server/image/file_kind.h"
#include "server/image/image.h"
#include "server/verbs/verbs.h"

#define FILE_BYTES_MAX ((size_t)64 << 20)

static const struct cli_flag flags[] = {
    CLI_FLAG_DB,
    CLI_FLAG_URL,
    {.name = "top",
     .kind = CLI_COUNT,
     .argument = "K",
     .fallback = "1",
     .low = 1,
     .high = SHAPE_CLASSES_MAX,
     .help = "how many labels to print, the likeliest first"},
    CLI_FLAG_JSON,
    CLI_FLAG_END,
};

/* Labels with their probabilities, the likeliest first. */
struct ranking {
    size_t n, capacity;
    struct ranked {
        const char *label;
        double probability;
        size_t index; /* of the class: the lower wins a tie, as in net_argmax() */
    } * rows;
};

/* One of the two, and what came of it. */
struct run {
    const char *url;
    struct offline model;
    struct client *client;
    uint64_t step, revision;
    struct ranking ranking;
    uint8_t *input;
    struct json *predictions; /* of --json, or NULL */
    size_t top;
    bool flat; /* the picture that was predicted last: all its pixels are equal where the network sees it */
};

static int compare(const void *a, const void *b)
{
    const struct ranked *left = a;
    const struct ranked *right = b;
    if (left->probability != right->probability)
        return left->probability > right->probability ? -1 : 1;
    return left->index < right->index ? -1 : 1;
}

static int ranking_reserve(struct ranking *ranking, size_t n, struct err *err)
{
    ranking->n = n;
    if (n <= ranking->capacity)
        return 0;
    struct ranked *rows = realloc(ranking->rows, n * sizeof *rows);
    if (rows == NULL)
        return err_set(err, ERR_MEMORY, "not enough memory for %zu classes", n);
    ranking->rows = rows;
    ranking->capacity = n;
    return 0;
}

static int predict_db(struct run *run, const uint8_t *bytes, size_t n_bytes, struct err *err)
{
    struct learner *learner = run->model.learner;
    if (image_to_input(run->input, &learner->shape, &learner->settings, bytes, n_bytes,
                       &(struct image_limits){.pixels_max = IMAGE_PIXELS_MAX_DEFAULT}, err) != 0 ||
        ranking_reserve(&run->ranking, learner->n_classes, err) != 0)
        return -1;
    net_forward(learner->arith, &learner->net, learner->settings.mean, run->input, learner->ws);
    for (size_t i = 0; i < run->ranking.n; i++)
        run->ranking.rows[i] = (struct ranked){learner->labels[i], (double)learner->ws->l2[i], i};
    run->flat = image_is_flat(run->input, &learner->shape);
    return 0;
}

/* The daemon fits the picture itself: it goes there as it is. */
static int predict_url(struct run *run, const uint8_t *bytes, size_t n_bytes, struct json **answer, struct err *err)
{
    struct client_request request = {.method = "POST",
                                     .path = "/predict",
                                     .type = "application/octet-stream",
                                     .body = bytes,
                                     .n_body = n_bytes,
                                     .safe = true};
    struct client_reply reply = {0};
    const struct file_kind kind = file_kind(bytes, n_bytes);
    if (!file_is_picture(kind)) /* the daemon might take it for a raw input */
        return err_set(err, ERR_MEDIA_TYPE, "not a PNG or JPEG%s%s", kind.name != NULL ? ": it looks like " : "",
                       kind.name != NULL ? kind.name : "");
    request.type = kind.format == FILE_PNG ? "image/png" : "image/jpeg";
    int status = client_send(run->client, &request, &reply, err);
    if (status == 0)
        status = remote_parse(answer, &reply, err);
    client_reply_fini(&reply);
    if (status != 0)
        return -1;
    const struct json *probabilities = json_get(*answer, "probabilities");
    const struct json *p = probabilities != NULL ? json_first(probabilities) : NULL;
    if (p == NULL)
        return err_set(err, ERR_NETWORK, "the daemon's answer has no probabilities");
    if (ranking_reserve(&run->ranking, json_length(probabilities), err) != 0)
        return -1;
    for (size_t i = 0; p != NULL; p = json_next(p), i++)
        run->ranking.rows[i] = (struct ranked){json_name(p), json_number(p), i};
    run->flat = json_get(*answer, "flat") != NULL;
    run->revision = (uint64_t)json_number(json_get(*answer, "revision"));
    run->step = (uint64_t)json_number(json_get(*answer, "step"));
    return 0;
}

static void print_one(const struct run *run, const char *path)
{
    const struct ranking *ranking = &run->ranking;
    size_t n = ranking->n < run->top ? ranking->n : run->top;
    if (run->predictions == NULL) {
        (void)printf("%s:", path);
        for (size_t i = 0; i < n; i++)
            (void)printf("%s %s %.4f", i > 0 ? "," : "", ranking->rows[i].label, ranking->rows[i].probability);
        (void)putchar('\n');
        if (run->flat)
            (void)fprintf(stderr, "convd predict: %s: all pixels are equal where the network sees it\n", path);
        return;
    }
    struct json *item = json_add_object(run->predictions, NULL);
    json_add_string(item, "file", path);
    json_add_string(item, "label", ranking->rows[0].label);
    json_add_number(item, "confidence", ranking->rows[0].probability);
    struct json *probabilities = json_add_object(item, "probabilities");
    for (size_t i = 0; i < n; i++)
        json_add_number(probabilities, ranking->rows[i].label, ranking->rows[i].probability);
    if (run->flat)
        json_add_bool(item, "flat", true);
}

static int predict_file(struct run *run, const char *path, struct err *err)
{
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    struct json *answer = NULL;
    if (cli_read(&bytes, &n_bytes, path, FILE_BYTES_MAX, err) != 0)
        return -1;
    int status =
        run->url != NULL ? predict_url(run, bytes, n_bytes, &answer, err) : predict_db(run, bytes, n_bytes, err);
    if (status == 0) {
        qsort(run->ranking.rows, run->ranking.n, sizeof *run->ranking.rows, compare);
        print_one(run, path);
    } else {
        err_wrap(err, "%.150s", path);
    }
    json_free(answer);
    free(bytes);
    return status;
}

/* A picture that cannot be read is told, and the others go on; a daemon that cannot be reached ends it. */
static int predict_files(struct run *run, const struct cli_args *args, struct err *err)
{
    int status = CLI_OK;
    for (size_t i = 0; i < args->n_operands && !cli_stop(); i++) {
        struct err why = {0};
        if (predict_file(run, args->operands[i], &why) == 0)
            continue;
        if (cli_exit_code(why.code) != CLI_FAILED) {
            *err = why;
            return -1;
        }
        (void)fprintf(stderr, "convd predict: %s\n", why.text);
        if (run->predictions != NULL) {
            struct json *item = json_add_object(run->predictions, NULL);
            json_add_string(item, "file", args->operands[i]);
            json_add_string(item, "error", why.text);
        }
        status = CLI_FAILED;
    }
    return cli_stop() ? CLI_INTERRUPTED : status;
}

static int start(struct run *run, const struct cli_args *args, struct err *err)
{
    if (run->url != NULL)
        return client_open(&run->client, run->url, CLIENT_PATIENCE_SECONDS, cli_stop_flag(), err);
    if (offline_open(&run->model, args, true, err) != 0)
        return -1;
    const struct learner *learner = run->model.learner;
    run->revision = learner->revision;
    run->step = learner->step;
    run->input = malloc(learner->shape.n_input);
    return run->input != NULL ? 0 : err_set(err, ERR_MEMORY, "not enough memory for a picture");
}

static int run_predict(const struct cli_args *args, struct err *err)
{
    struct run run = {.top = (size_t)cli_count(args, "top")};
    struct json *root = NULL;
    if (cli_url(&run.url, args, err) != 0)
        return -1;
    cli_stop_watch();
    int status = start(&run, args, err);
    if (status == 0 && cli_on(args, "json")) {
        root = json_object();
        run.predictions = json_add_array(root, "predictions");
        if (run.predictions == NULL)
            status = err_set(err, ERR_MEMORY, "not enough memory for the answer");
    }
    if (status == 0)
        status = predict_files(&run, args, err);
    if (status >= 0 && root != NULL) {
        json_add_number(root, "step", (double)run.step);
        json_add_number(root, "revision", (double)run.revision);
        if (cli_print_json(root, err) != 0)
            status = -1;
        root = NULL;
    }
    json_free(root);
    free(run.ranking.rows);
    free(run.input);
    offline_close(&run.model);
    client_close(run.client);
    return status;
}

const struct cli_verb cli_predict = {
    .name = "predict",
    .purpose = "tell what pictures show",
    .operands = "IMAGE...",
    .operands_min = 1,
    .operands_max = (size_t)-1,
    .details =
        "PNG or JPEG files of any size (\"-\": stdin), fitted to the model's input. Prints \"FILE: LABEL "
        "CONFIDENCE\".\n"
        "Changes nothing. A file that is not a picture is told on stderr, the others are predicted all the same,\n"
        "and the exit code is 1.\n",
    .examples = "  convd predict --db digits.db 7.png\n"
                "  convd predict --url http://127.0.0.1:8080 --top 3 --json scans/*.png\n",
    .flags = flags,
    .run = run_predict,
};
