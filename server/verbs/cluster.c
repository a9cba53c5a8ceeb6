/* cluster.c - convd cluster: a log that several machines share, made of a model's, looked at, joined and left. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/cli/client.h"
#include "server/cli/io.h"
#include "server/cli/offline.h"
#include "server/cli/progress.h"
#include "server/cli/remote.h"
#include "server/verbs/verbs.h"
#include "store/replay/edits.h"
#include "store/shared.h"

static const struct cli_flag flags[] = {
    CLI_FLAG_DB,
    CLI_FLAG_URL,
    {FLAG_TEXT("log", "URL", NULL, "all but status: the log in PostgreSQL, postgresql://HOST,HOST/NAME")},
    {FLAG_TEXT("node", "NAME", NULL, "leave: the node, as GET /cluster lists it")},
    {FLAG_TEXT("to", "WORD", NULL, "move: log (what init does) or file (what leave does)")},
    CLI_FLAG_ARITH,
    CLI_FLAG_JSON,
    CLI_FLAG_QUIET,
    CLI_FLAG_END,
};

static int print_model(const struct learner *learner, bool as_json, const char *what, struct err *err)
{
    uint8_t digest[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    learner_digest(learner, digest);
    cli_hex(hex, digest);
    if (!as_json) {
        cli_say(stdout, "%s: revision %llu, digest %s\n", what, (unsigned long long)learner->revision, hex);
        return 0;
    }
    struct text text = {0};
    struct json_writer json = json_write_begin(&text);
    json_write_u64(&json, "revision", learner->revision);
    json_write_string(&json, "digest", hex);
    return cli_print_object(&json, err);
}

/* ---- init ---- */

/* For who joins. */
static int offer(const struct offline *model, const char *log, struct err *err)
{
    struct shared *shared = NULL;
    int status = shared_open(&shared, model->store, log, "", err);
    if (status == 0)
        while ((status = shared_offer(shared, model->store, model->learner, 0, err)) == 1 && !cli_stop())
            ;
    shared_close(shared);
    return status < 0 ? -1 : 0;
}

static int init(const struct cli_args *args, const char *log, struct err *err)
{
    struct offline model;
    struct progress progress;
    if (offline_open(&model, args, true, err) != 0)
        return -1;
    progress_start(&progress, "sharing", 0, cli_quiet(args));
    int status = shared_init(model.store, log, cli_show_or_stop, &progress, err);
    progress_finish(&progress);
    if (status == 0)
        status = offer(&model, log, err);
    if (status == 0)
        status = print_model(model.learner, cli_on(args, "json"), "the log is shared", err);
    offline_close(&model);
    return status;
}

/* ---- join, and leave with all that is there ---- */

/* What an edit on the way has left to be deleted. */
static int sweep(struct store *store, struct err *err)
{
    int more;
    while ((more = store_edits_sweep(store, 1000, err)) == 1)
        ;
    return more == 0 ? store_checkpoint(store, true, err) : -1;
}

/* The file comes to where the log is. */
static int catch_up(struct store *store, struct learner *learner, const char *log, bool quiet, struct err *err)
{
    struct shared *shared = NULL;
    struct progress progress;
    const struct event *event;
    struct store_edited edited;
    int more, status;
    if (shared_open(&shared, store, log, "", err) != 0)
        return -1;
    progress_start(&progress, "following", 0, quiet);
    do {
        more = shared_copy(shared, err);
        status = more >= 0 && store_edit_ahead(store)
                     ? store_rebuild(store, learner, cli_show_or_stop, &progress, &edited, err)
                     : 0;
        while (more >= 0 && status == 0 && (status = store_follow(store, learner, &event, err)) == 1) {
            progress_update(&progress, learner->revision, NULL);
            status = 0;
        }
        if (status < 0)
            more = -1;
        else if (more == 1 && cli_stop())
            more = err_set(err, ERR_STOPPING, "stopped at revision %llu; convd serve --log goes on from there",
                           (unsigned long long)learner->revision);
    } while (more == 1);
    progress_finish(&progress);
    shared_close(shared);
    return more == 0 && store_snapshot(store, learner, "request", "", false, NULL, err) == 0 ? sweep(store, err) : -1;
}

