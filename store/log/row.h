/* row.h - an event of the log as it stands in a file: what is copied from one engine to another, byte for byte, so that the chain holds in both.
 *
 * docs/file-format.md has what the members mean. Numbers of classes are the file's (store/log/columns.c), never columns of a model.
 */
#ifndef CONVD_STORE_LOG_ROW_H
#define CONVD_STORE_LOG_ROW_H

#include <stddef.h>
#include <stdint.h>

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

#endif
