/* snapshots.c - convd snapshots: list, take, pin, drop, go back to, compare.
 *
 * Offline, the answers are built as the documents that the daemon's /snapshots gives, so that --json is the same from both
 * and there is one way of printing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/cli/io.h"
#include "server/cli/offline.h"
#include "server/cli/remote.h"
#include "server/common/json.h"
#include "server/model/snapshot_diff.h"
#include "server/verbs/diff.h"
#include "server/verbs/verbs.h"
#include "store/replay/edits.h"
#include "store/store.h"

#define NOTE_BYTES_MAX (sizeof((struct store_snapshot *)0)->note - 1)

static const struct cli_flag flags[] = {
    CLI_FLAG_DB,
    CLI_FLAG_URL,
    {.name = "note",
     .kind = CLI_TEXT,
     .argument = "TEXT",
     .help = "take, pin, unpin: why, for people; at most 200 bytes"},
    {.name = "pin", .kind = CLI_SWITCH, .help = "take: never thin it out, and refuse to drop it"},
    {.name = "samples",
     .kind = CLI_COUNT,
     .argument = "N",
     .low = 1,
     .high = DIFF_SAMPLES_MAX,
     .help = "diff: predict at most so many samples"},
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
    return err_set(err, ERR_USAGE, "\"%.40s\" is not the id of a snapshot: see convd snapshots list", text);
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
        return err_set(err, ERR_USAGE, "--pin belongs to take; pin ID is for one that is there");
    if (order->action != DIFF && cli_given(args, "samples"))
        return err_set(err, ERR_USAGE, "--samples belongs to diff");
    if (order->note != NULL && strlen(order->note) > NOTE_BYTES_MAX)
        return err_set(err, ERR_USAGE, "--note has %zu bytes, but may have at most %zu", strlen(order->note),
                       NOTE_BYTES_MAX);
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
    (void)printf("%6s  %10s  %10s  %-20s  %-8s  %9s  %s\n", "id", "revision", "step", "created", "reason", "accuracy",
                 "note");
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
    (void)printf("%6.0f  %10.0f  %10.0f  %-20.19s  %-8s  %9s", json_number(json_get(s, "id")),
                 json_number(json_get(s, "revision")), json_number(json_get(s, "step")), created != NULL ? created : "",
                 reason != NULL ? reason : "", share);
    (void)printf("%s%s%s\n", pinned != NULL && json_bool(pinned) ? "  (pinned)" : "",
                 note != NULL && note[0] != '\0' ? "  " : "", note != NULL ? note : "");
}

static int print_answer(const struct order *order, struct json *answer, struct err *err)
{
    if (order->json)
        return cli_print_json(answer, err);
    const struct json *list = json_get(answer, "snapshots");
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
        print_row(answer);
        break;
    case DROP:
        (void)printf("dropped snapshot %lld\n", (long long)order->id);
        break;
    case ACTIVATE:
        (void)printf("snapshot %lld is live again: revision %.0f, step %.0f\n", (long long)order->id,
                     json_number(json_get(answer, "revision")), json_number(json_get(answer, "step")));
        break;
    case DIFF:
        cli_diff_print(answer);
        break;
    case N_ACTIONS:
        break;
    }
    json_free(answer);
    return 0;
}

/* ---- a database ---- */

static void add_snapshot(struct json *object, const struct store_snapshot *s)
{
    char created[48];
    char hex[2 * DIGEST_BYTES + 1];
    json_add_number(object, "id", (double)s->id);
    json_add_number(object, "revision", (double)s->revision);
    json_add_number(object, "step", (double)s->step);
    json_add_string(object, "created", cli_time(created, s->created_us));
    json_add_string(object, "reason", s->reason);
    json_add_bool(object, "pinned", s->pinned);
    json_add_string(object, "note", s->note);
    json_add_string(object, "digest", cli_hex(hex, s->digest));
    json_add_number(object, "samples", (double)s->samples);
    if (s->samples > 0)
        json_add_number(object, "accuracy", (double)s->correct / (double)s->samples);
    else
        json_add_null(object, "accuracy");
    json_add_string(object, "arithmetic", s->arithmetic);
}

static int list_db(struct json *answer, const struct cli_args *args, struct err *err)
{
    struct store *store = NULL;
    struct store_snapshot *list = NULL;
    size_t n = 0;
    if (store_open(&store, cli_text(args, "db"), true, err) != 0)
        return -1;
    int status = store_snapshots(store, &list, &n, err);
    struct json *array = json_add_array(answer, "snapshots");
    for (size_t i = 0; i < n && status == 0; i++)
        add_snapshot(json_add_object(array, NULL), &list[i]);
    free(list);
    store_close(store);
    return status;
}

/* What a daemon refuses as well: the edit could never be made without what is pinned now. */
static int may_pin(struct store *store, struct err *err)
{
    struct edits kept;
    if (store_edits_kept(store, &kept, err) != 0)
        return -1;
    const bool waits = kept.n > 0 || kept.removes;
    edits_fini(&kept);
    if (!waits)
        return 0;
    return err_set(
        err, ERR_CONFLICT,
        "an edit of the past was accepted and is still to be made, and this state may not be the model's then: pin one "
        "after it (convd serve makes it, and so does convd samples)");
}

static int amend_db(struct json *answer, const struct order *order, const struct cli_args *args, struct err *err)
{
    struct store *store = NULL;
    struct store_snapshot amended;
    const bool pinned = order->action == PIN;
    if (store_open(&store, cli_text(args, "db"), false, err) != 0)
        return -1;
    int status = pinned ? may_pin(store, err) : 0;
    if (status == 0)
        status = store_snapshot_amend(store, order->id, &pinned, order->note, &amended, err);
    if (status == 0)
        add_snapshot(answer, &amended);
    store_close(store);
    return status;
}

