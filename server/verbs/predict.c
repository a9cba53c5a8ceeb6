/* predict.c - convd predict: pictures in, labels out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "server/cli/batch.h"
#include "server/cli/io.h"
#include "server/cli/offline.h"
#include "server/cli/remote.h"
#include "server/common/json.h"
#include "server/formats/folder.h"
#include "server/image/file_kind.h"
#include "server/image/image.h"
#include "server/verbs/verbs.h"

#define FILE_BYTES_MAX ((size_t)64 << 20)

static const struct cli_flag flags[] = {
    CLI_FLAG_DB,
    CLI_FLAG_URL,
    {FLAG_COUNT("top", "K", "1", 1, SHAPE_CLASSES_MAX, "number of labels to print, the likeliest first")},
    {FLAG_NUMBER(
        "unknown", "X", "0", 0, 1,
        "no label where the share of the class's taught images that are no nearer is below this; 0: always one")},
    {FLAG_SWITCH("strict", "end at the first file that is no picture")},
    CLI_FLAG_IMAGE_PIXELS,
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
    struct json_writer *json; /* of --json, or NULL */
    size_t top;
    uint64_t pixels_max;            /* of a picture */
    bool strict, failed;            /* failed: a file that was named could not be predicted, or no file of a folder */
    uint64_t n_predicted;           /* pictures                                    */
    struct dataset_skipped skipped; /* in folders                                  */
    double unknown;                 /* known below which there is no label; 0: none is  */
    double confidence;              /* of the last picture                              */
    double known;                   /* likewise; NaN: nothing can be said               */
    struct calibration calibration; /* of a database's model                            */
    struct novelty *novelty;        /* NULL: a daemon's, or nobody wants it             */
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
        return err_memory(err, "%zu classes", n);
    ranking->rows = rows;
    ranking->capacity = n;
    return 0;
}

static int predict_db(struct run *run, const uint8_t *bytes, size_t n_bytes, struct err *err)
{
    struct learner *learner = run->model.learner;
    if (image_to_input(run->input, &learner->shape, learner_fit(learner), learner->settings.invert, bytes, n_bytes,
                       &(struct image_limits){.pixels_max = run->pixels_max}, err) != 0 ||
        ranking_reserve(&run->ranking, learner->n_classes, err) != 0)
        return -1;
    net_forward(learner->arith, &learner->net, &learner->settings, run->input, learner->ws);
    for (size_t i = 0; i < run->ranking.n; i++)
        run->ranking.rows[i] = (struct ranked){learner->labels[i], cli_fixed9((double)learner->ws->l2[i]), i};
    const uint32_t best = net_argmax(&learner->net, learner->ws->l2);
    run->confidence = cli_fixed9(calibration_confidence(&run->calibration, learner->ws->l2[best]));
    if (run->novelty != NULL)
        run->known = cli_fixed9((double)novelty_known(run->novelty, learner, best, learner->ws));
    run->flat = image_is_flat(run->input, &learner->shape);
    return 0;
}

/* The daemon fits the picture itself: it goes there as it is. */
static int predict_url(struct run *run, const uint8_t *bytes, size_t n_bytes, struct json **response, struct err *err)
{
    static const char *const types[] = {
        [FILE_PNG] = "image/png", [FILE_JPEG] = "image/jpeg", [FILE_WEBP] = "image/webp"};
    char path[40];
    (void)snprintf(path, sizeof path, run->unknown > 0.0 ? "/predict?unknown=%.9f" : "/predict", run->unknown);
    struct client_request request = {.method = "POST",
                                     .path = path,
                                     .type = "application/octet-stream",
                                     .body = bytes,
                                     .n_body = n_bytes,
                                     .safe = true};
    struct client_reply reply = {0};
    const struct file_kind kind = file_kind(bytes, n_bytes);
    if (!file_is_picture(kind)) /* the daemon might take it for a raw input */
        return file_refuse(kind, err);
    request.type = types[kind.format];
    int status = client_send(run->client, &request, &reply, err);
    if (status == 0)
        status = remote_parse(response, &reply, err);
    client_reply_fini(&reply);
    if (status != 0)
        return -1;
    const struct json *probabilities = json_get(*response, "probabilities");
    const struct json *p = probabilities != NULL ? json_first(probabilities) : NULL;
    if (p == NULL)
        return err_set(err, ERR_NETWORK, "the daemon's response has no probabilities");
    if (ranking_reserve(&run->ranking, json_length(probabilities), err) != 0)
        return -1;
    for (size_t i = 0; p != NULL; p = json_next(p), i++)
        run->ranking.rows[i] = (struct ranked){json_name(p), json_number(p), i};
    run->confidence = json_number(json_get(*response, "confidence"));
    const struct json *known = json_get(*response, "known");
    run->known = known != NULL && json_type(known) == JSON_NUMBER ? json_number(known) : (double)NAN;
    run->flat = json_get(*response, "flat") != NULL;
    run->revision = (uint64_t)json_number(json_get(*response, "revision"));
    run->step = (uint64_t)json_number(json_get(*response, "step"));
    return 0;
}