static int join(const struct cli_args *args, const char *log, struct err *err)
{
    struct store *store = NULL;
    struct learner *learner = NULL;
    const struct arith *arith = NULL;
    if (cli_arith(&arith, args, err) != 0)
        return -1;
    struct progress progress;
    int status = shared_join(&store, cli_text(args, "db"), log, arith, err);
    progress_start(&progress, "copying", 0, cli_quiet(args));
    if (status == 0)
        status = shared_begin(store, log, arith, cli_show_or_stop, &progress, err);
    if (status >= 0)
        status = store_recover(store, arith, cli_show_or_stop, &progress, &learner, NULL, err);
    progress_finish(&progress);
    if (status == 0)
        status = catch_up(store, learner, log, cli_quiet(args), err);
    if (status == 0)
        status = print_model(learner, cli_on(args, "json"), "joined", err);
    store_close(store);
    learner_free(learner);
    return status;
}

static int leave(const struct cli_args *args, const char *log, bool moves, struct err *err)
{
    struct store *store = NULL;
    struct learner *learner = NULL;
    const struct arith *arith = NULL;
    const char *node = cli_text(args, "node");
    if (node == NULL && !moves)
        return err_set(err, ERR_USAGE, "--node is missing: the name of the node that leaves, as GET /cluster lists it");
    if (cli_arith(&arith, args, err) != 0)
        return -1;
    int status = store_open(&store, cli_text(args, "db"), false, err);
    if (status == 0)
        status = store_recover(store, arith, NULL, NULL, &learner, NULL, err);
    if (status == 0)
        status = catch_up(store, learner, log, cli_quiet(args), err);
    if (status == 0 && node != NULL)
        status = shared_leave(log, node, err);
    if (status == 0)
        status = print_model(learner, cli_on(args, "json"), "left; the file is a model of its own", err);
    store_close(store);
    learner_free(learner);
    return status;
}

/* ---- move ---- */

static int move(const struct cli_args *args, const char *log, struct err *err)
{
    const char *to = cli_text(args, "to");
    if (to == NULL || (strcmp(to, "log") != 0 && strcmp(to, "file") != 0))
        return err_set(err, ERR_USAGE,
                       "--to is missing: log, for a file whose log several machines shall share; or file, for a model "
                       "of its own again");
    if (strcmp(to, "log") == 0)
        return init(args, log, err);
    return access(cli_text(args, "db"), F_OK) == 0 ? leave(args, log, true, err) : join(args, log, err);
}

/* ---- vacuum ---- */

static int vacuum(const struct cli_args *args, const char *log, struct err *err)
{
    if (shared_vacuum(log, err) != 0)
        return -1;
    if (!cli_quiet(args))
        cli_say(stdout, "the log's table is written anew; what archives and backups have of it stays\n");
    return 0;
}

/* ---- status ---- */

static const char *text_of(const struct json *object, const char *name)
{
    const char *text = json_string(json_get(object, name));
    return text != NULL ? text : "";
}

static void print_node(const struct json *node, double head)
{
    const struct json *compared = json_get(node, "compared");
    const double revision = json_number(json_get(node, "revision"));
    cli_say(stdout, "%-32s %srevision %.0f, %.0f behind; ", text_of(node, "name"),
            json_bool(json_get(node, "diverged")) ? "HAS DIVERGED; " : "", revision,
            head > revision ? head - revision : 0);
    if (json_get(compared, "revision") != NULL)
        cli_say(stdout, "at revision %.0f it has %.16s; ", json_number(json_get(compared, "revision")),
                text_of(compared, "digest"));
    cli_say(stdout, "told %.1f s ago\n", json_number(json_get(node, "told_seconds_ago")));
}

