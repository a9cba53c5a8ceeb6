/* diff.c - see verbs/diff.h */
#include "server/verbs/diff.h"

#include <stdio.h>

#include "server/cli/cli.h"
#include "server/cli/io.h"
#include "server/cli/progress.h"
#include "server/model/snapshot_diff.h"
#include "store/store.h"

#define STEP_US 100000 /* how often progress is told, and a wish to stop is heard */

static int work_off(struct diff *diff, uint64_t n_samples, struct err *err)
{
    struct progress progress;
    int status = 1;
    cli_stop_watch();
    progress_start(&progress, "comparing", n_samples, false);
    while (status == 1) {
        status = diff_step(diff, STEP_US, err);
        progress_update(&progress, diff_progress(diff), NULL);
        if (status == 1 && cli_stop())
            status = err_set(err, ERR_STOPPING, "stopped");
    }
    progress_finish(&progress);
    return status;
}

int cli_diff_db(struct json **root, const char *path, int64_t a, int64_t b, uint64_t n_samples, struct err *err)
{
    struct store *store = NULL;
    struct diff *diff = NULL;
    struct text text = {0};
    int status = -1;
    *root = NULL;
    if (store_open(&store, path, true, err) != 0 || diff_create(&diff, store, a, b, n_samples, err) != 0 ||
        work_off(diff, n_samples, err) != 0)
        goto out;
    struct json_writer json = json_write_begin(&text);
    diff_write(&json, diff);
    json_write_end(&json);
    status = cli_json(root, &text, err);
out:
    diff_free(diff);
    store_close(store);
    return status;
}

static double number(const struct json *object, const char *name)
{
    return json_number(json_get(object, name));
}

static void print_row(const char *name, const struct json *a, const struct json *b)
{
    cli_say(stdout, "%-10s %12.0f %12.0f\n", name, number(a, name), number(b, name));
}

static void print_accuracy(const struct json *root, double n)
{
    if (n < 1)
        return;
    cli_say(stdout,
            "%-10s %10.2f %% %10.2f %%   on the %s%.0f samples that one has learned from and the other has not\n",
            "accuracy", 100 * number(json_get(root, "a"), "accuracy"), 100 * number(json_get(root, "b"), "accuracy"),
            json_bool(json_get(json_get(root, "samples"), "more")) ? "newest " : "", n);
    cli_say(stdout, "their predictions differ for %.0f of them\n", number(root, "disagree"));
}

void cli_diff_print(const struct json *root)
{
    const struct json *a = json_get(root, "a"), *b = json_get(root, "b");
    print_row("snapshot", a, b);
    print_row("revision", a, b);
    print_row("step", a, b);
    print_accuracy(root, number(json_get(root, "samples"), "n"));
    cli_say(stdout, "\n");
    cli_say(stdout, "%-10s %12s %12s %12s\n", "tensor", "l2", "relative", "max");
    for (const struct json *t = json_first(json_get(root, "tensors")); t != NULL; t = json_next(t)) {
        const struct json *relative = json_get(t, "relative");
        char share[32] = "-";
        if (relative != NULL && json_type(relative) == JSON_NUMBER)
            (void)snprintf(share, sizeof share, "%.6f", json_number(relative));
        cli_say(stdout, "%-10s %12.6f %12s %12.6f\n", json_string(json_get(t, "name")), number(t, "l2"), share,
                number(t, "max"));
    }
    const struct json *class_ = json_first(json_get(root, "classes"));
    if (class_ != NULL)
        cli_say(stdout, "\n");
    if (class_ != NULL)
        cli_say(stdout, "%8s %8s %8s %8s  %s\n", "samples", "changed", "left", "came", "class");
    for (; class_ != NULL; class_ = json_next(class_))
        cli_say(stdout, "%8.0f %8.0f %8.0f %8.0f  %s\n", number(class_, "samples"), number(class_, "changed"),
                number(class_, "left"), number(class_, "came"), json_string(json_get(class_, "label")));
}
