/* offline.c - see cli/offline.h */
#include "server/cli/offline.h"

#include <limits.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/access/auth.h"
#include "server/cli/client.h"
#include "server/cli/io.h"
#include "server/cli/progress.h"
#include "server/common/logger.h"
#include "server/common/worker_team.h"

#define LABELS_NAMED 5 /* in an error's text */
#define PICTURES_BYTES                                                                                                 \
    ((size_t)64 << 20) /* of past samples in memory while they are rehearsed: all of 60,000 of 28x28 */

static bool has_flag(const struct cli_args *args, const char *name)
{
    for (const struct cli_flag *flag = args->flags; flag->name != NULL; flag++)
        if (strcmp(flag->name, name) == 0)
            return true;
    return false;
}

bool cli_quiet(const struct cli_args *args)
{
    return has_flag(args, "quiet") && cli_on(args, "quiet");
}

int cli_arith(const struct arith **out, const struct cli_args *args, struct err *err)
{
    *out = NULL;
    const char *name = has_flag(args, "arith") ? cli_text(args, "arith") : NULL;
    if (name == NULL)
        return 0;
    *out = arith_choose(name);
    if (*out != NULL)
        return 0;
    char known[128] = "";
    size_t used = 0;
    for (unsigned i = 0; arith_nth(i) != NULL && used < sizeof known; i++)
        used +=
            (size_t)snprintf(known + used, sizeof known - used, "%s%s", i == 0 ? "" : ", ", arith_name(arith_nth(i)));
    return err_set(err, ERR_USAGE, "--arith is \"%.40s\", but this machine can run: %s", name, known);
}

/* What the client shows and trusts: see CLI_FLAG_URL. */
static int set_access(const struct cli_args *args, struct err *err)
{
    char token[TOKEN_BYTES_MAX + 1] = "";
    const char *file = cli_text(args, "token-file"), *variable = NULL;
    if (file == NULL) {
        variable = getenv("CONVD_TOKEN");
        if (variable == NULL || variable[0] == '\0') {
            variable = NULL;
            file = getenv("CONVD_TOKEN_FILE");
        }
    }
    if (variable == NULL && file != NULL && file[0] != '\0') {
        if (token_read(token, file, err) != 0)
            return -1;
        variable = token;
    }
    int status = client_access(variable, cli_text(args, "ca"), err);
    explicit_bzero(token, sizeof token);
    return status;
}

int cli_url(const char **url, const struct cli_args *args, struct err *err)
{
    const char *variable = getenv("CONVD_URL");
    *url = cli_text(args, "url");
    if (*url != NULL && cli_given(args, "db"))
        return err_set(err, ERR_USAGE, "--db and --url exclude each other: use a database or a daemon");
    if (*url == NULL && !cli_given(args, "db") && variable != NULL && variable[0] != '\0')
        *url = variable;
    if (*url == NULL && (cli_given(args, "token-file") || cli_given(args, "ca")))
        return err_set(err, ERR_USAGE, "--token-file and --ca need --url");
    if (*url != NULL && has_flag(args, "arith") && cli_given(args, "arith"))
        return err_set(err, ERR_USAGE, "--arith needs a database, --db: a daemon does its own arithmetic");
    return *url != NULL ? set_access(args, err) : 0;
}

int cli_show_or_stop(void *progress, uint64_t done, uint64_t total)
{
    struct progress *shown = progress;
    shown->total = total;
    progress_update(shown, done, NULL);
    return cli_stop() ? 1 : 0;
}

/* With nobody else to serve: the queue has no bound, --train-threads share the steps, and keys are as they were when it ends. */
static int start_trainer(struct offline *offline, const struct cli_args *args, struct err *err)
{
    struct trainer_config config = trainer_config_default();
    struct learner *learner = offline->learner;
    config.queue_samples = config.queue_bytes = UINT64_MAX;
    config.key_seconds = UINT_MAX;
    config.alone = true;
    if (store_rehearse_memory(offline->store, PICTURES_BYTES, err) != 0)
        return -1;
    if (has_flag(args, "train-threads")) {
        const unsigned wanted = (unsigned)cli_count(args, "train-threads");
        if (team_create_for(&offline->team, &learner->shape, learner->n_classes, wanted, err) != 0)
            return -1;
        workspace_share(learner->ws, offline->team, TEAM_LEAST);
    }
    logger_set_level(LOG_LINE_ERROR);
    offline->trainer = trainer_create(offline->store, learner, &config, err);
    if (offline->trainer == NULL)
        return -1;
    offline->store = NULL;
    offline->learner = NULL;
    return 0;
}

