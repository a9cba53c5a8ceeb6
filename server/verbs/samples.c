/* samples.c - convd samples: what the model has learned from: listed, shown, forgotten, relabelled. */
#include "server/verbs/samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/io.h"
#include "server/cli/offline.h"
#include "server/cli/progress.h"
#include "server/cli/remote.h"
#include "server/image/input_png.h"
#include "server/trainer/rebuild.h"
#include "server/verbs/verbs.h"

#define LIMIT_MAX 500

static const struct cli_flag flags[] = {
    CLI_FLAG_DB,
    CLI_FLAG_URL,
    {FLAG_TEXT("label", "LABEL", NULL, "list: only samples of that class; relabel: the new class")},
    {FLAG_TEXT("predicted", "LABEL", NULL, "list: only samples that were predicted as that class")},
    {FLAG_SWITCH("wrong", "list: only samples that were predicted wrong")},
    {FLAG_COUNT("limit", "N", "20", 1, LIMIT_MAX, "list: at most N samples, the newest first")},
    {FLAG_COUNT("before", "ID", NULL, 1, (double)JSON_WHOLE_MAX,
                "list: only samples with lower ids, for the next page")},
    {FLAG_TEXT("image", "OUT.png", NULL, "show: write the picture, as the network saw it (-: to stdout)")},
    {FLAG_COUNT("scale", "N", "1", 1, PLANES_SCALE_MAX, "show: side of a pixel in it")},
    CLI_FLAG_FORCE,
    {FLAG_SWITCH("drop-pinned", "forget, relabel: delete pinned snapshots that have learned from one of them, too")},
    CLI_FLAG_JSON,
    CLI_FLAG_QUIET,
    CLI_FLAG_END,
};

/* ---- what is asked for ---- */

static const char *const words[SAMPLES_ACTIONS] = {
    [SAMPLES_LIST] = "list", [SAMPLES_SHOW] = "show", [SAMPLES_FORGET] = "forget", [SAMPLES_RELABEL] = "relabel"};

static int refuse_id(const char *text, struct err *err)
{
    return err_set(err, ERR_USAGE, "\"%.40s\" is not a sample id or a range such as 20-25", text);
}

/* "7", or "20-25". */
static int read_ids(struct samples_order *order, const char *text, struct err *err)
{
    char *end = NULL;
    const int64_t first = text[0] >= '0' && text[0] <= '9' ? strtoll(text, &end, 10) : 0;
    int64_t last = first;
    if (first > 0 && *end == '-' && end[1] >= '0' && end[1] <= '9')
        last = strtoll(end + 1, &end, 10);
    if (first <= 0 || *end != '\0' || last < first)
        return refuse_id(text, err);
    if (last - first >= (int64_t)(REBUILD_IDS_MAX - order->n))
        return err_set(err, ERR_USAGE, "too many samples at once; the limit is %u", REBUILD_IDS_MAX);
    for (int64_t id = first; id <= last; id++)
        order->ids[order->n++] = id;
    return 0;
}

static int check_flags(const struct samples_order *order, const struct cli_args *args, struct err *err)
{
    static const struct {
        const char *flag;
        unsigned of; /* actions, as bits */
        const char *says;
    } belongs[] = {
        {"label", 1U << SAMPLES_LIST | 1U << SAMPLES_RELABEL, "list and relabel"},
        {"predicted", 1U << SAMPLES_LIST, "list"},
        {"wrong", 1U << SAMPLES_LIST, "list"},
        {"limit", 1U << SAMPLES_LIST, "list"},
        {"before", 1U << SAMPLES_LIST, "list"},
        {"image", 1U << SAMPLES_SHOW, "show"},
        {"scale", 1U << SAMPLES_SHOW, "show"},
        {"force", 1U << SAMPLES_SHOW, "show"},
        {"drop-pinned", 1U << SAMPLES_FORGET | 1U << SAMPLES_RELABEL, "forget and relabel"},
    };
    for (size_t i = 0; i < sizeof belongs / sizeof *belongs; i++)
        if (cli_given(args, belongs[i].flag) && (belongs[i].of & 1U << order->action) == 0)
            return err_set(err, ERR_USAGE, "--%s belongs to %s", belongs[i].flag, belongs[i].says);
    if (order->action == SAMPLES_RELABEL && order->label == NULL)
        return err_set(err, ERR_USAGE, "relabel needs --label: the new class");
    return 0;
}

