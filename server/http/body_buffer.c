/* body_buffer.c - see http/body_buffer.h */
#include "server/http/body_buffer.h"

#include <assert.h>

#define BUDGET_BYTES ((uint64_t)64 << 20)

void http_bodies_init(struct http_bodies *bodies, uint64_t limit, unsigned n_spares)
{
    bodies->limit = limit;
    bodies->budget = limit * 4 > BUDGET_BYTES ? limit * 4 : BUDGET_BYTES;
    atomic_init(&bodies->n_bytes, 0);
    atomic_init(&bodies->n_reply_bytes, 0);
    bodies->n_spares = 0;
    bodies->n_spares_max = n_spares < HTTP_BODY_SPARES_MAX ? n_spares : HTTP_BODY_SPARES_MAX;
    (void)pthread_mutex_init(&bodies->lock, NULL);
}

void http_bodies_fini(struct http_bodies *bodies)
{
    assert(atomic_load(&bodies->n_bytes) == 0 && atomic_load(&bodies->n_reply_bytes) == 0);
    while (bodies->n_spares > 0)
        text_free(&bodies->spares[--bodies->n_spares]);
    (void)pthread_mutex_destroy(&bodies->lock);
}

/* ---- the budget ---- */

static bool charge(struct http_body *body, struct http_bodies *bodies, uint64_t bytes)
{
    if (atomic_fetch_add(&bodies->n_bytes, bytes) + bytes > bodies->budget) {
        atomic_fetch_sub(&bodies->n_bytes, bytes);
        return false;
    }
    body->charged += bytes;
    return true;
}

static void uncharge(struct http_body *body, struct http_bodies *bodies)
{
    if (body->charged > 0)
        atomic_fetch_sub(&bodies->n_bytes, body->charged);
    body->charged = 0;
}

bool http_reply_charge(struct http_bodies *bodies, uint64_t bytes)
{
    const uint64_t others = atomic_fetch_add(&bodies->n_reply_bytes, bytes);
    if (others == 0 || others + bytes <= HTTP_REPLY_BUDGET_BYTES)
        return true;
    atomic_fetch_sub(&bodies->n_reply_bytes, bytes);
    return false;
}

void http_reply_end(struct http_bodies *bodies, uint64_t bytes)
{
    if (bytes > 0)
        atomic_fetch_sub(&bodies->n_reply_bytes, bytes);
}

/* ---- buffers that stay behind ---- */

/* Takes one that is large enough, if there is; the small one makes room for it. */
static void take_spare(struct http_body *body, struct http_bodies *bodies, size_t length)
{
    struct text spare = {0};
    pthread_mutex_lock(&bodies->lock);
    for (unsigned i = 0; i < bodies->n_spares && spare.bytes == NULL; i++)
        if (bodies->spares[i].size >= length) {
            spare = bodies->spares[i];
            bodies->spares[i] = bodies->spares[--bodies->n_spares];
        }
    pthread_mutex_unlock(&bodies->lock);
    if (spare.bytes == NULL)
        return;
    if (!charge(body, bodies, spare.size)) {
        text_free(&spare); /* memory is what there is too little of */
        return;
    }
    text_free(&body->text);
    body->text = spare;
}

static void leave_spare(struct http_body *body, struct http_bodies *bodies)
{
    pthread_mutex_lock(&bodies->lock);
    if (body->text.size <= HTTP_BODY_SPARE_BYTES && bodies->n_spares < bodies->n_spares_max) {
        text_clear(&body->text);
        bodies->spares[bodies->n_spares++] = body->text;
        body->text = (struct text){0};
    }
    pthread_mutex_unlock(&bodies->lock);
    text_free(&body->text);
}

/* ---- a request ---- */

void http_body_begin(struct http_body *body, struct http_bodies *bodies, uint64_t length)
{
    body->received = 0;
    body->too_large = false;
    body->failed = ERR_NONE;
    text_clear(&body->text);
    if (length > HTTP_BODY_SMALL_BYTES && length <= HTTP_BODY_SPARE_BYTES)
        take_spare(body, bodies, (size_t)length);
}

/* Room for n more bytes, within the budget. */
static bool reserve(struct http_body *body, struct http_bodies *bodies, size_t n)
{
    const size_t before = body->text.size, need = body->text.n + n;
    if (need > before && need > HTTP_BODY_SMALL_BYTES) {
        const uint64_t size = before * 2 > need ? before * 2 : need; /* what text_reserve() is about to take */
        if (!charge(body, bodies, size - body->charged)) {
            body->failed = ERR_BUSY;
            return false;
        }
    }
    if (!text_reserve(&body->text, n)) {
        body->failed = ERR_MEMORY;
        return false;
    }
    return true;
}

bool http_body_add(struct http_body *body, struct http_bodies *bodies, const char *bytes, size_t n)
{
    body->received += n;
    if (body->received > bodies->limit) {
        body->too_large = true;
        text_shrink(&body->text, HTTP_BODY_SMALL_BYTES);
        uncharge(body, bodies);
        return body->received / 2 <= bodies->limit; /* only a chunked body gets here: it may end soon */
    }
    if (body->failed == ERR_NONE && reserve(body, bodies, n))
        text_add(&body->text, bytes, n);
    return true;
}

int http_body_check(const struct http_body *body, const struct http_bodies *bodies, struct err *err)
{
    if (body->too_large)
        return err_set(err, ERR_TOO_LARGE, "the body is too large; the limit is %llu bytes",
                       (unsigned long long)bodies->limit);
    if (body->failed != ERR_NONE)
        return err_set(err, body->failed, "too many large requests at once: try again later");
    return 0;
}

void http_body_end(struct http_body *body, struct http_bodies *bodies)
{
    uncharge(body, bodies);
    if (body->text.size > HTTP_BODY_SMALL_BYTES)
        leave_spare(body, bodies);
}

void http_body_fini(struct http_body *body, struct http_bodies *bodies)
{
    uncharge(body, bodies);
    text_free(&body->text);
}
