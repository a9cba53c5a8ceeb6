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
#include "server/common/json_write.h"
#include "server/common/text.h"
#include "server/message/problem.h"

#define RESPONSE_TEXT_MAX    ((size_t)32 << 20) /* of one response's text: more is refused, and what would work is said */
#define RESPONSE_SMALL_BYTES 16384u             /* of text that a connection keeps, and that nobody counts       */

#define RESPONSE_JSON    "application/json; charset=utf-8"
#define RESPONSE_PROBLEM "application/problem+json; charset=utf-8"
#define RESPONSE_TEXT    "text/plain; charset=utf-8"

/* What caches may do: predictions and problems are never stored; what has an ETag may be, and is revalidated. */
enum response_cache { CACHE_NO_STORE, CACHE_REVALIDATE };

/* A body that comes piece by piece: response.stream. Its connection sleeps while there is nothing, and costs memory only. The deadline of
 * a request is one for each piece: a client that does not take a piece within it is cut. So is one that takes less than 16 KB a second on
 * the whole, unless the stream is endless: there are few places for such responses, and others wait for one. */
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

struct response {
    unsigned status;
    const char *type; /* static                          */
    struct text text;
    uint8_t *blob; /* owned, or NULL                  */
    size_t n_blob;
    struct http_stream *stream; /* owned, or NULL: the body comes piece by piece */
    const uint8_t *fixed;       /* bytes of the program itself, or NULL */
    size_t n_fixed;
    enum response_cache cache;
    char etag[32];           /* "\"r17\"" or ""                 */
    char location[64];       /* path of what was made, or ""    */
    char allow[64];          /* methods, or ""                  */
    const char *disposition; /* static, or NULL                 */
    const char *challenge;   /* WWW-Authenticate; static, NULL  */
    const char *encoding;    /* Content-Encoding; static, NULL  */
    const char *codings;     /* Accept-Encoding: of a request's body; static, NULL              */
    const char *vary;        /* static, NULL                    */
    unsigned retry_after;    /* seconds; 0: none                */
    size_t n_json;           /* Inference-Header-Content-Length, see payload/oip.h; 0: none     */
    const char *request_id;  /* http's: for the log; see message/request_id.h                   */
    bool oip;                /* problems carry the `error` of that protocol as well     */
    bool page;               /* of the page: a browser is told to let nothing else into it   */
    bool close;              /* close the connection afterwards */
};

/* response_reset - an empty 200; keeps the text's memory up to RESPONSE_SMALL_BYTES. response_bytes - memory that it holds beyond that.
 * response_rest - gives that back, once it has been sent. */
void response_reset(struct response *response);
void response_free(struct response *response);
size_t response_bytes(const struct response *response);
void response_rest(struct response *response);

/* response_revision - ETag: "r<revision>". */
void response_revision(struct response *response, uint64_t revision);

/* response_begin - the body is a JSON object, to which the caller adds members; response_json - ends it, with a line feed. Out of memory, or
 * too large: a problem. */
struct json_writer response_begin(struct response *response);
void response_json(struct response *response, unsigned status, struct json_writer *json);

/* response_blob - the body is that block, which the response then owns. */
void response_blob(struct response *response, const char *type, uint8_t *bytes, size_t n_bytes);

/* response_text_done - called when `text` has been written: says 503 where memory ran out meanwhile, 422 where it became too large. */
void response_text_done(struct response *response, unsigned status, const char *type);

/* response_problem - application/problem+json for err, by the table of message/problem.h; response_error - for such an error;
 * response_problem_row - by that row. */
void response_problem(struct response *response, const struct err *err);
void response_error(struct response *response, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void response_problem_row(struct response *response, const struct problem *problem, const struct err *err);

#endif
