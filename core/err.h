/* err.h - how every function of convd says what went wrong.
 *
 * A function that can fail returns 0 or -1 (or a pointer or NULL) and takes a
 * `struct err *` as its last parameter. The caller owns the struct; nothing in
 * it is allocated, so it never needs to be released. There is one code space
 * for the whole program; server/message/problem.c holds the one table from code to
 * HTTP status and problem type, server/cli/cli.c the one from code to exit status.
 *
 * The text is one line for a person, without a trailing full stop, and says
 * what was wrong and what would work. Causes are appended by err_wrap(), the
 * innermost last: "cannot open m.db: file is not a database".
 */
#ifndef CONVD_CORE_ERR_H
#define CONVD_CORE_ERR_H

#include <stddef.h>
#include <stdint.h>

#include "core/machine.h" /* here, since everything includes this */

enum err_code {
    ERR_NONE = 0,
    /* what a client sent */
    ERR_SYNTAX,        /* malformed: JSON, multipart, query, header      */
    ERR_EMPTY,         /* nothing in the body                            */
    ERR_VALUE,         /* well formed, but the value is out of range     */
    ERR_INPUT_SIZE,    /* raw body or pixel list of the wrong length     */
    ERR_MEDIA_TYPE,    /* not an image that convd reads                  */
    ERR_IMAGE,         /* truncated or corrupt PNG or JPEG               */
    ERR_IMAGE_LIMIT,   /* more pixels, chunks or scans than allowed      */
    ERR_FLAT,          /* a training image whose pixels are all equal    */
    ERR_LABEL_MISSING, /* a training image without a label               */
    ERR_LABEL_UNKNOWN, /* no class has that label                        */
    ERR_LABEL_INVALID, /* too long, empty, not UTF-8, cannot be seen    */
    ERR_TOO_LARGE,     /* body over the limit                            */
    ERR_NOT_FOUND,     /* no such route, snapshot, class, sample         */
    ERR_GONE,          /* a sample that was forgotten                    */
    ERR_METHOD,        /* the route exists, the method does not          */
    ERR_CONFLICT,      /* the state forbids it: class exists, key busy   */
    ERR_KEY_REUSED,    /* Idempotency-Key seen with another request      */
    ERR_UNAUTHORIZED,  /* no token, or one that is not known             */
    ERR_FORBIDDEN,     /* foreign origin or host, lesser token           */
    ERR_LIMIT,         /* a stated limit of the model: classes, sizes    */
    ERR_TIMEOUT,       /* the client was too slow                        */
    /* what the world did */
    ERR_BUSY,         /* queue full: try again later                    */
    ERR_STOPPING,     /* the daemon is draining                         */
    ERR_MEMORY,       /* allocation failed                              */
    ERR_STORAGE_FULL, /* no room on the disk                            */
    ERR_STORAGE,      /* I/O error of the database: training stops      */
    ERR_DB_MISSING,   /* the database file is not there                 */
    ERR_DB_FOREIGN,   /* not SQLite, or not a convd database            */
    ERR_DB_NEWER,     /* made by a newer convd                          */
    ERR_DB_LOCKED,    /* another process owns it                        */
    ERR_DB_READONLY,  /* cannot be written                              */
    ERR_DB_CORRUPT,   /* log chain, digest or page damaged              */
    ERR_DB_LOST,      /* its path names another file by now, or none    */
    ERR_LOG,          /* the log that several machines share: out of reach */
    ERR_DIVERGED,     /* another state than other machines have there   */
    ERR_FILE,         /* any other file: open, read, write, format      */
    ERR_NETWORK,      /* listen, connect                                */
    ERR_USAGE,        /* the command line                               */
    ERR_INTERNAL,     /* a promise of our own was broken                */
    ERR_N
};

#define ERR_TEXT_BYTES    320
#define ERR_POINTER_BYTES 96

struct err {
    enum err_code code;
    int detail;                      /* errno or SQLite extended code, 0 if none       */
    char pointer[ERR_POINTER_BYTES]; /* JSON Pointer (RFC 6901) to the member, or ""   */
    char text[ERR_TEXT_BYTES];       /* one line, cut at the end if it would not fit   */
};

/* err_set - fills *err (which may be NULL: then nothing is stored).
 * Clears `pointer` and `detail`. Always returns -1, so that
 * `return err_set(err, ...)` reads well. */
int err_set(struct err *err, enum err_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* one_line - each control character of the text becomes a question mark, in place: what a message quotes came from elsewhere, and must
 * neither begin a new line, nor command a terminal, nor be read in another order than it has. err_set() and err_wrap() do it.
 * control_bytes - how many bytes the first character of the text has if it is one, else 0: U+0000..1F, U+007F..9F (as a lone byte, too),
 * and what turns text or breaks lines, U+061C, U+200E, U+200F, U+2028..202E, U+2066..2069. */
void one_line(char *text);
size_t control_bytes(uint32_t *code, const char *text);

/* err_memory - ERR_MEMORY, "no memory for <format>": err_memory(err, "%zu samples", n). Returns -1. */
int err_memory(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* err_wrap - puts "<format>: " before the text that is there; code, detail and pointer stay. Returns -1. */
int err_wrap(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* err_at - sets the JSON Pointer to the offending member, e.g. err_at(err, "/samples/%zu/label", i). Returns -1. */
int err_at(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* err_under - puts "<format>" before the pointer that is there: err_under(err, "/images/%zu", i)
 * turns "/pixels/3" into "/images/7/pixels/3". Returns -1. */
int err_under(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* err_code_name - "label-unknown" for ERR_LABEL_UNKNOWN; never NULL. Used in problem types and logs. */
const char *err_code_name(enum err_code code);

#endif
