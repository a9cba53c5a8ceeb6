/* chain.h - the hash that ties each row of the log to all before it.
 *
 *     chain(0) = 32 zero bytes
 *     chain(r) = SHA-256( chain(r - 1)                                    32 bytes
 *                         revision                                         8
 *                         created_us                                       8
 *                         length of kind, kind                             4, ..
 *                         length of body, body                             4, ..    the JSON text, as it is in the row
 *                         number of samples                                4        0 unless kind is train
 *                         and for each sample, by id:
 *                             id                                           8
 *                             label                                        4
 *                             length of image, image                       4, .. )
 *
 * What the fold makes of a sample (table outcome) is not in it: an event is ordered and durable before it is applied.
 *
 * All numbers are little-endian and unsigned (ids and times as two's complement).
 *
 * What it finds: a row or image that was changed, left out, added or moved, by a bad disk or by hand. What it does not: a
 * log that was rewritten as a whole, hashes included; or whose end is missing, unless a snapshot remembers that end.
 */
#ifndef CONVD_STORE_LOG_CHAIN_H
#define CONVD_STORE_LOG_CHAIN_H

#include <stddef.h>
#include <stdint.h>

#include <nettle/sha2.h>

#define CHAIN_BYTES SHA256_DIGEST_SIZE

struct chain {
    struct sha256_ctx hash;
};

void chain_init(struct chain *chain, const uint8_t previous[CHAIN_BYTES], uint64_t revision, int64_t created_us,
                const char *kind, const char *body, size_t n_body, uint32_t n_samples);
void chain_add_sample(struct chain *chain, int64_t id, uint32_t label, const uint8_t *image, size_t n_image);
void chain_end(struct chain *chain, uint8_t out[CHAIN_BYTES]);

#endif
