/* meanings.c - what the numbers of classes stood for, all along the log: whether an edit may bring a class along to a place where it did
 * not exist yet.
 *
 * It comes as what it was added with later, so that has to have one meaning from there on, on every line, and no other class may have
 * its name, there or later. For a class c, whose last add event gives it the label L, that is true of the revisions low .. high - 1:
 *
 *     high = of that event
 *     low  = the last of: an add event that gives c another label; an event that gives L to another class; the event of the lineage by
 *            which the last class that had the name L on the lineage loses it (none: never)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

struct class_event {
    uint64_t revision;
    uint32_t index;
    uint32_t name;      /* its label, by number: equal numbers are equal labels */
    uint32_t n_classes; /* that this and earlier events have added on the line, or named */
    bool add, on_line;
    char label[LABEL_BYTES_MAX + 1];
};

struct meanings {
    struct class_event *list; /* by revision; first those of the create event, then every class event of the log */
    size_t n, room;
    struct meaning {
        bool known;
        uint64_t low, high;
    } spans[SHAPE_CLASSES_MAX];
};

static int add(struct meanings *m, const struct class_event *event, struct err *err)
{
    if (grow(&m->list, &m->room, m->n, sizeof *m->list, "classes", err) != 0)
        return -1;
    const uint32_t before = m->n > 0 ? m->list[m->n - 1].n_classes : 0;
    m->list[m->n] = *event;
    m->list[m->n++].n_classes = event->on_line && event->index >= before ? event->index + 1 : before;
    return 0;
}

static int by_label(const void *a, const void *b)
{
    const struct class_event *const *x = a, *const *y = b;
    return strcmp((*x)->label, (*y)->label);
}

static int number_names(struct meanings *m, struct err *err)
{
    struct class_event **order = malloc((m->n + 1) * sizeof(struct class_event *));
    if (order == NULL)
        return err_memory(err, "%zu classes", m->n);
    for (size_t i = 0; i < m->n; i++)
        order[i] = &m->list[i];
    qsort(order, m->n, sizeof *order, by_label);
    for (size_t i = 0; i < m->n; i++)
        order[i]->name = i == 0                                              ? 0
                         : strcmp(order[i]->label, order[i - 1]->label) == 0 ? order[i - 1]->name
                                                                             : order[i - 1]->name + 1;
    free(order);
    return 0;
}

static int read_events(struct meanings *m, struct store *store, const struct lineage *lineage, struct err *err)
{
    struct event event;
    struct err why;
    int status;
    rare_events(store, EVENT_CLASS, 1, UINT64_MAX);
    while ((status = rare_event_next(store, &event, &why, err)) == 1) {
        struct class_event row = {.revision = event.revision, .index = event.as.class_.index};
        if (why.code != ERR_NONE || row.index >= SHAPE_CLASSES_MAX)
            continue;
        row.add = event.as.class_.action == CLASS_ADD;
        row.on_line = lineage_has(lineage, event.revision);
        memcpy(row.label, event.as.class_.label, sizeof row.label);
        if (add(m, &row, err) != 0) {
            rare_events_end(store);
            return -1;
        }
    }
    return status;
}

int meanings_open(struct meanings **out, struct store *store, const struct lineage *lineage, struct err *err)
{
    const struct event *create = &store->origin.event;
    struct meanings *m = *out = calloc(1, sizeof *m);
    if (m == NULL)
        return err_memory(err, "the classes");
    int status = 0;
    for (uint32_t i = 0; status == 0 && i < create->as.create.n_classes; i++) {
        struct class_event event = {.revision = 1, .index = i, .on_line = true};
        memcpy(event.label, create->as.create.labels[i], sizeof event.label);
        status = add(m, &event, err);
    }
    if (status == 0)
        status = read_events(m, store, lineage, err);
    return status == 0 ? number_names(m, err) : -1;
}

void meanings_close(struct meanings *m)
{
    if (m != NULL)
        free(m->list);
    free(m);
}

static const struct class_event *last_add(const struct meanings *m, uint32_t id)
{
    for (size_t i = m->n; i-- > 0;)
        if (m->list[i].add && m->list[i].index == id)
            return &m->list[i];
    return NULL;
}

/* Looks a class up. */
static void look(struct meanings *m, const struct store *store, uint32_t id)
{
    bool holds[SHAPE_CLASSES_MAX] = {false}; /* has its name on the lineage, so far */
    struct meaning *span = &m->spans[id];
    const struct class_event *last = last_add(m, id);
    span->known = true;
    if (last == NULL)
        return; /* no event adds it: low = high = 0 */
    span->high = last->revision;
    for (size_t i = 0; i < m->n; i++) {
        const struct class_event *event = &m->list[i];
        const bool named = event->name == last->name, other = event->index != id;
        if (event->revision > 1 && (other ? named : event->add && !named))
            span->low = event->revision;
        if (!other || !event->on_line || class_is_removed(store, event->index))
            continue;
        if (holds[event->index] && !named)
            span->low = event->revision > span->low ? event->revision : span->low;
        holds[event->index] = named;
    }
    for (uint32_t i = 0; i < SHAPE_CLASSES_MAX; i++)
        if (holds[i])
            span->low = UINT64_MAX;
}

/* How many classes events up to there have added on the lineage, or named. */
static uint32_t count_then(const struct meanings *m, uint64_t revision)
{
    size_t low = 0, high = m->n; /* of the first that is later */
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (m->list[middle].revision <= revision)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 ? m->list[low - 1].n_classes : 0;
}

int meanings_check(struct meanings *m, const struct store *store, const struct edit *edit, struct err *err)
{
    for (uint32_t id = count_then(m, edit->revision); id <= edit->label; id++) {
        if (class_is_removed(store, id))
            continue;
        if (!m->spans[id].known)
            look(m, store, id);
        if (edit->revision >= m->spans[id].low && edit->revision < m->spans[id].high)
            continue;
        const struct class_event *last = last_add(m, id);
        return err_set(err, ERR_CONFLICT,
                       "sample %lld was learned before class \"%s\" existed, and the class cannot be added there: its "
                       "index or its name had another meaning",
                       (long long)edit->id, last != NULL ? last->label : "");
    }
    return 0;
}
