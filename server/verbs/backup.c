/* backup.c - convd backup: a copy of the database, offline or from a daemon that goes on meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/cli/client.h"
#include "server/cli/io.h"
#include "server/cli/offline.h"
#include "server/cli/progress.h"
#include "server/common/json.h"
#include "server/verbs/verbs.h"
#include "store/store.h"

#define STEP_US 100000 /* how often progress is told, and a wish to stop is heard */

static const struct cli_flag flags[] = {
    CLI_FLAG_DB, CLI_FLAG_URL, CLI_FLAG_JSON, CLI_FLAG_QUIET, CLI_FLAG_END,
};

/* What is told of a copy. */
struct result {
    uint64_t revision;
    uint64_t bytes;
    double seconds;
};

static int copy(struct store_backup *backup, struct progress *progress, struct err *err)
{
    int status = 1;
    while (status == 1) {
        uint64_t done, total;
        status = store_backup_step(backup, STEP_US, err);
        store_backup_progress(backup, &done, &total);
        progress->total = total >> 20;
        progress_update(progress, done >> 20, NULL);
        if (status == 1 && cli_stop())
            status = err_set(err, ERR_STOPPING, "stopped; no copy was made");
    }
    return status;
}

/* Opening it proves that the one it comes from is a convd database, and nobody's at the moment. */
static int copy_db(struct result *result, const char *db, const char *path, bool quiet, struct err *err)
{
    struct store *store = NULL;
    struct store_backup *backup = NULL;
    struct progress progress;
    struct stat file;
    progress_start(&progress, "copying MB", 0, quiet);
    int status = store_open(&store, db, true, err);
    if (status == 0)
        status = store_backup_begin(&backup, store, path, err);
    if (status == 0)
        status = copy(backup, &progress, err);
    if (status == 0)
        result->revision = store_revision(store);
    progress_finish(&progress);
    if (status == 0 && stat(path, &file) == 0)
        result->bytes = (uint64_t)file.st_size;
    store_backup_end(backup);
    store_close(store);
    return status;
}

static int fetch(int fd, const char *url, struct err *err)
{
    struct client *client = NULL;
    struct client_reply reply = {0};
    const struct client_request request = {.method = "GET", .path = "/backup", .safe = true, .into = &fd};
    int status = client_open(&client, url, CLIENT_PATIENCE_SECONDS, cli_stop_flag(), err);
    if (status == 0)
        status = client_send(client, &request, &reply, err);
    client_reply_fini(&reply);
    client_close(client);
    return status;
}

/* What the daemon sends is opened, and copied once more, to where it is wanted: so that no other file than a whole database of
 * convd ever gets the name. */
static int copy_url(struct result *result, const char *url, const char *path, bool quiet, struct err *err)
{
    const size_t size = strlen(path) + sizeof ".XXXXXX";
    char *sent = malloc(size);
    struct stat there;
    if (sent == NULL)
        return err_memory(err, "a path");
    (void)snprintf(sent, size, "%s.XXXXXX", path);
    int fd = -1, status = -1;
    if (lstat(path, &there) == 0)
        err_set(err, ERR_CONFLICT, "cannot create %s: it exists", path);
    else if ((fd = mkostemp(sent, O_CLOEXEC)) < 0)
        err_set(err, ERR_FILE, "cannot create %s: %s", path, strerror(errno));
    else
        status = fetch(fd, url, err);
    if (status == 0)
        status = copy_db(result, sent, path, quiet, err);
    if (fd >= 0) {
        (void)close(fd);
        (void)unlink(sent);
    }
    free(sent);
    return status;
}

static int print_result(const struct result *result, const char *path, bool as_json, struct err *err)
{
    if (!as_json) {
        cli_say(stdout, "%s: copied up to revision %llu, %.1f MB\n", path, (unsigned long long)result->revision,
                (double)result->bytes / 1e6);
        return 0;
    }
    struct text text = {0};
    struct json_writer json = json_write_begin(&text);
    json_write_string(&json, "file", path);
    json_write_u64(&json, "revision", result->revision);
    json_write_u64(&json, "bytes", result->bytes);
    json_write_number(&json, "seconds", result->seconds);
    return cli_print_object(&json, err);
}

static int run(const struct cli_args *args, struct err *err)
{
    struct result result = {0};
    struct progress clock;
    const char *url = NULL;
    if (args->n_operands != 1)
        return err_set(err, ERR_USAGE, "the name of the copy is missing: convd backup FILE");
    if (cli_url(&url, args, err) != 0)
        return -1;
    const char *path = args->operands[0];
    cli_stop_watch();
    progress_start(&clock, "", 0, true);
    int status = url != NULL ? copy_url(&result, url, path, cli_quiet(args), err)
                             : copy_db(&result, cli_text(args, "db"), path, cli_quiet(args), err);
    result.seconds = progress_seconds(&clock);
    return status == 0 ? print_result(&result, path, cli_on(args, "json"), err) : -1;
}

const struct cli_verb cli_backup = {
    .name = "backup",
    .purpose = "copy the database, also while a daemon serves it",
    .operands = "FILE",
    .operands_max = 1,
    .details =
        "The copy has everything: log, images, snapshots. It is a database that convd serves and verifies, with the\n"
        "digest of the original. An existing file is never overwritten. A daemon goes on learning meanwhile; it needs\n"
        "the writing token, and room on its disk for a second database.\n",
    .examples = "  convd backup digits-monday.db --url http://127.0.0.1:8080\n"
                "  convd backup digits-monday.db --db digits.db && convd verify --db digits-monday.db\n",
    .flags = flags,
    .run = run,
};
