/* chain.c - see store/log/chain.h. */
#include "store/log/chain.h"

#include <string.h>

static void add_u32(struct chain *chain, uint32_t value)
{
    uint8_t bytes[4];
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    sha256_update(&chain->hash, sizeof bytes, bytes);
}

static void add_u64(struct chain *chain, uint64_t value)
{
    add_u32(chain, (uint32_t)value);
    add_u32(chain, (uint32_t)(value >> 32));
}

static void add_bytes(struct chain *chain, const void *bytes, size_t n_bytes)
{
    add_u32(chain, (uint32_t)n_bytes); /* SQLite holds no value of 4 GiB */
    sha256_update(&chain->hash, n_bytes, bytes);
}

void chain_init(struct chain *chain, const uint8_t previous[CHAIN_BYTES], uint64_t revision, int64_t created_us,
                const char *kind, const char *body, size_t n_body, uint32_t n_samples)
{
    sha256_init(&chain->hash);
    sha256_update(&chain->hash, CHAIN_BYTES, previous);
    add_u64(chain, revision);
    add_u64(chain, (uint64_t)created_us);
    add_bytes(chain, kind, strlen(kind));
    add_bytes(chain, body, n_body);
    add_u32(chain, n_samples);
}

void chain_add_sample(struct chain *chain, int64_t id, uint32_t label, const uint8_t *image, size_t n_image)
{
    add_u64(chain, (uint64_t)id);
    add_u32(chain, label);
    add_bytes(chain, image, n_image);
}

void chain_end(struct chain *chain, uint8_t out[CHAIN_BYTES])
{
    sha256_digest(&chain->hash, CHAIN_BYTES, out);
}
