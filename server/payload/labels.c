/* labels.c - see payload/labels.h */
#include "server/payload/labels.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/label_take.h"

void labels_fini(struct labels *labels)
{
    free(labels->list);
    *labels = (struct labels){0};
}

static bool is_listed(const struct labels *labels, uint32_t *which, const char *text, size_t n_text)
{
    for (uint32_t i = 0; i < labels->n && n_text <= LABEL_BYTES_MAX; i++)
        if (memcmp(labels->list[i].text, text, n_text) == 0 && strlen(labels->list[i].text) == n_text) {
            *which = i;
            return true;
        }
    return false;
}

static int make_room(struct labels *labels, struct err *err)
{
    const uint32_t room = labels->room == 0 ? 1 : 2 * labels->room;
    if (labels->n < labels->room)
        return 0;
    if (labels->n == SHAPE_CLASSES_MAX)
        return err_set(err, ERR_LIMIT, "the request has more than %u different labels, the limit of a model's classes",
                       SHAPE_CLASSES_MAX);
    struct label *list = realloc(labels->list, room * sizeof *list);
    if (list == NULL)
        return err_memory(err, "%u labels", room);
    labels->list = list;
    labels->room = room;
    return 0;
}

int labels_add(struct labels *labels, uint32_t *which, const char *text, size_t n_text, struct err *err)
{
    struct label label = {.first = labels->at};
    if (is_listed(labels, which, text, n_text))
        return 0;
    if (label_take(label.text, text, n_text, err) != 0)
        return -1;
    if (is_listed(labels, which, label.text, strlen(label.text)))
        return 0;
    if (make_room(labels, err) != 0)
        return -1;
    *which = labels->n;
    labels->list[labels->n++] = label;
    return 0;
}

/* "0, 1, 2, ... (26 classes)", as many as fit. */
static void list_classes(char *text, size_t size, const struct learner *learner)
{
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < learner->n_classes; i++) {
        size_t n = strlen(learner->labels[i]);
        if (used + n + 24 > size) {
            (void)snprintf(text + used, size - used, ", ... (%u classes)", learner->n_classes);
            return;
        }
        used += (size_t)snprintf(text + used, size - used, "%s%s", i == 0 ? "" : ", ", learner->labels[i]);
    }
}

int label_find(uint32_t *column, const char *label, const struct learner *learner, struct err *err)
{
    const int found = learner_class(learner, label, strlen(label));
    if (found >= 0) {
        *column = (uint32_t)found;
        return 0;
    }
    char classes[120];
    list_classes(classes, sizeof classes, learner);
    if (learner->n_classes == 0)
        return err_set(
            err, ERR_LABEL_UNKNOWN,
            "unknown label \"%s\": the model has no class yet; add it with POST /classes {\"label\": \"...\"}", label);
    return err_set(err, ERR_LABEL_UNKNOWN,
                   "unknown label \"%s\": the model's classes are %s; add one with POST /classes {\"label\": \"...\"}",
                   label, classes);
}

int label_any(const struct learner *learner, struct err *err)
{
    return learner->n_classes > 0
               ? 0
               : err_set(err, ERR_CONFLICT,
                         "the model has no class yet, so there is nothing to predict: add two with POST /classes "
                         "{\"label\": \"...\"}, and teach them with POST /train?label=...");
}

int label_place(struct err *err, enum label_place place, uint32_t i)
{
    switch (place) {
    case LABEL_BODY:
        return -1;
    case LABEL_SAMPLE:
        err_wrap(err, "sample %u", i);
        return err_under(err, "/samples/%u", i);
    case LABEL_LINE:
        err_wrap(err, "line %u", i);
        return err_under(err, "/lines/%u", i);
    case LABEL_PART:
        err_wrap(err, "part %u of the form (a field's name is the label: -F 7=@a.png)", i);
        return err_under(err, "/images/%u", i);
    case LABEL_QUERY:
        return err_wrap(err, "?label");
    case LABEL_QUERY_LIST:
        err_wrap(err, "label %u of ?labels", i);
        return err_under(err, "/images/%u", i);
    }
    return -1;
}

int labels_find(struct labels *labels, const struct learner *learner, struct err *err)
{
    const bool member = labels->place <= LABEL_LINE;
    for (uint32_t i = 0; i < labels->n; i++) {
        struct label *label = &labels->list[i];
        if (label->column < learner->n_classes && strcmp(learner->labels[label->column], label->text) == 0)
            continue; /* as it was for the command before, which had the same list */
        if (label_find(&label->column, label->text, learner, err) == 0)
            continue;
        if (member)
            err_at(err, "/label");
        return label_place(err, labels->place, label->first);
    }
    return 0;
}