/* As POST /predict does. */
static void add_label(const struct run *run, bool unknown)
{
    const char *label = run->ranking.rows[0].label;
    if (unknown)
        json_write_null(run->json, "label");
    json_write_string(run->json, unknown ? "nearest" : "label", label);
    json_write_number(run->json, "confidence", run->confidence);
    if (run->unknown > 0.0 && isnan(run->known))
        json_write_null(run->json, "known");
    else if (run->unknown > 0.0)
        json_write_number(run->json, "known", run->known);
}

static void print_one(const struct run *run, const char *path)
{
    const struct ranking *ranking = &run->ranking;
    size_t n = ranking->n < run->top ? ranking->n : run->top;
    const bool unknown = run->known < run->unknown; /* not where it is NaN */
    if (run->json == NULL) {
        cli_say(stdout, "%s:%s", path, unknown ? " unknown, nearest" : "");
        for (size_t i = 0; i < n; i++)
            cli_say(stdout, "%s %s %.4f", i > 0 ? "," : "", ranking->rows[i].label,
                    i > 0 ? ranking->rows[i].probability : run->confidence);
        cli_say(stdout, "\n");
        if (run->flat)
            cli_say(stderr, "convd predict: %s: all pixels are equal where the network sees it\n", path);
        return;
    }
    json_write_object(run->json, NULL);
    json_write_string(run->json, "file", path);
    add_label(run, unknown);
    json_write_object(run->json, "probabilities");
    for (size_t i = 0; i < n; i++)
        json_write_number(run->json, ranking->rows[i].label, ranking->rows[i].probability);
    json_write_end(run->json);
    if (run->flat)
        json_write_bool(run->json, "flat", true);
    json_write_end(run->json);
}

static int predict_file(struct run *run, const char *path, struct err *err)
{
    uint8_t *bytes = NULL;
    size_t n_bytes = 0;
    struct json *response = NULL;
    if (cli_read(&bytes, &n_bytes, path, FILE_BYTES_MAX, err) != 0)
        return -1;
    int status =
        run->url != NULL ? predict_url(run, bytes, n_bytes, &response, err) : predict_db(run, bytes, n_bytes, err);
    if (status == 0) {
        qsort(run->ranking.rows, run->ranking.n, sizeof *run->ranking.rows, compare);
        print_one(run, path);
    } else {
        err_wrap(err, "%.150s", path);
    }
    json_free(response);
    free(bytes);
    return status;
}

/* Whether it is this file's fault: others may be had all the same. */
static bool is_of_file(enum err_code code)
{
    return code == ERR_FILE || code == ERR_EMPTY || code == ERR_MEDIA_TYPE || code == ERR_IMAGE ||
           code == ERR_IMAGE_LIMIT || code == ERR_TOO_LARGE;
}

/* What cannot be predicted is told where it was named, and counted where a folder held it. */
static int predict_or_skip(struct run *run, const char *path, bool named, struct err *err)
{
    struct err why = {0};
    if (predict_file(run, path, &why) == 0) {
        run->n_predicted++;
        return 0;
    }
    if (run->strict || !is_of_file(why.code)) {
        *err = why;
        return -1;
    }
    if (!named) {
        dataset_skip(&run->skipped, &why);
        return 0;
    }
    cli_say(stderr, "convd predict: %s\n", why.text);
    if (run->json != NULL) {
        json_write_object(run->json, NULL);
        json_write_string(run->json, "file", path);
        json_write_string(run->json, "error", why.text);
        json_write_end(run->json);
    }
    run->failed = true;
    return 0;
}

