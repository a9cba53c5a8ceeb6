/* batch.c - see cli/batch.h */
#include "server/cli/batch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/cli/io.h"
#include "server/image/image.h"

#define BLOCK_BYTES_MAX ((uint32_t)64 << 20)

int cli_batch_init(struct cli_batch *batch, const struct shape *shape, uint32_t wanted, uint64_t limit, struct err *err)
{
    assert(shape->n_input > 0 && wanted > 0);
    uint32_t room = BLOCK_BYTES_MAX / shape->n_input; /* at least 4: SHAPE_INPUT_MAX is 16 MiB */
    *batch = (struct cli_batch){
        .capacity = wanted < room ? wanted : room,
        .n_input = shape->n_input,
        .limit = limit == 0 ? UINT64_MAX : limit,
    };
    batch->samples = calloc(batch->capacity, sizeof *batch->samples);
    batch->pixels = malloc((size_t)batch->capacity * batch->n_input);
    if (batch->samples != NULL && batch->pixels != NULL)
        return 0;
    cli_batch_fini(batch);
    return err_memory(err, "%u images of %u bytes", wanted, shape->n_input);
}

void cli_batch_fini(struct cli_batch *batch)
{
    free(batch->samples);
    free(batch->pixels);
    *batch = (struct cli_batch){0};
}

int cli_batch_fill(struct cli_batch *batch, struct dataset *dataset, const struct shape *shape,
                   const struct settings *settings, const struct cli_labels *labels, struct err *err)
{
    batch->n = 0;
    while (batch->n < batch->capacity && batch->taken < batch->limit) {
        const char *label = NULL;
        uint8_t *pixels = batch->pixels + (size_t)batch->n * batch->n_input;
        int more = dataset_next(dataset, shape, settings, pixels, &label, err);
        if (more < 0)
            return -1;
        if (more == 0)
            break;
        if (batch->no_flat && image_is_flat(pixels, shape)) {
            batch->flat++;
            continue;
        }
        int index = cli_labels_find(labels, label);
        if (index < 0)
            return err_set(err, ERR_LABEL_UNKNOWN, "unknown label \"%.64s\"", label);
        batch->samples[batch->n++] = (struct sample){.label = (uint32_t)index, .pixels = pixels};
        batch->taken++;
    }
    return 0;
}

uint64_t cli_batch_total(const struct cli_batch *batch, const struct dataset *dataset)
{
    uint64_t length = dataset_length(dataset);
    return length < batch->limit ? length : batch->limit;
}

int cli_dataset_open(struct dataset **out, const struct cli_args *args, struct err *err)
{
    if (args->n_operands > 1 && cli_on(args, "strict"))
        return err_set(err, ERR_USAGE, "--strict is for a folder: IDX files are checked when they are opened");
    if (dataset_open(out, args->operands, args->n_operands, cli_count(args, "image-pixels"), err) != 0)
        return -1;
    if (dataset_length(*out) > 0)
        return 0;
    dataset_close(*out);
    *out = NULL;
    return err_set(err, ERR_FILE, "there is no image in %.200s", args->operands[0]);
}

void cli_skipped_add(struct json_writer *json, const struct dataset_skipped *skipped)
{
    if (skipped == NULL)
        return;
    json_write_u64(json, "skipped", skipped->files);
    json_write_u64(json, "hidden", skipped->hidden);
}

void cli_skipped_print(const struct dataset_skipped *skipped)
{
    if (skipped == NULL || skipped->files == 0)
        return;
    const uint64_t n_named = skipped->files < DATASET_SKIPPED_NAMED ? skipped->files : DATASET_SKIPPED_NAMED;
    cli_say(stderr, "convd: %llu file%s skipped (and %llu hidden); --strict fails at the first:\n",
            (unsigned long long)skipped->files, skipped->files == 1 ? " was" : "s were",
            (unsigned long long)skipped->hidden);
    for (uint64_t i = 0; i < n_named; i++)
        cli_say(stderr, "convd:   %s\n", skipped->first[i]);
    if (skipped->files > n_named)
        cli_say(stderr, "convd:   and %llu more\n", (unsigned long long)(skipped->files - n_named));
}