/* order->ids: free(), after an error too. */
static int read_order(struct samples_order *order, const struct cli_args *args, struct err *err)
{
    const char *word = args->n_operands > 0 ? args->operands[0] : words[SAMPLES_LIST];
    int i = 0;
    while (i < SAMPLES_ACTIONS && strcmp(words[i], word) != 0)
        i++;
    if (i == SAMPLES_ACTIONS)
        return err_set(err, ERR_USAGE, "\"%.40s\" is not one of list, show ID, forget ID..., relabel ID...", word);
    *order = (struct samples_order){
        .action = (enum samples_action)i,
        .label = cli_text(args, "label"),
        .predicted = cli_text(args, "predicted"),
        .wrong = cli_on(args, "wrong"),
        .limit = cli_count(args, "limit"),
        .before = cli_given(args, "before") ? (int64_t)cli_count(args, "before") : INT64_MAX,
        .scale = cli_count(args, "scale"),
        .drop_pinned = cli_on(args, "drop-pinned"),
    };
    order->ids = malloc(REBUILD_IDS_MAX * sizeof *order->ids);
    if (order->ids == NULL)
        return err_memory(err, "ids");
    if (check_flags(order, args, err) != 0)
        return -1;
    for (size_t at = 1; at < args->n_operands; at++)
        if (read_ids(order, args->operands[at], err) != 0)
            return -1;
    if (order->action == SAMPLES_LIST && order->n > 0)
        return err_set(err, ERR_USAGE, "list takes no id; show ID is for one sample");
    if (order->action == SAMPLES_SHOW && order->n != 1)
        return err_set(err, ERR_USAGE, "show takes the id of one sample: see convd samples list");
    if (order->action != SAMPLES_LIST && order->n == 0)
        return err_set(err, ERR_USAGE, "%s takes the ids of samples: see convd samples list", word);
    return 0;
}

/* ---- telling ---- */

static void print_heading(void)
{
    cli_say(stdout, "%8s  %10s  %-20s  %-16s  %-16s  %9s\n", "id", "revision", "created", "label", "predicted", "loss");
}

static void print_row(const struct json *s)
{
    const char *created = json_string(json_get(s, "created"));
    const char *label = json_string(json_get(s, "label")), *predicted = json_string(json_get(s, "predicted"));
    const struct json *loss = json_get(s, "loss");
    char number[32] = "-";
    if (loss != NULL && json_type(loss) == JSON_NUMBER)
        (void)snprintf(number, sizeof number, "%.6f", json_number(loss));
    cli_say(stdout, "%8.0f  %10.0f  %-20.19s  %-16s  %-16s  %9s%s\n", json_number(json_get(s, "id")),
            json_number(json_get(s, "revision")), created != NULL ? created : "", label != NULL ? label : "-",
            predicted != NULL ? predicted : "-", number,
            json_bool(json_get(s, "live")) ? "" : "  (not in this lineage)");
}

static void print_edit(const struct samples_order *order, const struct json *response)
{
    const double n = json_number(json_get(response, "samples"));
    const char *verb = n > 1 ? "samples are" : "sample is";
    if (!json_bool(json_get(response, "changed")))
        cli_say(stdout, "nothing to do: %.0f %s \"%s\" already: ", n, verb, order->label);
    else if (order->action == SAMPLES_FORGET)
        cli_say(stdout, "%.0f %s forgotten: ", n, verb);
    else
        cli_say(stdout, "%.0f %s \"%s\" now: ", n, verb, order->label);
    cli_say(stdout, "revision %.0f, step %.0f (%.1f s)\n", json_number(json_get(response, "revision")),
            json_number(json_get(response, "step")), json_number(json_get(response, "seconds")));
}

