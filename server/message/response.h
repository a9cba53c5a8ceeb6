/* response.h - what a route says: status, headers, body. http/send.c puts it on the wire.
 *
 * The body is `text` (memory that the connection uses again and again) or, where `blob` is set, a malloc'ed block that the
 * answer owns, or, where `fixed` is set, bytes that live as long as the program,
 * or, where `stream` is set, what that gives piece by piece. Everything is text in UTF-8 or bytes; the content type says which.
 */
#ifndef CONVD_SERVER_MESSAGE_RESPONSE_H
#define CONVD_SERVER_MESSAGE_RESPONSE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "server/common/json.h"
#include "server/common/text.h"
#include "server/message/problem.h"

#define ANSWER_TEXT_MAX    ((size_t)32 << 20) /* of one answer's text: more is refused, and what would work is said */
#define ANSWER_SMALL_BYTES 16384u             /* of text that a connection keeps, and that nobody counts       */

#define ANSWER_JSON    "application/json; charset=utf-8"
#define ANSWER_PROBLEM "application/problem+json; charset=utf-8"
#define ANSWER_TEXT    "text/plain; charset=utf-8"

/* What caches may do: predictions and problems are never stored; what has an ETag may be, and is revalidated. */
enum answer_cache { CACHE_NO_STORE, CACHE_REVALIDATE };

/* A body that comes piece by piece: answer.stream. Its connection sleeps while there is nothing, and costs memory only. The deadline of
 * a request is one for each piece: a client that does not take a piece within it is cut. So is one that takes less than 16 KB a second on
 * the whole, unless the stream is endless: there are few places for such answers, and others wait for one. */
struct http_stream {
    /* In the HTTP thread: up to `room` bytes, how many; 0: none now, and http_stream_wake() will be called when there are;
     * HTTP_STREAM_END; HTTP_STREAM_BROKEN: the client is cut off, so that it takes nothing for the whole. */
    long (*read)(struct http_stream *stream, char *bytes, size_t room);
    /* The last call, in the HTTP thread; also of one that was never read (HEAD). Wakes are fine as long as its memory is there. */
    void (*free)(struct http_stream *stream);
    bool endless;  /* it ends when the daemon stops         */
    uint64_t size; /* bytes that will come; 0: nobody knows */

    /* http's own */
    struct http_connection *connection;
    bool slept;
    atomic_bool gone; /* its client is */
    atomic_int state;
};

#define HTTP_STREAM_END    (-1L)
#define HTTP_STREAM_BROKEN (-2L)

struct answer {
    unsigned status;
    const char *type; /* static                          */
    struct text text;
    uint8_t *blob; /* owned, or NULL                  */
    size_t n_blob;
    struct http_stream *stream; /* owned, or NULL: the body comes piece by piece */
    const uint8_t *fixed;       /* bytes of the program itself, or NULL */
    size_t n_fixed;
    enum answer_cache cache;
    char etag[32];           /* "\"r17\"" or ""                 */
    char location[64];       /* of what was made, or ""         */
    char allow[64];          /* methods, or ""                  */
    const char *disposition; /* static, or NULL                 */
    const char *challenge;   /* WWW-Authenticate; static, NULL  */
    const char *encoding;    /* Content-Encoding; static, NULL  */
    const char *vary;        /* static, NULL                    */
    unsigned retry_after;    /* seconds; 0: none                */
    size_t n_json;           /* Inference-Header-Content-Length, see payload/oip.h; 0: none     */
    const char *request_id;  /* http's: for the log; see message/request_id.h                   */
    bool oip;                /* problems carry the `error` of that protocol as well     */
    bool page;               /* of the page: a browser is told to let nothing else into it   */
    bool close;              /* close the connection afterwards */
};

/* answer_reset - an empty 200; keeps the text's memory up to ANSWER_SMALL_BYTES. answer_bytes - memory that it holds beyond that.
 * answer_rest - gives that back, once it has been sent. */
void answer_reset(struct answer *answer);
void answer_free(struct answer *answer);
size_t answer_bytes(const struct answer *answer);
void answer_rest(struct answer *answer);

/* answer_revision - ETag: "r<revision>". */
void answer_revision(struct answer *answer, uint64_t revision);

/* answer_json - prints the document as the body, with a line feed at the end, and frees it. Out of memory: a problem. */
void answer_json(struct answer *answer, unsigned status, struct json *document);

/* answer_blob - the body is that block, which the answer then owns. */
void answer_blob(struct answer *answer, const char *type, uint8_t *bytes, size_t n_bytes);

/* answer_text_done - called when `text` has been written: says 503 where memory ran out meanwhile, 422 where it became too large. */
void answer_text_done(struct answer *answer, unsigned status, const char *type);

/* answer_problem - application/problem+json for err, by the table of message/problem.h; answer_problem_row - by that row. */
void answer_problem(struct answer *answer, const struct err *err);
void answer_problem_row(struct answer *answer, const struct problem *problem, const struct err *err);

#endif
