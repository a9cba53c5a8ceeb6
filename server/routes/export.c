/* export.c - GET /samples.tar: the data set elsewhere, one folder per class, as convd train (and others) take it.
 *
 *     7/0000000017.png      label / id: by name, the files of a class come in the order of training; time: when it was learned
 *
 * All samples of the live lineage up to the request, as the network saw them; forgotten ones are not among them. The response is a stream
 * (http/http.h): the trainer's thread reads some rows at a time (COMMAND_READ), a thread of the pool (common/offload.h) turns them into files, and the HTTP
 * thread copies those when the client takes them. So an export delays nobody, and costs a few times CHUNK_BYTES, however large it is. What goes wrong on the way cuts
 * the connection: a client sees that the archive has no end.
 *
 * A client may take hours. Rows that were read before the past was rewritten (trainer_rewrites) are read again: what is forgotten
 * meanwhile is in no later file. The folders are those of the classes that there were when it began, and of later ones: where one of them
 * was removed or renamed, a name could stand for two classes in one archive, and so it is cut.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/image/input_png.h"
#include "server/routes/handlers.h"

#define CHUNK_BYTES ((size_t)256 << 10) /* of images, read at a time */
#define EXPORTS_MAX 4u
#define BLOCK       512u /* of tar */

enum export_state { EXPORT_IDLE, EXPORT_READING, EXPORT_READY, EXPORT_FAILED };

struct export
{
    struct http_stream stream; /* first: it is the export */
    struct routes *routes;
    atomic_uint holders; /* the stream, and the job or the task that is under way */
    atomic_int state;
    struct command command;
    struct offload_task task;
    struct shape shape;
    size_t room;
    /* the job's and the task's while they read, else the stream's */
    int64_t next, last; /* ids; last 0: not known yet; next 0: all read */
    struct store_sample_row *rows;
    uint8_t *pixels;
    size_t n;
    uint64_t rewrites;                  /* of the past, before the rows were read */
    char(*labels)[LABEL_BYTES_MAX + 1]; /* [n_labels]: what the rows' columns mean */
    uint32_t n_labels;
    struct text out; /* the rows as files */
    size_t *ends;    /* [n] where each ends */
    bool drawn;
    /* the stream's */
    size_t at; /* of the rows: the next to be sent */
    bool ended;
    size_t sent, until; /* of out; until: the end of the file that is being sent */
};

static void let_go(struct export *export)
{
    if (atomic_fetch_sub(&export->holders, 1) != 1)
        return;
    atomic_fetch_sub(&export->routes->exports, 1);
    free(export->rows);
    free(export->pixels);
    free(export->labels);
    free(export->ends);
    text_free(&export->out);
    free(export);
}

/* ---- reading: in the trainer's thread ---- */

/* The classes as they are now, where those that there were are among them. */
static int take_labels(struct export *export, const struct learner *learner, struct err *err)
{
    for (uint32_t i = 0; i < export->n_labels; i++)
        if (i >= learner->n_classes || strcmp(export->labels[i], learner->labels[i]) != 0)
            return err_set(err, ERR_CONFLICT, "the class \"%s\" was removed or renamed during an export",
                           export->labels[i]);
    if (export->n_labels == learner->n_classes)
        return 0;
    char(*labels)[LABEL_BYTES_MAX + 1] = realloc(export->labels, learner->n_classes * sizeof *labels);
    if (labels == NULL)
        return err_memory(err, "the names of classes");
    memcpy(labels, learner->labels, learner->n_classes * sizeof *labels);
    export->labels = labels;
    export->n_labels = learner->n_classes;
    return 0;
}

static int read_rows(struct command *command, struct store *store, struct err *err)
{
    struct export *export = command->context;
    struct revision *revision = model_acquire(export->routes->model);
    const int status = take_labels(export, revision->learner, err);
    model_release(export->routes->model, revision);
    if (status != 0)
        return -1;
    export->rewrites = trainer_rewrites(export->routes->trainer);
    if (export->last == 0)
        export->last = store_next_sample_id(store) - 1;
    if (export->last > 0)
        return store_export(store, &export->next, export->last, export->rows, export->pixels, export->shape.n_input,
                            export->room, &export->n, err);
    export->next = 0; /* there are no samples */
    return 0;
}