int offline_open(struct offline *out, const struct cli_args *args, bool read_only, struct err *err)
{
    *out = (struct offline){0};
    const struct arith *arith = NULL;
    if (cli_arith(&arith, args, err) != 0)
        return -1;
    const char *path = cli_text(args, "db");
    if (store_open(&out->store, path, read_only, err) != 0)
        return -1;
    struct progress progress;
    progress_start(&progress, "recovering", 0, cli_quiet(args));
    struct store_recovery report = {0};
    int status = store_recover(out->store, arith, cli_show_or_stop, &progress, &out->learner, &report, err);
    progress_finish(&progress);
    if (status != 0) {
        offline_close(out);
        return -1;
    }
    if (report.before[0] != '\0')
        cli_say(stderr,
                "convd: %s: the log is of arithmetic %s, and this convd has " ARITHMETIC_VERSION
                ": the snapshot of revision %llu is its baseline\n",
                path, report.before, (unsigned long long)report.snapshot_revision);
    if (report.skipped > 0)
        cli_say(stderr, "convd: warning: %s: %u snapshot%s skipped: %s\n", path, report.skipped,
                report.skipped == 1 ? "" : "s", report.warning);
    if (!read_only && start_trainer(out, args, err) != 0) {
        offline_close(out);
        return -1;
    }
    return 0;
}

static void command_done(struct command *command)
{
    (void)sem_post(command->context);
}

int offline_do(struct offline *offline, struct command *commands, size_t n, struct err *err)
{
    sem_t done;
    size_t sent = 0;
    int status = 0;
    (void)sem_init(&done, 0, 0);
    for (size_t i = 0; i < n; i++) {
        commands[i].done = command_done;
        commands[i].context = &done;
        status = status == 0 ? trainer_submit(offline->trainer, &commands[i], err) : -1;
        if (status != 0)
            commands[i].status = -1; /* else it is the trainer's by now */
        sent += status == 0;
    }
    for (size_t i = 0; i < sent;)
        i += sem_wait(&done) == 0; /* else it was a signal: what is submitted is in the trainer's hands */
    (void)sem_destroy(&done);
    for (size_t i = 0; i < sent; i++)
        if (commands[i].status != 0) {
            *err = commands[i].err;
            return -1;
        }
    return status;
}

int offline_stop(struct offline *offline, struct err *err)
{
    const int status = trainer_stop(offline->trainer, err);
    trainer_free(offline->trainer);
    offline->trainer = NULL;
    return status;
}

void offline_close(struct offline *offline)
{
    if (offline->trainer != NULL)
        (void)offline_stop(offline, NULL);
    learner_free(offline->learner);
    team_free(offline->team);
    store_close(offline->store);
    *offline = (struct offline){0};
}

static int compare_rows(const void *a, const void *b)
{
    const struct cli_label *left = a;
    const struct cli_label *right = b;
    return strcmp(left->label, right->label);
}

int cli_labels_init(struct cli_labels *labels, const char (*names)[LABEL_BYTES_MAX + 1], size_t n, struct err *err)
{
    *labels = (struct cli_labels){.n = n, .rows = calloc(n + 1, sizeof *labels->rows)};
    if (labels->rows == NULL)
        return err_memory(err, "%zu labels", n);
    for (size_t i = 0; i < n; i++)
        labels->rows[i] = (struct cli_label){.label = names[i], .index = (uint32_t)i};
    qsort(labels->rows, n, sizeof *labels->rows, compare_rows);
    return 0;
}

void cli_labels_fini(struct cli_labels *labels)
{
    free(labels->rows);
    *labels = (struct cli_labels){0};
}

int cli_labels_find(const struct cli_labels *labels, const char *label)
{
    struct cli_label wanted = {.label = label};
    const struct cli_label *row = bsearch(&wanted, labels->rows, labels->n, sizeof *labels->rows, compare_rows);
    return row == NULL ? -1 : (int)row->index;
}

int cli_labels_cover(const struct cli_labels *labels, const struct dataset *dataset, const char *advice,
                     struct err *err)
{
    const char *const *there = NULL;
    size_t n = dataset_labels(dataset, &there);
    char names[160] = "";
    size_t used = 0;
    size_t unknown = 0;
    for (size_t i = 0; i < n; i++) {
        if (cli_labels_find(labels, there[i]) >= 0)
            continue;
        if (++unknown <= LABELS_NAMED && used < sizeof names)
            used +=
                (size_t)snprintf(names + used, sizeof names - used, "%s\"%.24s\"", unknown == 1 ? "" : ", ", there[i]);
    }
    if (unknown == 0)
        return 0;
    char more[32] = "";
    if (unknown > LABELS_NAMED)
        (void)snprintf(more, sizeof more, " and %zu more", unknown - LABELS_NAMED);
    return err_set(err, ERR_LABEL_UNKNOWN, "unknown label %s%s%s", names, more, advice);
}