static int drop_db(int64_t id, const struct cli_args *args, struct err *err)
{
    struct store *store = NULL;
    if (store_open(&store, cli_text(args, "db"), false, err) != 0)
        return -1;
    int status = store_snapshot_drop(store, id, err);
    store_close(store);
    return status;
}

static int take_db(struct json *answer, const struct order *order, const struct cli_args *args, struct err *err)
{
    struct offline model;
    struct store_snapshot taken;
    if (offline_open(&model, args, false, err) != 0)
        return -1;
    int status = order->pin ? may_pin(model.store, err) : 0;
    if (status == 0)
        status = store_snapshot(model.store, model.learner, "request", order->note, order->pin, &taken, err);
    if (status == 0)
        add_snapshot(answer, &taken);
    offline_close(&model);
    return status;
}

/* The event makes the way back durable; the snapshot after it only makes the next start quick. */
static int activate_db(struct json *answer, int64_t id, const struct cli_args *args, struct err *err)
{
    struct store *store = NULL;
    struct learner *learner = NULL;
    struct store_snapshot target;
    struct store_snapshot taken;
    int status = -1;
    if (store_open(&store, cli_text(args, "db"), false, err) != 0)
        return -1;
    if (store_snapshot_find(store, id, &target, err) != 0 || store_snapshot_load(store, id, NULL, &learner, err) != 0)
        goto out;
    struct event event = {.kind = EVENT_ACTIVATE,
                          .revision = store_revision(store) + 1,
                          .created_us = store_now_us(),
                          .as.activate.revision = target.revision};
    if (store_begin(store, err) != 0 || store_append(store, &event, err) != 0 ||
        store_classes(store, learner, err) != 0 || store_commit(store, err) != 0) {
        store_rollback(store);
        goto out;
    }
    learner->revision = event.revision;
    if (store_snapshot(store, learner, "activate", "", false, &taken, err) != 0)
        goto out;
    json_add_number(answer, "activated", (double)id);
    json_add_number(answer, "step", (double)learner->step);
    json_add_number(answer, "revision", (double)learner->revision);
    add_snapshot(json_add_object(answer, "snapshot"), &taken);
    status = 0;
out:
    learner_free(learner);
    store_close(store);
    return status;
}

static int run_db(const struct order *order, const struct cli_args *args, struct err *err)
{
    int status = -1;
    struct json *told = NULL;
    if (order->action == DIFF) {
        status = cli_diff_db(&told, cli_text(args, "db"), order->id, order->other, order->samples, err);
        return status == 0 ? print_answer(order, told, err) : -1;
    }
    struct json *answer = json_object();
    switch (order->action) {
    case LIST:
        status = list_db(answer, args, err);
        break;
    case TAKE:
        status = take_db(answer, order, args, err);
        break;
    case PIN:
    case UNPIN:
        status = amend_db(answer, order, args, err);
        break;
    case DROP:
        status = drop_db(order->id, args, err);
        json_add_number(answer, "dropped", (double)order->id);
        break;
    case ACTIVATE:
        status = activate_db(answer, order->id, args, err);
        break;
    case DIFF:
    case N_ACTIONS:
        break;
    }
    /* through text, since what common/json.h builds is for printing, not for reading */
    char *text = status == 0 ? json_print(answer, false) : NULL;
    json_free(answer);
    if (status != 0)
        return -1;
    if (text == NULL)
        return err_set(err, ERR_MEMORY, "not enough memory for the answer");
    told = json_parse(text, strlen(text), err);
    free(text);
    return told != NULL ? print_answer(order, told, err) : -1;
}

/* ---- a daemon ---- */

static int run_url(const struct order *order, struct client *client, struct err *err)
{
    char path[96] = "/snapshots";
    char *body = NULL;
    struct json *answer = NULL;
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
        struct json *ask = json_object();
        if (order->note != NULL)
            json_add_string(ask, "note", order->note);
        json_add_bool(ask, "pinned", order->pin || order->action == PIN);
        body = json_print(ask, false);
        json_free(ask);
        if (body == NULL)
            return err_set(err, ERR_MEMORY, "not enough memory for a request");
    }
    int status = remote_json(&answer, client, methods[order->action], path, body, err);
    if (status == 0 && answer == NULL) { /* 204: it is dropped, and there is nothing more to say */
        answer = json_object();
        json_add_number(answer, "dropped", (double)order->id);
    }
    if (status == 0)
        status = print_answer(order, answer, err);
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
    .purpose = "list, take, pin, compare and drop snapshots, and go back to one",
    .operands = "[list | take | pin ID | unpin ID | drop ID | activate ID | diff ID ID]",
    .operands_max = 3,
    .details =
        "A snapshot is a whole state of the model. To activate one makes that state the live one again, as a new\n"
        "revision: nothing is lost, and a later snapshot can be activated in turn. Times are UTC.\n"
        "One that is pinned is neither thinned out nor dropped, until unpin.\n"
        "diff compares two: how far their tensors are from each other, and what both say of the samples that one of\n"
        "them has learned from and the other has not, the newest 10,000 of them.\n",
    .examples = "  convd snapshots --db digits.db\n"
                "  convd snapshots take --url http://127.0.0.1:8080 --pin --note \"before the new scanner\"\n"
                "  convd snapshots activate 3 --db digits.db\n"
                "  convd snapshots diff 2 3 --url http://127.0.0.1:8080\n",
    .flags = flags,
    .run = run,
};
