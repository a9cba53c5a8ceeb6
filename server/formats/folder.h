/* folder.h - the files of a folder, as people keep pictures.
 *
 * Names that begin with a dot, and Thumbs.db and its like, are hidden: counted, and not looked at. Symbolic links are followed, but
 * not back into a folder that they are in.
 */
#ifndef CONVD_SERVER_FORMATS_FOLDER_H
#define CONVD_SERVER_FORMATS_FOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

struct folder_files {
    char **paths; /* [n], each begins with the folder's as it was given */
    size_t n, size;
};

/* What was found: a regular file, or a link that leads nowhere (to be read, which tells); or the beginning of a folder. */
struct folder_entry {
    const char *path, *parent; /* parent: the name of the folder that it is in */
    int depth;                 /* 1: in the folder itself */
    bool is_folder;
};

/* folder_take - what a walk calls. 1: goes on, into it where it is a folder; 0: goes on, not into it; -1: ends the walk. */
typedef int folder_take(void *context, const struct folder_entry *entry, struct err *err);

/* folder_walk - all that is not hidden, in each folder by the bytes of the names; what is hidden is added to *hidden.
 * Errors: ERR_FILE (names what cannot be listed), ERR_MEMORY; take's. */
int folder_walk(const char *path, uint64_t *hidden, folder_take *take, void *context, struct err *err);

/* folder_files_add - one more. Errors: ERR_MEMORY. */
int folder_files_add(struct folder_files *files, const char *path, struct err *err);

/* folder_files_list - every file, however deep. Errors: those of folder_walk(); release it then, too. */
int folder_files_list(struct folder_files *files, const char *path, uint64_t *hidden, struct err *err);
void folder_files_fini(struct folder_files *files); /* a zeroed one is fine */

#endif