/* Frees the response. */
static int print_response(const struct samples_order *order, struct json *response, bool json, struct err *err)
{
    if (json)
        return cli_print_json(response, err);
    if (order->action == SAMPLES_LIST) {
        const char *next = json_string(json_get(response, "next"));
        print_heading();
        for (const struct json *s = json_first(json_get(response, "samples")); s != NULL; s = json_next(s))
            print_row(s);
        if (next != NULL)
            cli_say(stdout, "there may be more: --before %s\n", next);
    } else if (order->action == SAMPLES_SHOW) {
        print_heading();
        print_row(response);
    } else {
        print_edit(order, response);
    }
    json_free(response);
    return 0;
}

/* ---- a daemon ---- */

static int request_list(struct json **response, struct client *client, const struct samples_order *order,
                        struct err *err)
{
    char path[64 + 6 * (LABEL_BYTES_MAX + 1)];
    (void)snprintf(path, sizeof path, "/samples?limit=%llu%s", (unsigned long long)order->limit,
                   order->wrong ? "&wrong=1" : "");
    const struct {
        const char *name, *value;
    } filters[] = {{"&label=", order->label}, {"&predicted=", order->predicted}};
    for (size_t i = 0; i < 2; i++) {
        const size_t n = strlen(path);
        if (filters[i].value == NULL)
            continue;
        (void)snprintf(path + n, sizeof path - n, "%s", filters[i].name);
        if (client_escape(path, sizeof path, filters[i].value) != 0)
            return err_set(err, ERR_LABEL_UNKNOWN, "unknown label \"%.40s..\"", filters[i].value);
    }
    const size_t n = strlen(path);
    if (order->before < INT64_MAX)
        (void)snprintf(path + n, sizeof path - n, "&cursor=%lld", (long long)order->before);
    return remote_json(response, client, "GET", path, NULL, err);
}

static int request_image(uint8_t **png, size_t *n_png, struct client *client, const struct samples_order *order,
                         struct err *err)
{
    char path[96];
    struct client_request request = {.method = "GET", .path = path, .safe = true};
    struct client_reply reply;
    (void)snprintf(path, sizeof path, "/samples/%lld/image?scale=%llu", (long long)order->ids[0],
                   (unsigned long long)order->scale);
    if (client_send(client, &request, &reply, err) != 0)
        return -1;
    *png = (uint8_t *)reply.body;
    *n_png = reply.n_body;
    return 0;
}

/* {"ids": [..], "label": ".."}: malloc'ed. */
static char *edit_body(const struct samples_order *order, struct err *err)
{
    struct text text = {0};
    struct json_writer json = json_write_begin(&text);
    json_write_array(&json, "ids");
    for (size_t i = 0; i < order->n; i++)
        json_write_i64(&json, NULL, order->ids[i]);
    json_write_end(&json);
    if (order->label != NULL)
        json_write_string(&json, "label", order->label);
    json_write_end(&json);
    char *body = text_take(&text);
    if (body == NULL)
        err_memory(err, "a request");
    return body;
}

int cli_samples_follow(struct follow *job, bool quiet, struct err *err)
{
    struct progress progress;
    int status = 0;
    progress_start(&progress, "replaying", 0, quiet);
    while (status == 0 && job->state == JOB_STATE_RUNNING && !cli_stop()) {
        progress.total = job->steps_total; /* known once it has been looked at */
        progress_update(&progress, job->steps, NULL);
        status = follow_look(job, err);
    }
    progress_finish(&progress);
    if (status != 0 || job->state == JOB_STATE_DONE)
        return status;
    if (job->client == NULL)
        cli_say(stderr, "convd samples: the edit stays accepted: the next convd samples or convd serve does it\n");
    if (job->state == JOB_STATE_RUNNING)
        return job->client == NULL ? err_set(err, ERR_STOPPING, "stopped")
                                   : err_set(err, ERR_STOPPING, "stopped waiting; the daemon goes on with job %llu",
                                             (unsigned long long)job->id);
    *err = job->why;
    return err_wrap(err, "job %llu is %s", (unsigned long long)job->id, job_state_name(job->state));
}

