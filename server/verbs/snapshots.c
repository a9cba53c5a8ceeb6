/* snapshots.c - convd snapshots: list, take, pin, drop, go back to, compare.
 *
 * Offline, the responses are built as the documents that the daemon's /snapshots gives, so that --json is the same from both
 * and there is one way of printing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/io.h"
#include "server/cli/offline.h"
#include "server/cli/remote.h"
#include "server/model/json_parts.h"
#include "server/model/snapshot_diff.h"
#include "server/verbs/diff.h"
#include "server/verbs/verbs.h"
#include "store/store.h"

#define NOTE_BYTES_MAX (sizeof((struct store_snapshot *)0)->note - 1)

static const struct cli_flag flags[] = {
    CLI_FLAG_DB,
    CLI_FLAG_URL,
    {FLAG_TEXT("note", "TEXT", NULL, "take, pin, unpin: a note; at most 200 bytes")},
    {FLAG_SWITCH("pin", "take: pin the snapshot: it is never pruned or dropped")},
    {FLAG_COUNT("samples", "N", NULL, 1, DIFF_SAMPLES_MAX, "diff: predict at most N samples")},
    CLI_FLAG_JSON,
    CLI_FLAG_END,
};

enum action { LIST, TAKE, PIN, UNPIN, DROP, ACTIVATE, DIFF, N_ACTIONS };

static const struct {
    const char *word;
    unsigned n_ids;
} actions[N_ACTIONS] = {
    [LIST] = {"list", 0}, [TAKE] = {"take", 0},         [PIN] = {"pin", 1},   [UNPIN] = {"unpin", 1},
    [DROP] = {"drop", 1}, [ACTIVATE] = {"activate", 1}, [DIFF] = {"diff", 2},
};

/* What the command line asks for. */
struct order {
    enum action action;
    int64_t id, other;
    uint64_t samples;
    const char *note; /* NULL: none, or as it is */
    bool pin, json;
};

static int read_id(int64_t *id, const char *text, struct err *err)
{
    char *end = NULL;
    *id = text[0] >= '0' && text[0] <= '9' ? strtoll(text, &end, 10) : 0;
    if (*id > 0 && *end == '\0')
        return 0;
    return err_set(err, ERR_USAGE, "\"%.40s\" is not a snapshot id: see convd snapshots list", text);
}

static int read_order(struct order *order, const struct cli_args *args, struct err *err)
{
    const char *word = args->n_operands > 0 ? args->operands[0] : "list";
    int i = 0;
    while (i < N_ACTIONS && strcmp(actions[i].word, word) != 0)
        i++;
    if (i == N_ACTIONS)
        return err_set(err, ERR_USAGE,
                       "\"%.40s\" is not one of list, take, pin ID, unpin ID, drop ID, activate ID, diff ID ID", word);
    *order = (struct order){
        .action = (enum action)i,
        .samples = cli_given(args, "samples") ? cli_count(args, "samples") : DIFF_SAMPLES_MAX,
        .note = cli_given(args, "note") ? cli_text(args, "note") : NULL,
        .pin = cli_on(args, "pin"),
        .json = cli_on(args, "json"),
    };
    const bool notes = order->action == TAKE || order->action == PIN || order->action == UNPIN;
    if (!notes && cli_given(args, "note"))
        return err_set(err, ERR_USAGE, "--note belongs to take, pin and unpin");
    if (order->action != TAKE && cli_given(args, "pin"))
        return err_set(err, ERR_USAGE, "--pin belongs to take; for an existing snapshot use pin ID");
    if (order->action != DIFF && cli_given(args, "samples"))
        return err_set(err, ERR_USAGE, "--samples belongs to diff");
    if (order->note != NULL && strlen(order->note) > NOTE_BYTES_MAX)
        return err_set(err, ERR_USAGE, "--note is %zu bytes; the limit is %zu", strlen(order->note), NOTE_BYTES_MAX);
    const unsigned n_ids = args->n_operands > 0 ? (unsigned)args->n_operands - 1 : 0;
    if (n_ids != actions[i].n_ids)
        return err_set(err, ERR_USAGE, "%s takes %s: see convd snapshots list", word,
                       actions[i].n_ids == 0   ? "no id"
                       : actions[i].n_ids == 1 ? "the id of a snapshot"
                                               : "the ids of two snapshots");
    if (n_ids >= 1 && read_id(&order->id, args->operands[1], err) != 0)
        return -1;
    return n_ids < 2 ? 0 : read_id(&order->other, args->operands[2], err);
}

