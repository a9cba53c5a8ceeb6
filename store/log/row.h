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
    const uint32_t *labels; /* [n_samples] numbers of classes             */
    const uint8_t *images;  /* [n_samples][n_image]                       */
};

/* Where a log ends. */
struct log_head {
    uint64_t revision; /* 0: it is empty */
    uint8_t chain[CHAIN_BYTES];
};

struct store;

/* rows_read - the rows after a revision, as many as have about max_bytes, at least one where there is one; in an open group, those of it as well.
 * Errors: ERR_DB_CORRUPT (also for an event of which samples were forgotten), ERR_STORAGE, ERR_MEMORY. Owns: the caller; rows_free(). */
struct rows {
    struct log_row *list; /* [n] */
    size_t n, room, n_bytes;
    void **blocks; /* [n] what each points to */
};
int rows_read(struct rows *rows, struct store *store, uint64_t after, size_t max_bytes, struct err *err);
void rows_free(struct rows *rows);

/* row_write - the next event of the log, with its samples and its key, in the open group. Errors: ERR_DIVERGED (it does not follow what is there,
 * or its chain is not that of its bytes), those of store_append(); the group is gone then. */
int row_write(struct store *store, const struct log_row *row, struct err *err);

#endif
