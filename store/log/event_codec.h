/* event_codec.h - events as the JSON bodies of the log, and back: docs/file-format.md has them. Needs no database.
 *
 * A body has one form: the members in their order, no blanks, each number and text as it is written here. It is read in that form
 * alone, so that event_encode() of what event_decode() gives is the same bytes again. Whole numbers are below 2^53, which every reader
 * of JSON holds; a float32 is the decimal of the fewest digits, at most 9, that rounds to it.
 */
#ifndef CONVD_STORE_LOG_EVENT_CODEC_H
#define CONVD_STORE_LOG_EVENT_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"
#include "core/event.h"
#include "core/learner/learner.h"
#include "core/net.h"

/* What the body of a train event says about its samples. */
struct sample_run {
    int64_t first;
    uint32_t n;
};

/* The create event as it was read, with memory of its own. */
struct origin {
    struct event event; /* k, w01, w12 are NULL, also where they were given                     */
    bool given;         /* the first weights are in the pinned snapshot of revision 1           */
    uint8_t digest[DIGEST_BYTES];
    char arithmetic[ARITHMETIC_BYTES]; /* that it was made by */
    char (*labels)[LABEL_BYTES_MAX + 1];
};

/* event_encode - the body, malloc'ed; class indices are written as they are. digest: of the state after a create event, else unused.
 * Errors: ERR_MEMORY, ERR_INTERNAL (a value that event_decode() would refuse). */
int event_encode(char **body, const struct event *event, const uint8_t digest[DIGEST_BYTES], struct err *err);

/* event_decode - fills event->as from the body of a row whose kind is set (not create). A train event gets n, and *run; for others
 * run may be NULL. Allocates nothing. Errors: ERR_DB_CORRUPT alone. */
int event_decode(struct event *event, struct sample_run *run, const char *body, size_t n_body, struct err *err);

/* origin_decode - the body of a create event. Owns: the caller; origin_fini(), also after failure. Errors: ERR_DB_CORRUPT, ERR_MEMORY. */
int origin_decode(struct origin *origin, const char *body, size_t n_body, struct err *err);
void origin_fini(struct origin *origin);

/* event_kind_parse - 0 for a word that is none. */
enum event_kind event_kind_parse(const char *word);

#endif
