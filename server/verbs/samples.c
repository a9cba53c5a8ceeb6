/* samples.c - convd samples: what the model has learned from: listed, shown, forgotten, relabelled. */
#include "server/verbs/samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/cli/io.h"
#include "server/cli/offline.h"
#include "server/cli/progress.h"
#include "server/cli/remote.h"
#include "server/image/input_png.h"
#include "server/trainer/rebuild.h"
#include "server/verbs/verbs.h"

#define LIMIT_DEFAULT 20
#define LIMIT_MAX     500
#define POLL_NS       100000000L /* between two looks at a job */

static const struct cli_flag flags[] = {
    CLI_FLAG_DB,
    CLI_FLAG_URL,
    {.name = "label",
     .kind = CLI_TEXT,
     .argument = "LABEL",
     .help = "list: only samples of that class; relabel: the class that they get"},
    {.name = "predicted", .kind = CLI_TEXT, .argument = "LABEL", .help = "list: only what was taken for that"},
    {.name = "wrong", .kind = CLI_SWITCH, .help = "list: only what was taken for another class than it is of"},
    {.name = "limit",
     .kind = CLI_COUNT,
     .argument = "N",
     .fallback = "20",
     .low = 1,
     .high = LIMIT_MAX,
     .help = "list: at most so many, the newest first"},
    {.name = "before",
     .kind = CLI_COUNT,
     .argument = "ID",
     .low = 1,
     .high = 9007199254740992.0,
     .help = "list: only samples with lower ids: what came before a page"},
    {.name = "image",
     .kind = CLI_TEXT,
     .argument = "OUT.png",
     .help = "show: write the picture, as the network saw it (-: to stdout)"},
    {.name = "scale",
     .kind = CLI_COUNT,
     .argument = "N",
     .fallback = "1",
     .low = 1,
     .high = PLANES_SCALE_MAX,
     .help = "show: side of a pixel in it"},
    CLI_FLAG_FORCE,
    {.name = "drop-pinned",
     .kind = CLI_SWITCH,
     .help = "forget, relabel: pinned snapshots that learned from one of them may go"},
    CLI_FLAG_JSON,
    CLI_FLAG_QUIET,
    CLI_FLAG_END,
};

/* ---- what is asked for ---- */

static const char *const words[SAMPLES_ACTIONS] = {
    [SAMPLES_LIST] = "list", [SAMPLES_SHOW] = "show", [SAMPLES_FORGET] = "forget", [SAMPLES_RELABEL] = "relabel"};

static int refuse_id(const char *text, struct err *err)
{
    return err_set(err, ERR_USAGE, "\"%.40s\" is not the id of a sample, nor a range of them such as 20-25", text);
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
        return err_set(err, ERR_USAGE, "at most %u samples at once", REBUILD_IDS_MAX);
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
        return err_set(err, ERR_USAGE, "relabel needs --label: the class that they get");
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
        return err_set(err, ERR_MEMORY, "not enough memory for ids");
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
    (void)printf("%8s  %10s  %-20s  %-16s  %-16s  %9s\n", "id", "revision", "created", "label", "taken for", "loss");
}

static void print_row(const struct json *s)
{
    const char *created = json_string(json_get(s, "created"));
    const char *label = json_string(json_get(s, "label")), *predicted = json_string(json_get(s, "predicted"));
    const struct json *loss = json_get(s, "loss");
    char number[32] = "-";
    if (loss != NULL && json_type(loss) == JSON_NUMBER)
        (void)snprintf(number, sizeof number, "%.6f", json_number(loss));
    (void)printf("%8.0f  %10.0f  %-20.19s  %-16s  %-16s  %9s%s\n", json_number(json_get(s, "id")),
                 json_number(json_get(s, "revision")), created != NULL ? created : "", label != NULL ? label : "-",
                 predicted != NULL ? predicted : "-", number, json_bool(json_get(s, "live")) ? "" : "  (left behind)");
}