/* ---- telling ---- */

static void print_heading(void)
{
    cli_say(stdout, "%6s  %10s  %10s  %-20s  %-8s  %9s  %s\n", "id", "revision", "step", "created", "reason",
            "accuracy", "note");
}

static void print_row(const struct json *s)
{
    const char *created = json_string(json_get(s, "created"));
    const char *reason = json_string(json_get(s, "reason"));
    const char *note = json_string(json_get(s, "note"));
    const struct json *accuracy = json_get(s, "accuracy");
    const struct json *pinned = json_get(s, "pinned");
    char share[32] = "-";
    if (accuracy != NULL && json_type(accuracy) == JSON_NUMBER)
        (void)snprintf(share, sizeof share, "%.2f %%", 100 * json_number(accuracy));
    /* of the time, whole seconds: 2026-01-31T12:00:00 */
    cli_say(stdout, "%6.0f  %10.0f  %10.0f  %-20.19s  %-8s  %9s", json_number(json_get(s, "id")),
            json_number(json_get(s, "revision")), json_number(json_get(s, "step")), created != NULL ? created : "",
            reason != NULL ? reason : "", share);
    cli_say(stdout, "%s%s%s\n", pinned != NULL && json_bool(pinned) ? "  (pinned)" : "",
            note != NULL && note[0] != '\0' ? "  " : "", note != NULL ? note : "");
}

static int print_response(const struct order *order, struct json *response, struct err *err)
{
    if (order->json)
        return cli_print_json(response, err);
    const struct json *list = json_get(response, "snapshots");
    switch (order->action) {
    case LIST:
        print_heading();
        for (const struct json *s = list != NULL ? json_first(list) : NULL; s != NULL; s = json_next(s))
            print_row(s);
        break;
    case TAKE:
    case PIN:
    case UNPIN:
        print_heading();
        print_row(response);
        break;
    case DROP:
        cli_say(stdout, "dropped snapshot %lld\n", (long long)order->id);
        break;
    case ACTIVATE:
        cli_say(stdout, "snapshot %lld is activated: revision %.0f, step %.0f\n", (long long)order->id,
                json_number(json_get(response, "revision")), json_number(json_get(response, "step")));
        break;
    case DIFF:
        cli_diff_print(response);
        break;
    case N_ACTIONS:
        break;
    }
    json_free(response);
    return 0;
}

/* ---- a database ---- */

static int list_db(struct json_writer *json, const struct cli_args *args, struct err *err)
{
    struct store *store = NULL;
    struct store_snapshot *list = NULL;
    size_t n = 0;
    if (store_open(&store, cli_text(args, "db"), true, err) != 0)
        return -1;
    int status = store_snapshots(store, &list, &n, err);
    snapshot_rows_write(json, list, status == 0 ? n : 0);
    free(list);
    store_close(store);
    return status;
}

static int change_db(struct json_writer *json, const struct order *order, const struct cli_args *args, struct err *err)
{
    static const enum command_kind kinds[N_ACTIONS] = {[TAKE] = COMMAND_SNAPSHOT,
                                                       [PIN] = COMMAND_UPDATE,
                                                       [UNPIN] = COMMAND_UPDATE,
                                                       [DROP] = COMMAND_DROP,
                                                       [ACTIVATE] = COMMAND_ACTIVATE};
    struct offline model;
    struct command command = {.kind = kinds[order->action],
                              .snapshot_id = order->id,
                              .pinned = order->pin || order->action == PIN,
                              .update_pinned = true,
                              .update_note = order->note != NULL};
    (void)snprintf(command.note, sizeof command.note, "%s", order->note != NULL ? order->note : "");
    if (offline_open(&model, args, false, err) != 0)
        return -1;
    int status = offline_do(&model, &command, 1, err);
    if (status == 0)
        status = offline_stop(&model, err);
    offline_close(&model);
    if (order->action == DROP)
        json_write_i64(json, "dropped", order->id);
    else if (order->action == ACTIVATE)
        snapshot_activated_write(json, order->id, command.step, command.revision, &command.snapshot);
    else
        snapshot_row_write(json, &command.snapshot);
    return status;
}