static int predict_folder(struct run *run, const char *path, struct err *err)
{
    struct folder_files files = {0};
    const uint64_t before = run->n_predicted;
    int status = folder_files_list(&files, path, &run->skipped.hidden, err);
    for (size_t i = 0; i < files.n && status == 0 && !cli_stop(); i++)
        status = predict_or_skip(run, files.paths[i], false, err);
    folder_files_fini(&files);
    if (status == 0 && run->n_predicted == before && !cli_stop()) {
        cli_say(stderr, "convd predict: there is no picture in %s\n", path);
        run->failed = true;
    }
    return status;
}

static int predict_operands(struct run *run, const struct cli_args *args, struct err *err)
{
    int status = 0;
    for (size_t i = 0; i < args->n_operands && status == 0 && !cli_stop(); i++) {
        struct stat kind;
        const char *path = args->operands[i];
        status = stat(path, &kind) == 0 && S_ISDIR(kind.st_mode) ? predict_folder(run, path, err)
                                                                 : predict_or_skip(run, path, true, err);
    }
    cli_skipped_print(&run->skipped);
    if (status != 0)
        return -1;
    return cli_stop() ? CLI_INTERRUPTED : run->failed ? CLI_FAILED : CLI_OK;
}

static int start(struct run *run, const struct cli_args *args, struct err *err)
{
    if (run->url != NULL)
        return client_open(&run->client, run->url, CLIENT_PATIENCE_SECONDS, cli_stop_flag(), err);
    if (offline_open(&run->model, args, true, err) != 0)
        return -1;
    const struct learner *learner = run->model.learner;
    if (learner->n_classes == 0)
        return err_set(err, ERR_CONFLICT,
                       "the model has no class yet, so there is nothing to predict: convd train --add-classes FOLDER "
                       "teaches it some");
    run->revision = learner->revision;
    run->step = learner->step;
    calibration_fit(&run->calibration, &learner->tally);
    run->input = malloc(learner->shape.n_input);
    if (run->input == NULL)
        return err_memory(err, "a picture");
    if (run->unknown > 0.0 && (run->novelty = novelty_create(learner)) == NULL)
        return err_memory(err, "what was taught");
    if (run->novelty != NULL)
        novelty_measure(run->novelty, learner, learner->ws);
    return 0;
}

static int run_predict(const struct cli_args *args, struct err *err)
{
    struct run run = {.top = (size_t)cli_count(args, "top"),
                      .pixels_max = cli_count(args, "image-pixels"),
                      .strict = cli_on(args, "strict"),
                      .unknown = cli_number(args, "unknown"),
                      .known = (double)NAN};
    if (cli_url(&run.url, args, err) != 0)
        return -1;
    cli_stop_watch();
    struct text text = {0};
    struct json_writer json = json_write_begin(&text);
    json_write_array(&json, "predictions");
    if (cli_on(args, "json"))
        run.json = &json;
    int status = start(&run, args, err);
    if (status == 0)
        status = predict_operands(&run, args, err);
    if (status >= 0 && run.json != NULL) {
        json_write_end(&json);
        json_write_u64(&json, "step", run.step);
        json_write_u64(&json, "revision", run.revision);
        cli_skipped_add(&json, &run.skipped);
        if (cli_print_object(&json, err) != 0)
            status = -1;
    }
    text_free(&text);
    free(run.ranking.rows);
    free(run.input);
    novelty_free(run.novelty);
    offline_close(&run.model);
    client_close(run.client);
    return status;
}

const struct cli_verb cli_predict = {
    .name = "predict",
    .purpose = "predict what pictures show",
    .operands = "IMAGE... | FOLDER...",
    .operands_min = 1,
    .operands_max = (size_t)-1,
    .details =
        "PNG, JPEG or WebP files of any size (\"-\": stdin), fitted to the model's input. Prints \"FILE: LABEL "
        "CONFIDENCE\"; with --top, the others follow with what the network said of them.\n"
        "With --unknown 0.05, a picture that is less like its class than 95 % of what was taught of it has no label:\n"
        "\"FILE: unknown, nearest LABEL CONFIDENCE\".\n"
        "Changes nothing. A file that is not a picture is named on stderr, the others are predicted,\n"
        "and the exit code is 1.\n"
        "Of a folder, every picture below it is predicted; what is no picture in there is skipped, counted and told\n"
        "in the end, and the exit code is 0 where there was a picture.\n",
    .examples = "  convd predict --db digits.db 7.png\n"
                "  convd predict --db digits.db scans/ > labels.txt\n"
                "  convd predict --url http://127.0.0.1:8080 --top 3 --json scans/*.png\n",
    .flags = flags,
    .run = run_predict,
};