static void print_edit(const struct samples_order *order, const struct json *answer)
{
    const double n = json_number(json_get(answer, "samples"));
    const char *verb = n > 1 ? "samples are" : "sample is";
    if (!json_bool(json_get(answer, "changed")))
        (void)printf("nothing to do: %.0f %s \"%s\" already: ", n, verb, order->label);
    else if (order->action == SAMPLES_FORGET)
        (void)printf("%.0f %s forgotten: ", n, verb);
    else
        (void)printf("%.0f %s \"%s\" now: ", n, verb, order->label);
    (void)printf("revision %.0f, step %.0f (%.1f s)\n", json_number(json_get(answer, "revision")),
                 json_number(json_get(answer, "step")), json_number(json_get(answer, "seconds")));
}

/* Frees the answer. */
static int print_answer(const struct samples_order *order, struct json *answer, bool json, struct err *err)
{
    if (json)
        return cli_print_json(answer, err);
    if (order->action == SAMPLES_LIST) {
        const char *next = json_string(json_get(answer, "next"));
        print_heading();
        for (const struct json *s = json_first(json_get(answer, "samples")); s != NULL; s = json_next(s))
            print_row(s);
        if (next != NULL)
            (void)printf("there may be more: --before %s\n", next);
    } else if (order->action == SAMPLES_SHOW) {
        print_heading();
        print_row(answer);
    } else {
        print_edit(order, answer);
    }
    json_free(answer);
    return 0;
}

/* ---- a daemon ---- */

static int ask_list(struct json **answer, struct client *client, const struct samples_order *order, struct err *err)
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
            return err_set(err, ERR_LABEL_UNKNOWN, "the model has no class \"%.40s..\"", filters[i].value);
    }
    const size_t n = strlen(path);
    if (order->before < INT64_MAX)
        (void)snprintf(path + n, sizeof path - n, "&cursor=%lld", (long long)order->before);
    return remote_json(answer, client, "GET", path, NULL, err);
}

static int ask_image(uint8_t **png, size_t *n_png, struct client *client, const struct samples_order *order,
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
    struct json *ask = json_object();
    struct json *ids = json_add_array(ask, "ids");
    for (size_t i = 0; i < order->n; i++)
        json_add_number(ids, NULL, (double)order->ids[i]);
    if (order->label != NULL)
        json_add_string(ask, "label", order->label);
    char *body = json_print(ask, false);
    json_free(ask);
    if (body == NULL)
        err_set(err, ERR_MEMORY, "not enough memory for a request");
    return body;
}

/* Looks at the job until it has ended. */
static int wait_for_job(struct client *client, uint64_t id, bool quiet, struct err *err)
{
    struct progress progress;
    char path[64];
    int status = 1;
    (void)snprintf(path, sizeof path, "/jobs/%llu", (unsigned long long)id);
    progress_start(&progress, "replaying", 0, quiet);
    while (status == 1) {
        struct json *job = NULL;
        status = remote_json(&job, client, "GET", path, NULL, err);
        const char *state = status == 0 ? json_string(json_get(job, "state")) : NULL;
        if (state != NULL && strcmp(state, "running") == 0) {
            progress.total = (uint64_t)json_number(json_get(job, "steps_total"));
            progress_update(&progress, (uint64_t)json_number(json_get(job, "steps")), NULL);
            (void)nanosleep(&(struct timespec){.tv_nsec = POLL_NS}, NULL);
            status = cli_stop() ? err_set(err, ERR_STOPPING, "stopped waiting; the daemon goes on with job %llu",
                                          (unsigned long long)id)
                                : 1;
        } else if (state != NULL && strcmp(state, "done") != 0) {
            const char *why = json_string(json_get(job, "error"));
            status = err_set(err, ERR_CONFLICT, "job %llu is %s: %.200s", (unsigned long long)id, state,
                             why != NULL ? why : "DELETE /jobs ended it");
        }
        json_free(job);
    }
    progress_finish(&progress);
    return status;
}

