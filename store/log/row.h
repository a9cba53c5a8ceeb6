/* row.h - an event of the log as it stands in a file: what is copied from one engine to another, byte for byte, so that the chain holds in both.
 *
 * docs/file-format.md has what the members mean. Numbers of classes are the file's (store/log/columns.c), never columns of a model.
 */
#ifndef CONVD_STORE_LOG_ROW_H
#define CONVD_STORE_LOG_ROW_H

#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "store/log/chain.h"

struct log_row {
    uint64_t revision;
    int64_t created_us;
    const char *kind, *body; /* terminated; UTF-8 without zeros */
    uint8_t chain[CHAIN_BYTES];
    const char *key;         /* that it came with; NULL: none             */
    uint8_t fingerprint[32]; /* of the request, where there is a key      */
    int64_t first;           /* id of the first sample; 0: it has none    */
    uint32_t n_samples;
    uint32_t n_image;       /* bytes of an image                          */
    const uint32_t *labels; /* [n_samples] numbers of classes; EDIT_FORGET: forgotten since */
    const uint8_t *images;  /* [n_samples][n_image]; zeros where forgotten */

    /* Of an edit event: its rows, as the hash in its body takes them: those of table edit, 16 bytes each, those of table edited, 40 each, and the
     * one of class_removed, 16, if there is one. What it forgets: the event and the id of each sample. */
    const uint8_t *edit; /* [n_edit] bytes; NULL: it is no edit event  */
    size_t n_edit;
    const int64_t *erase_events, *erase_samples; /* [n_erase]; not what postgres_read() gives */
    size_t n_erase;
};

/* Where a log ends. */
struct log_head {
    uint64_t revision; /* 0: it is empty */
    uint8_t chain[CHAIN_BYTES];
};

struct store;

/* rows_read - the rows after a revision, as many as have about max_bytes, at least one where there is one; in an open group, those of it as well.
 * Errors: ERR_DB_CORRUPT, ERR_STORAGE, ERR_MEMORY. Owns: the caller; rows_free(). */
struct rows {
    struct log_row *list; /* [n] */
    size_t n, room, n_bytes;
    void **blocks; /* [n] what each points to */
};
int rows_read(struct rows *rows, struct store *store, uint64_t after, size_t max_bytes, struct err *err);
void rows_free(struct rows *rows);

/* row_write - the next event of the log, with its samples and its key, or the rows of its edit, in the open group; what follows from an edit is for
 * row_follow(). Errors: ERR_DIVERGED (it does not follow what is there, or its chain is not that of its bytes), those of store_append(); the group
 * is gone then.
 * row_ahead - the rows of an edit whose event comes later in the same group. An event of which it forgets something may be empty by the time it is
 * read, and is known by what the edit has left of it: so who copies such an event has all edits behind it ahead, in their order. */
int row_write(struct store *store, const struct log_row *row, struct err *err);
int row_ahead(struct store *store, const struct log_row *row, struct err *err);

/* row_follow - row_write(), and all that an edit event brings in its transaction: what it forgets is emptied, and snapshots that saw it are none from
 * then on (store/replay/edits_shared.c). */
int row_follow(struct store *store, const struct log_row *row, struct err *err);

#endif