/* ---- tar: POSIX.1-2001, ustar ---- */

static bool is_folder(const char *label)
{
    return label[0] != '.' && strchr(label, '/') == NULL;
}

static void add_file(struct text *out, const char *label, const struct store_sample_row *row, const uint8_t *png,
                     size_t n_png)
{
    static const char nothing[BLOCK];
    char header[BLOCK] = {0};
    unsigned sum = 0;
    (void)snprintf(header, 100, "%s/%010lld.png", label, (long long)row->id);
    (void)snprintf(header + 100, 8, "%07o", 0644U);
    (void)snprintf(header + 108, 8, "%07o", 0U);
    (void)snprintf(header + 116, 8, "%07o", 0U);
    (void)snprintf(header + 124, 12, "%011zo", n_png);
    (void)snprintf(header + 136, 12, "%011llo",
                   (unsigned long long)(row->created_us > 0 ? row->created_us / 1000000 : 0) & 077777777777U);
    memset(header + 148, ' ', 8); /* the sum's own place counts as blanks */
    header[156] = '0';
    memcpy(header + 257,
           "ustar\0"
           "00",
           8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += (unsigned char)header[i];
    (void)snprintf(header + 148, 8, "%06o", sum);
    text_add(out, header, BLOCK);
    text_add(out, png, n_png);
    text_add(out, nothing, (BLOCK - n_png % BLOCK) % BLOCK);
}

/* The i-th row as a file. -1: it cannot be one. */
static int add_row(struct export *export, size_t i)
{
    const struct store_sample_row *row = &export->rows[i];
    uint8_t *png = NULL;
    size_t n_png = 0;
    struct err err;
    int status = -1;
    if (row->label < export->n_labels && is_folder(export->labels[row->label]) &&
        planes_png(&png, &n_png, export->pixels + i * export->shape.n_input, &export->shape, 1, &err) == 0) {
        add_file(&export->out, export->labels[row->label], row, png, n_png);
        export->ends[i] = export->out.n;
        status = export->out.failed ? -1 : 0;
    }
    free(png);
    return status;
}

static void draw(struct export *export)
{
    size_t i = 0;
    text_clear(&export->out);
    while (i < export->n && !cancelled(&export->task.cancel) && add_row(export, i) == 0)
        i++;
    export->drawn = i == export->n;
}

/* ---- one chunk after the other ---- */

static void chunk_done(struct export *export)
{
    atomic_store(&export->state, export->drawn ? EXPORT_READY : EXPORT_FAILED);
    http_stream_wake(&export->stream);
    let_go(export);
}

static struct export *export_of(struct offload_task *task)
{
    return (struct export *)(void *)((char *)task - offsetof(struct export, task));
}

static void run_task(struct offload_task *task)
{
    draw(export_of(task));
}

static void task_done(struct offload_task *task)
{
    chunk_done(export_of(task));
}

/* In the trainer's thread, which draws by itself where the pool cannot: it is a few milliseconds of work. */
static void rows_read(struct command *command)
{
    struct export *export = command->context;
    struct offload *offload = export->routes->offload;
    struct err err;
    export->drawn = false;
    export->task = (struct offload_task){.run = run_task, .done = task_done, .length = OFFLOAD_SHORT};
    if (command->status == 0 && offload != NULL && offload_submit(offload, &export->task, &err) == 0)
        return;
    if (command->status == 0)
        draw(export);
    chunk_done(export);
}

/* -1: the trainer takes no jobs. */
static int request_rows(struct export *export)
{
    struct err err;
    export->command = (struct command){.kind = COMMAND_READ, .read = read_rows, .done = rows_read, .context = export};
    export->command.goes_on = true;
    export->n = export->at = export->sent = export->until = 0;
    atomic_store(&export->state, EXPORT_READING);
    atomic_fetch_add(&export->holders, 1);
    if (trainer_submit(export->routes->trainer, &export->command, &err) == 0)
        return 0;
    let_go(export);
    return -1;
}

/* ---- the stream ---- */

/* The next file may be sent: 1; 0: it is not there yet; HTTP_STREAM_END, HTTP_STREAM_BROKEN. */
static long next_file(struct export *export)
{
    for (;;) {
        const int state = atomic_load(&export->state);
        if (state == EXPORT_READING)
            return 0;
        if (state == EXPORT_FAILED)
            return HTTP_STREAM_BROKEN;
        if (state == EXPORT_READY && export->at < export->n) {
            if (export->rewrites == trainer_rewrites(export->routes->trainer)) {
                export->until = export->ends[export->at++];
                return 1;
            }
            export->next = export->rows[export->at].id; /* they are read again */
        } else if (state == EXPORT_READY && export->next == 0) {
            break;
        }
        if (request_rows(export) != 0)
            return HTTP_STREAM_BROKEN;
    }
    static const char nothing[2 * BLOCK];
    if (export->ended)
        return HTTP_STREAM_END;
    export->ended = true;
    text_clear(&export->out);
    text_add(&export->out, nothing, sizeof nothing); /* the end of an archive */
    export->sent = 0;
    export->until = export->out.n;
    return export->out.failed ? HTTP_STREAM_BROKEN : 1;
}

static long export_read(struct http_stream *stream, char *bytes, size_t room)
{
    struct export *export = (struct export *)(void *)stream;
    size_t n = 0;
    while (n < room) {
        if (export->sent == export->until) {
            const long next = next_file(export);
            if (next <= 0)
                return n > 0 && next != HTTP_STREAM_BROKEN ? (long)n : next;
        }
        const size_t left = export->until - export->sent, piece = left < room - n ? left : room - n;
        memcpy(bytes + n, export->out.bytes + export->sent, piece);
        export->sent += piece;
        n += piece;
    }
    return (long)n;
}

static void export_free(struct http_stream *stream)
{
    let_go((struct export *)(void *)stream);
}

static struct export *export_create(const struct call *call)
{
    struct export *export = calloc(1, sizeof *export);
    if (export == NULL)
        return NULL;
    struct revision *revision = model_acquire(call->routes->model);
    export->shape = revision->learner->shape;
    model_release(call->routes->model, revision);
    export->room = CHUNK_BYTES / export->shape.n_input > 0 ? CHUNK_BYTES / export->shape.n_input : 1;
    export->room = export->room < 1024 ? export->room : 1024;
    export->rows = calloc(export->room, sizeof *export->rows);
    export->pixels = malloc(export->room * export->shape.n_input);
    export->ends = calloc(export->room, sizeof *export->ends);
    if (export->rows == NULL || export->pixels == NULL || export->ends == NULL) {
        free(export->rows);
        free(export->pixels);
        free(export->ends);
        free(export);
        return NULL;
    }
    export->routes = call->routes;
    export->next = 1;
    export->stream.read = export_read;
    export->stream.free = export_free;
    atomic_init(&export->holders, 1);
    return export;
}

/* The first class that no folder can be named after; NULL: none. The caller frees it. */
static char *unfit_label(const struct call *call)
{
    char *found = NULL;
    struct revision *revision = model_acquire(call->routes->model);
    for (uint32_t i = 0; i < revision->learner->n_classes && found == NULL; i++)
        if (!is_folder(revision->learner->labels[i]))
            found = strdup(revision->learner->labels[i]);
    model_release(call->routes->model, revision);
    return found;
}

void route_samples_tar(const struct call *call)
{
    struct response *response = call->response;
    struct err err;
    char *unfit = unfit_label(call);
    if (unfit != NULL) {
        err_set(&err, ERR_CONFLICT,
                "the class \"%.80s\" cannot be the name of a folder: rename it with PATCH /classes, without a slash or "
                "a leading dot",
                unfit);
        free(unfit);
        response_problem(response, &err);
        return;
    }
    if (atomic_fetch_add(&call->routes->exports, 1) >= EXPORTS_MAX) {
        atomic_fetch_sub(&call->routes->exports, 1);
        err_set(&err, ERR_BUSY, "%u exports are running, the limit: try again when one has ended", EXPORTS_MAX);
        routes_problem(call->routes, response, &err);
        return;
    }
    struct export *export = export_create(call);
    if (export == NULL) {
        atomic_fetch_sub(&call->routes->exports, 1);
        call_no_memory(call, "an export");
        return;
    }
    response->stream = &export->stream;
    response->status = 200;
    response->type = "application/x-tar";
    response->disposition = "attachment; filename=\"samples.tar\"";
}
