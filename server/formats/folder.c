/* folder.c - see formats/folder.h */
#include "server/formats/folder.h"

#include <errno.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/grow.h"

static int no_memory(const char *path, struct err *err)
{
    return err_memory(err, "the folder %.200s", path);
}

/* What a file manager leaves behind, beside the names that begin with a dot. */
static bool is_hidden(const char *name)
{
    return name[0] == '.' || strcasecmp(name, "Thumbs.db") == 0 || strcasecmp(name, "desktop.ini") == 0;
}

static int compare_names(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

static int visit(FTS *tree, FTSENT *at, uint64_t *hidden, folder_take *take, void *context, struct err *err)
{
    const bool is_folder = at->fts_info == FTS_D;
    const bool is_file = at->fts_info == FTS_F || at->fts_info == FTS_NS || at->fts_info == FTS_SLNONE;
    if (at->fts_info == FTS_DNR || at->fts_info == FTS_ERR || (at->fts_level == 0 && is_file))
        return err_set(err, ERR_FILE, "cannot list the folder %.200s: %s", at->fts_path,
                       strerror(at->fts_info == FTS_F ? ENOTDIR : at->fts_errno));
    if (at->fts_level == 0 || at->fts_info == FTS_DP)
        return 0;
    const struct folder_entry entry = {at->fts_accpath, at->fts_parent->fts_name, at->fts_level, is_folder};
    int taken = 0;
    if (is_hidden(at->fts_name))
        ++*hidden;
    else if (is_folder || is_file)
        taken = take(context, &entry, err);
    if (is_folder && taken == 0)
        (void)fts_set(tree, at, FTS_SKIP);
    return taken < 0 ? -1 : 0;
}

int folder_walk(const char *path, uint64_t *hidden, folder_take *take, void *context, struct err *err)
{
    char *root = strdup(path);
    FTS *tree = root == NULL ? NULL : fts_open((char *const[]){root, NULL}, FTS_LOGICAL | FTS_NOCHDIR, compare_names);
    int status = -1;
    if (tree == NULL) {
        no_memory(path, err);
        goto out;
    }
    for (;;) {
        errno = 0;
        FTSENT *at = fts_read(tree);
        if (at == NULL) {
            status = errno == 0        ? 0
                     : errno == ENOMEM ? no_memory(path, err)
                                       : err_set(err, ERR_FILE, "cannot list %.200s: %s", path, strerror(errno));
            break;
        }
        if (visit(tree, at, hidden, take, context, err) != 0)
            break;
    }
    (void)fts_close(tree);
out:
    free(root);
    return status;
}

int folder_files_add(struct folder_files *files, const char *path, struct err *err)
{
    if (grow(&files->paths, &files->size, files->n, sizeof *files->paths, "files", err) != 0)
        return -1;
    files->paths[files->n] = strdup(path);
    if (files->paths[files->n] == NULL)
        return no_memory(path, err);
    files->n++;
    return 0;
}

static int take_any(void *context, const struct folder_entry *entry, struct err *err)
{
    if (!entry->is_folder && folder_files_add(context, entry->path, err) != 0)
        return -1;
    return 1;
}

int folder_files_list(struct folder_files *files, const char *path, uint64_t *hidden, struct err *err)
{
    return folder_walk(path, hidden, take_any, files, err);
}

void folder_files_fini(struct folder_files *files)
{
    for (size_t i = 0; i < files->n; i++)
        free(files->paths[i]);
    free(files->paths);
    *files = (struct folder_files){0};
}
