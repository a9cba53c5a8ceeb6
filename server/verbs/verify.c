/* verify.c - convd verify: is what the database holds what was learned? */
#include <stdio.h>

#include "server/cli/io.h"
#include "server/cli/offline.h"
#include "server/cli/progress.h"
#include "server/common/json.h"
#include "server/verbs/verbs.h"
#include "store/store.h"

static const struct cli_flag flags[] = {
    CLI_FLAG_DB, CLI_FLAG_ARITH, CLI_FLAG_JSON, CLI_FLAG_QUIET, CLI_FLAG_END,
};

static int print_verdict(const struct store_verdict *verdict, const char *path, double seconds, bool as_json,
                         struct err *err)
{
    char hex[2 * DIGEST_BYTES + 1];
    cli_hex(hex, verdict->digest);
    if (!as_json) {
        cli_say(stdout,
                "%s is sound: %llu events, %llu samples and %u snapshots agree with a replay from %s (%.1f s)\n", path,
                (unsigned long long)verdict->events, (unsigned long long)verdict->samples, verdict->snapshots,
                verdict->kept > 0 ? "the baseline" : "nothing", seconds);
        cli_say(stdout, "revision %llu, step %llu\n", (unsigned long long)verdict->revision,
                (unsigned long long)verdict->step);
        cli_say(stdout, "digest %s\n", hex);
        if (verdict->kept > 0)
            cli_say(stdout,
                    "the log is kept from revision %llu on: that baseline's state is proved by its digest, and of the "
                    "samples before it nothing is proved\n",
                    (unsigned long long)verdict->kept);
        if (verdict->before[0] != '\0')
            cli_say(stdout,
                    "the log before revision %llu is of arithmetic %s: its rows are as they were written, but it "
                    "does not replay to the same bits, and is not part of that replay\n",
                    (unsigned long long)verdict->baseline, verdict->before);
        return 0;
    }
    struct text text = {0};
    struct json_writer json = json_write_begin(&text);
    json_write_bool(&json, "ok", true);
    json_write_string(&json, "digest", hex);
    json_write_u64(&json, "revision", verdict->revision);
    json_write_u64(&json, "step", verdict->step);
    json_write_u64(&json, "events", verdict->events);
    json_write_u64(&json, "samples", verdict->samples);
    json_write_number(&json, "snapshots", verdict->snapshots);
    json_write_u64(&json, "baseline", verdict->baseline);
    json_write_number(&json, "seconds", seconds);
    return cli_print_object(&json, err);
}

/* The difference goes to stdout as JSON, so that a script has one place to look, and to stderr as every error. */
static int print_difference(const struct err *why, struct err *err)
{
    struct text text = {0};
    struct json_writer json = json_write_begin(&text);
    json_write_bool(&json, "ok", false);
    json_write_string(&json, "code", err_code_name(why->code));
    json_write_string(&json, "error", why->text);
    return cli_print_object(&json, err);
}

static int run(const struct cli_args *args, struct err *err)
{
    const struct arith *arith = NULL;
    struct store *store = NULL;
    struct store_verdict verdict = {0};
    struct progress progress;
    bool json = cli_on(args, "json");
    if (cli_arith(&arith, args, err) != 0)
        return -1;
    cli_stop_watch();
    progress_start(&progress, "verifying", 0, cli_quiet(args));
    int status = store_open(&store, cli_text(args, "db"), true, err);
    if (status == 0)
        status = store_verify(store, arith, cli_show_or_stop, &progress, &verdict, err);
    progress_finish(&progress);
    if (status == 0)
        status = print_verdict(&verdict, cli_text(args, "db"), progress_seconds(&progress), json, err);
    else if (json && err->code != ERR_STOPPING)
        (void)print_difference(err, NULL);
    store_close(store);
    return status;
}

const struct cli_verb cli_verify = {
    .name = "verify",
    .purpose = "prove that the database holds exactly what was learned",
    .operands = "",
    .details =
        "Checks the whole file: SQLite's integrity check, every link of the log's hash chain, a replay of all events\n"
        "from nothing (or from the baseline, GET /model), and every snapshot and every sample's recorded outcome "
        "against\n"
        "that replay. Changes nothing.\n"
        "The first difference is named, and the exit code is 3. The database of a running daemon is locked: verify a "
        "copy\n"
        "by convd backup --url, which has the same digest (GET /model) if nothing was learned meanwhile.\n",
    .examples = "  convd verify --db digits.db\n"
                "  convd backup copy.db --url http://127.0.0.1:8080 && convd verify --db copy.db\n"
                "  convd verify --db digits.db --json --arith portable\n",
    .flags = flags,
    .run = run,
};
