/* labels.h - the labels that a request names, each once and as text. Which classes they are is looked up in the trainer's thread, when the
 * command's turn has come: there the class table is the truth, and a class that was added, renamed or removed before is so already.
 */
#ifndef CONVD_SERVER_PAYLOAD_LABELS_H
#define CONVD_SERVER_PAYLOAD_LABELS_H

#include <stddef.h>
#include <stdint.h>

#include "core/core.h"

/* Where in a request a label is, for who is told that there is something wrong with it. */
enum label_place {
    LABEL_BODY,       /* "label" of the one object that the body is */
    LABEL_SAMPLE,     /* of "samples"                               */
    LABEL_LINE,       /* of NDJSON                                  */
    LABEL_PART,       /* a form's field                             */
    LABEL_QUERY,      /* ?label                                     */
    LABEL_QUERY_LIST, /* ?labels                                    */
};

struct label {
    char text[LABEL_BYTES_MAX + 1]; /* as label_take() gives it                      */
    uint32_t first;                 /* which sample, line, .. named it first         */
    uint32_t column;                /* of its class in the model: labels_find()      */
};

/* {0} is an empty list. */
struct labels {
    struct label *list; /* [n], in the order in which they were named first; owned */
    uint32_t n, room;
    enum label_place place; /* of all of them */
    uint32_t at;            /* which sample, line, .. is being read: for `first` */
};

void labels_fini(struct labels *labels);

/* labels_add - *which: its place in the list. Errors: ERR_LABEL_INVALID, ERR_LIMIT (more than a model may have classes), ERR_MEMORY. */
int labels_add(struct labels *labels, uint32_t *which, const char *text, size_t n_text, struct err *err);

/* labels_find - fills in the columns. Errors: ERR_LABEL_UNKNOWN of the first that is of no class, and where it was named. */
int labels_find(struct labels *labels, const struct learner *learner, struct err *err);

/* label_find - the column of the class with that label, as label_take() gives it. Errors: ERR_LABEL_UNKNOWN (says which there are). */
int label_find(uint32_t *column, const char *label, const struct learner *learner, struct err *err);

/* label_any - whether there is a class that could be predicted. Errors: ERR_CONFLICT (says how there is one). */
int label_any(const struct learner *learner, struct err *err);

/* label_place - the i-th sample, line, .. has that error. */
int label_place(struct err *err, enum label_place place, uint32_t i);

#endif