static int run_db(const struct order *order, const struct cli_args *args, struct err *err)
{
    struct json *told = NULL;
    struct text text = {0};
    struct json_writer json = json_write_begin(&text);
    int status;
    if (order->action == DIFF)
        status = cli_diff_db(&told, cli_text(args, "db"), order->id, order->other, order->samples, err);
    else if (order->action == LIST)
        status = list_db(&json, args, err);
    else
        status = change_db(&json, order, args, err);
    json_write_end(&json);
    if (status == 0 && told == NULL)
        status = cli_json(&told, &text, err);
    text_free(&text);
    return status == 0 ? print_response(order, told, err) : -1;
}

/* ---- a daemon ---- */

static int run_url(const struct order *order, struct client *client, struct err *err)
{
    char path[96] = "/snapshots";
    char *body = NULL;
    struct json *response = NULL;
    static const char *const methods[N_ACTIONS] = {
        [LIST] = "GET",    [TAKE] = "POST",     [PIN] = "PATCH", [UNPIN] = "PATCH",
        [DROP] = "DELETE", [ACTIVATE] = "POST", [DIFF] = "GET"};
    if (actions[order->action].n_ids == 1)
        (void)snprintf(path, sizeof path, "/snapshots/%lld%s", (long long)order->id,
                       order->action == ACTIVATE ? "/activate" : "");
    if (order->action == DIFF)
        (void)snprintf(path, sizeof path, "/snapshots/%lld/diff/%lld?samples=%llu", (long long)order->id,
                       (long long)order->other, (unsigned long long)order->samples);
    if (order->action == TAKE || order->action == PIN || order->action == UNPIN) {
        struct text text = {0};
        struct json_writer json = json_write_begin(&text);
        if (order->note != NULL)
            json_write_string(&json, "note", order->note);
        json_write_bool(&json, "pinned", order->pin || order->action == PIN);
        json_write_end(&json);
        body = text_take(&text);
        if (body == NULL)
            return err_memory(err, "a request");
    }
    int status = remote_json(&response, client, methods[order->action], path, body, err);
    if (status == 0 && response == NULL) { /* 204: it is dropped, and there is nothing more to say */
        struct text text = {0};
        struct json_writer json = json_write_begin(&text);
        json_write_i64(&json, "dropped", order->id);
        json_write_end(&json);
        status = cli_json(&response, &text, err);
    }
    if (status == 0)
        status = print_response(order, response, err);
    free(body);
    return status;
}

static int run(const struct cli_args *args, struct err *err)
{
    struct order order;
    const char *url = NULL;
    if (read_order(&order, args, err) != 0 || cli_url(&url, args, err) != 0)
        return -1;
    if (url == NULL)
        return run_db(&order, args, err);
    struct client *client = NULL;
    cli_stop_watch();
    int status = client_open(&client, url, CLIENT_PATIENCE_SECONDS, cli_stop_flag(), err);
    if (status == 0)
        status = run_url(&order, client, err);
    client_close(client);
    return status;
}

const struct cli_verb cli_snapshots = {
    .name = "snapshots",
    .purpose = "list, take, pin, compare, drop and activate snapshots",
    .operands = "[list | take | pin ID | unpin ID | drop ID | activate ID | diff ID ID]",
    .operands_max = 3,
    .details =
        "A snapshot is a whole state of the model. Activating one makes that state the current one again, as a new\n"
        "revision: nothing is lost, and a later snapshot can be activated in turn. Times are UTC.\n"
        "A pinned snapshot is neither pruned nor dropped until it is unpinned.\n"
        "diff compares two: the distance of their tensors, and the predictions of both for the samples that only one "
        "of\n"
        "them has learned from, the newest 10,000 of them.\n",
    .examples = "  convd snapshots --db digits.db\n"
                "  convd snapshots take --url http://127.0.0.1:8080 --pin --note \"before the new scanner\"\n"
                "  convd snapshots activate 3 --db digits.db\n"
                "  convd snapshots diff 2 3 --url http://127.0.0.1:8080\n",
    .flags = flags,
    .run = run,
};