static void print_nodes(const struct json *root)
{
    const struct json *server = json_get(root, "postgresql");
    const double head = json_number(json_get(root, "head"));
    cli_say(stdout, "the log: revision %.0f; PostgreSQL %s at %s, %.0f of %.0f standbys synchronous\n", head,
            text_of(server, "version"), text_of(server, "host"), json_number(json_get(server, "standbys_synchronous")),
            json_number(json_get(server, "standbys")));
    const struct json *same = json_get(root, "same");
    if (json_bool(json_get(root, "diverged")))
        cli_say(stdout, "this node has diverged: it has another state, or another log, than the others\n");
    if (json_get(same, "revision") != NULL)
        cli_say(stdout, "at revision %.0f no node told another state than %s\n",
                json_number(json_get(same, "revision")), text_of(same, "digest"));
    for (const struct json *node = json_first(json_get(root, "nodes")); node != NULL; node = json_next(node))
        print_node(node, head);
}

static int status_of(const struct cli_args *args, const char *url, struct err *err)
{
    struct client *client = NULL;
    struct json *root = NULL;
    if (url == NULL)
        return err_set(err, ERR_USAGE, "--url is missing: the status is a daemon's to tell");
    int status = client_open(&client, url, CLIENT_PATIENCE_SECONDS, cli_stop_flag(), err);
    if (status == 0)
        status = remote_json(&root, client, "GET", "/cluster", NULL, err);
    client_close(client);
    if (status != 0)
        return -1;
    if (cli_on(args, "json"))
        return cli_print_json(root, err);
    if (!json_bool(json_get(root, "shared")))
        cli_say(stdout, "no other machine has this model's log\n");
    else if (!json_bool(json_get(root, "reachable")))
        cli_say(stdout, "%s at revision %.0f cannot reach the log: %s\n", text_of(root, "node"),
                json_number(json_get(root, "revision")), text_of(root, "error"));
    else
        print_nodes(root);
    json_free(root);
    return 0;
}

static int run(const struct cli_args *args, struct err *err)
{
    const char *what = args->n_operands == 1 ? args->operands[0] : "", *url = NULL, *log = cli_text(args, "log");
    if (cli_url(&url, args, err) != 0)
        return -1;
    cli_stop_watch();
    if (strcmp(what, "status") == 0)
        return status_of(args, url, err);
    if (strcmp(what, "vacuum") == 0 && log != NULL)
        return vacuum(args, log, err);
    const bool is_init = strcmp(what, "init") == 0, is_join = strcmp(what, "join") == 0,
               is_move = strcmp(what, "move") == 0;
    if (!is_init && !is_join && !is_move && strcmp(what, "leave") != 0)
        return err_set(err, ERR_USAGE,
                       "what to do is \"%.40s\"; it is init, status, join, leave, move or, with --log, vacuum", what);
    if (log == NULL || url != NULL)
        return err_set(err, ERR_USAGE, "%s needs a database, --db, and the log, --log postgresql://HOST/NAME", what);
    return is_init   ? init(args, log, err)
           : is_join ? join(args, log, err)
           : is_move ? move(args, log, err)
                     : leave(args, log, false, err);
}

const struct cli_verb cli_cluster = {
    .name = "cluster",
    .purpose = "share a model's log among several machines",
    .operands = "init | status | join | leave | move | vacuum",
    .operands_max = 1,
    .details =
        "init copies the log of a model into an empty PostgreSQL database; from then on its file is one node's "
        "copy, and\n"
        "is served with --log. join makes the file of another node; convd serve --log does so as well where the "
        "file is\n"
        "not there. leave brings a file to the end of the log: then it is a model of its own again, with the same "
        "digest.\n"
        "move says both in one word, for scripts: with --to log it is init; with --to file, leave, or join where the "
        "file\n"
        "is not there. vacuum has PostgreSQL write the log's table anew, so that no file of it has what was "
        "forgotten;\n"
        "nobody can append meanwhile.\n",
    .examples = "  convd cluster init --db digits.db --log postgresql://db1,db2/digits\n"
                "  convd serve --db digits.db --log postgresql://db1,db2/digits\n"
                "  convd cluster status --url http://127.0.0.1:8080\n"
                "  convd cluster leave --db digits.db --log postgresql://db1,db2/digits --node a/digits\n"
                "  convd cluster move --to log --db digits.db --log postgresql://new1,new2/digits\n",
    .flags = flags,
    .run = run,
};