static int ask_edit(struct json **answer, struct client *client, const struct samples_order *order, bool quiet,
                    struct err *err)
{
    struct json *begun = NULL, *model = NULL;
    struct progress clock;
    uint64_t job = 0;
    char *body = edit_body(order, err);
    progress_start(&clock, "", 0, true);
    int status = body != NULL ? remote_json(&begun, client, order->action == SAMPLES_FORGET ? "DELETE" : "PATCH",
                                            order->drop_pinned ? "/samples?drop_pinned=1" : "/samples", body, err)
                              : -1;
    const bool changed = begun != NULL && json_get(begun, "id") != NULL;
    if (changed)
        status = remote_count(&job, begun, "id", err);
    if (changed && status == 0)
        status = wait_for_job(client, job, quiet, err);
    uint64_t step = 0, revision = 0;
    if (status == 0)
        status = remote_json(&model, client, "GET", "/model", NULL, err);
    if (status == 0 &&
        (remote_count(&step, model, "step", err) != 0 || remote_count(&revision, model, "revision", err) != 0 ||
         cli_samples_told(answer, order, changed, step, revision, progress_seconds(&clock), err) != 0))
        status = -1;
    json_free(model);
    json_free(begun);
    free(body);
    return status;
}

static int run_url(struct json **answer, uint8_t **png, size_t *n_png, const char *url,
                   const struct samples_order *order, const struct cli_args *args, struct err *err)
{
    struct client *client = NULL;
    char path[64];
    cli_stop_watch();
    int status = client_open(&client, url, CLIENT_PATIENCE_SECONDS, cli_stop_flag(), err);
    if (status == 0 && order->action == SAMPLES_LIST) {
        status = ask_list(answer, client, order, err);
    } else if (status == 0 && order->action == SAMPLES_SHOW) {
        (void)snprintf(path, sizeof path, "/samples/%lld", (long long)order->ids[0]);
        status = png != NULL ? ask_image(png, n_png, client, order, err)
                             : remote_json(answer, client, "GET", path, NULL, err);
    } else if (status == 0) {
        status = ask_edit(answer, client, order, cli_quiet(args), err);
    }
    client_close(client);
    return status;
}

static int run(const struct cli_args *args, struct err *err)
{
    struct samples_order order = {0};
    const char *url = NULL, *image = cli_text(args, "image");
    struct cli_output out = {0};
    struct json *answer = NULL;
    uint8_t *png = NULL;
    size_t n_png = 0;
    int status = read_order(&order, args, err);
    if (status == 0 && image != NULL)
        status = cli_output_open(&out, image, cli_on(args, "force"), err);
    if (status == 0)
        status = cli_url(&url, args, err);
    if (status == 0)
        status = url != NULL ? run_url(&answer, image != NULL ? &png : NULL, &n_png, url, &order, args, err)
                             : cli_samples_db(&answer, image != NULL ? &png : NULL, &n_png, &order, args, err);
    if (status == 0 && image != NULL)
        status = cli_output_write(&out, png, n_png, err);
    else if (status == 0)
        status = print_answer(&order, answer, cli_on(args, "json"), err);
    cli_output_fini(&out);
    free(png);
    free(order.ids);
    return status;
}

const struct cli_verb cli_samples = {
    .name = "samples",
    .purpose = "look at what was learned from, forget it, give it another label",
    .operands = "[list | show ID | forget ID... | relabel ID...]",
    .operands_max = 1 + REBUILD_IDS_MAX,
    .details =
        "What is forgotten was never there, and what is relabelled was always of its new class: the model is replayed\n"
        "from before the first of these samples, and is then, bit for bit, that of the edited log. The images are "
        "gone\n"
        "from the files, and so are later snapshots. ID may be a range: 20-25. All of them, or none: the first that\n"
        "cannot be edited is named. With --url the daemon does it, and goes on when the waiting is interrupted.\n",
    .examples = "  convd samples --db digits.db --wrong\n"
                "  convd samples show 4004 --image 4004.png --scale 8 --db digits.db\n"
                "  convd samples forget 4004 --url http://127.0.0.1:8080\n"
                "  convd samples relabel 20-25 31 --label 7 --db digits.db\n",
    .flags = flags,
    .run = run,
};