static int request_edit(struct json **response, struct client *client, const struct samples_order *order, bool quiet,
                        struct err *err)
{
    struct json *begun = NULL, *model = NULL;
    struct follow job = {.client = client};
    struct progress clock;
    char *body = edit_body(order, err);
    progress_start(&clock, "", 0, true);
    int status = body != NULL ? remote_json(&begun, client, order->action == SAMPLES_FORGET ? "DELETE" : "PATCH",
                                            order->drop_pinned ? "/samples?drop_pinned=1" : "/samples", body, err)
                              : -1;
    const bool changed = begun != NULL && json_get(begun, "id") != NULL;
    if (changed)
        status = follow_read(&job, begun, err) == 0 ? cli_samples_follow(&job, quiet, err) : -1;
    uint64_t step = 0, revision = 0;
    if (status == 0)
        status = remote_json(&model, client, "GET", "/model", NULL, err);
    if (status == 0 &&
        (remote_count(&step, model, "step", err) != 0 || remote_count(&revision, model, "revision", err) != 0 ||
         cli_samples_edited(response, order, changed, step, revision, progress_seconds(&clock), err) != 0))
        status = -1;
    json_free(model);
    json_free(begun);
    free(body);
    return status;
}

static int run_url(struct json **response, uint8_t **png, size_t *n_png, const char *url,
                   const struct samples_order *order, const struct cli_args *args, struct err *err)
{
    struct client *client = NULL;
    char path[64];
    cli_stop_watch();
    int status = client_open(&client, url, CLIENT_PATIENCE_SECONDS, cli_stop_flag(), err);
    if (status == 0 && order->action == SAMPLES_LIST) {
        status = request_list(response, client, order, err);
    } else if (status == 0 && order->action == SAMPLES_SHOW) {
        (void)snprintf(path, sizeof path, "/samples/%lld", (long long)order->ids[0]);
        status = png != NULL ? request_image(png, n_png, client, order, err)
                             : remote_json(response, client, "GET", path, NULL, err);
    } else if (status == 0) {
        status = request_edit(response, client, order, cli_quiet(args), err);
    }
    client_close(client);
    return status;
}

static int run(const struct cli_args *args, struct err *err)
{
    struct samples_order order = {0};
    const char *url = NULL, *image = cli_text(args, "image");
    struct cli_output out = {0};
    struct json *response = NULL;
    uint8_t *png = NULL;
    size_t n_png = 0;
    int status = read_order(&order, args, err);
    if (status == 0 && image != NULL)
        status = cli_output_open(&out, image, cli_on(args, "force"), err);
    if (status == 0)
        status = cli_url(&url, args, err);
    if (status == 0)
        status = url != NULL ? run_url(&response, image != NULL ? &png : NULL, &n_png, url, &order, args, err)
                             : cli_samples_db(&response, image != NULL ? &png : NULL, &n_png, &order, args, err);
    if (status == 0 && image != NULL)
        status = cli_output_write(&out, png, n_png, err);
    else if (status == 0)
        status = print_response(&order, response, cli_on(args, "json"), err);
    cli_output_fini(&out);
    free(png);
    free(order.ids);
    return status;
}

const struct cli_verb cli_samples = {
    .name = "samples",
    .purpose = "list, show, forget and relabel samples",
    .operands = "[list | show ID | forget ID... | relabel ID...]",
    .operands_max = 1 + REBUILD_IDS_MAX,
    .details =
        "Exact machine unlearning: the model is replayed from before the first of these samples, and is then, bit for\n"
        "bit, as if a forgotten sample had never been there, and a relabelled one had always had its new class. "
        "Forgotten\n"
        "images are erased from the files, and later snapshots are deleted. ID can be a range: 20-25. All samples are\n"
        "edited, or none: an error names the first that cannot be. With --url the daemon does it, and goes on when "
        "the\n"
        "waiting is interrupted.\n",
    .examples = "  convd samples --db digits.db --wrong\n"
                "  convd samples show 4004 --image 4004.png --scale 8 --db digits.db\n"
                "  convd samples forget 4004 --url http://127.0.0.1:8080\n"
                "  convd samples relabel 20-25 31 --label 7 --db digits.db\n",
    .flags = flags,
    .run = run,
};
