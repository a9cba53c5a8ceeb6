/* without.c - what a convd that was built without libpq says instead. See postgres.h. */
#include "store/postgres/postgres.h"

#if !HAVE_LIBPQ

#pragma GCC diagnostic ignored "-Wunused-parameter" /* all they do is refuse */

static int without(struct err *err)
{
    return err_set(
        err, ERR_USAGE,
        "this convd was built without libpq: to share a log with others, build it where libpq-dev is installed");
}

int postgres_create(const char *conninfo, struct err *err)
{
    return without(err);
}

int postgres_open(struct postgres **out, const char *conninfo, struct err *err)
{
    *out = NULL;
    return without(err);
}

int postgres_vacuum(const char *conninfo, struct err *err)
{
    return without(err);
}

void postgres_close(struct postgres *pg)
{
}

void postgres_limit(struct postgres *pg, unsigned ms)
{
}

int postgres_head(struct log_head *head, struct postgres *pg, struct err *err)
{
    return without(err);
}

int postgres_lock(struct log_head *head, struct postgres *pg, struct err *err)
{
    return without(err);
}

void postgres_unlock(struct postgres *pg)
{
}

int postgres_append(struct postgres *pg, const struct log_head *after, const struct log_row *rows, size_t n,
                    struct err *err)
{
    return without(err);
}

int postgres_read(struct log_row **rows, size_t *n, struct postgres *pg, uint64_t after, size_t max_bytes,
                  struct err *err)
{
    return without(err);
}

int postgres_edits(struct log_row **rows, size_t *n, struct postgres *pg, uint64_t after, struct err *err)
{
    return without(err);
}

int postgres_chain(uint8_t chain[CHAIN_BYTES], struct postgres *pg, uint64_t revision, struct err *err)
{
    return without(err);
}

int postgres_listener_open(struct postgres_listener **out, const char *conninfo, struct err *err)
{
    *out = NULL;
    return without(err);
}

int postgres_listen(struct postgres_listener *listener, unsigned timeout_ms, int fd, uint64_t *revision,
                    struct err *err)
{
    return without(err);
}

void postgres_listener_close(struct postgres_listener *listener)
{
}

int postgres_digest(struct postgres *pg, uint64_t revision, const uint8_t digest[DIGEST_BYTES], struct err *err)
{
    return without(err);
}

int postgres_digest_stands(struct postgres *pg, uint64_t revision, const uint8_t digest[DIGEST_BYTES], struct err *err)
{
    return without(err);
}

int postgres_digest_replace(struct postgres *pg, uint64_t revision, const uint8_t digest[DIGEST_BYTES], struct err *err)
{
    return without(err);
}

int postgres_snapshot_put(struct postgres *pg, const struct log_snapshot *snapshot, struct err *err)
{
    return without(err);
}

int postgres_snapshot_get(struct log_snapshot **out, struct postgres *pg, uint64_t upto, struct err *err)
{
    return without(err);
}

int postgres_outcomes_put(struct postgres *pg, const struct log_outcomes *outcomes, struct err *err)
{
    return without(err);
}

int postgres_outcomes_get(struct log_outcomes **out, struct postgres *pg, int64_t sample, struct err *err)
{
    return without(err);
}

int postgres_states(struct log_states *out, struct postgres *pg, struct err *err)
{
    return without(err);
}

int postgres_states_drop(struct postgres *pg, uint64_t from, uint64_t to, struct err *err)
{
    return without(err);
}

int postgres_node_tell(struct postgres *pg, const struct log_node *node, struct err *err)
{
    return without(err);
}

int postgres_node_forget(struct postgres *pg, const char *name, struct err *err)
{
    return without(err);
}

int postgres_nodes(struct log_node **list, size_t *n, struct postgres *pg, struct err *err)
{
    return without(err);
}

int postgres_server(struct log_server *out, struct postgres *pg, struct err *err)
{
    return without(err);
}

int postgres_idle_lock(struct postgres *pg, struct err *err)
{
    return without(err);
}

int postgres_idle_unlock(struct postgres *pg, struct err *err)
{
    return without(err);
}

#endif
