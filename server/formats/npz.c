/* npz.c - see formats/npz.h. The zip format is PKWARE's APPNOTE, of which a stored member needs two headers and the end record. */
#include "server/formats/npz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "server/common/json.h"
#include "server/common/text.h"
#include "server/formats/metadata.h"

#define MEMBERS_MAX   4
#define ALIGN         64u
#define NPY_BYTES     128u   /* of a .npy header: magic, version, length and a padded text                */
#define ZIP_FIRST_DAY 0x0021 /* 1 January 1980, in DOS's form                                             */

struct member {
    const char *name; /* with .npy */
    uint8_t header[NPY_BYTES];
    const void *data;
    size_t n_data, offset; /* offset: of its local header in the archive */
    uint32_t crc, padding; /* padding: bytes of an extra field that align the data */
};

struct archive {
    struct text out;
    struct member members[MEMBERS_MAX];
    unsigned n;
};

static void put(struct text *out, uint64_t value, unsigned n_bytes)
{
    uint8_t bytes[8];
    for (unsigned i = 0; i < n_bytes; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    text_add(out, bytes, n_bytes);
}

/* What the local and the central header have in common. */
static void put_common(struct text *out, const struct member *member)
{
    put(out, 20, 2); /* version needed: 2.0  */
    put(out, 0, 2);  /* flags                */
    put(out, 0, 2);  /* method: stored       */
    put(out, 0, 2);  /* time                 */
    put(out, ZIP_FIRST_DAY, 2);
    put(out, member->crc, 4);
    put(out, NPY_BYTES + member->n_data, 4); /* packed   */
    put(out, NPY_BYTES + member->n_data, 4); /* unpacked */
    put(out, strlen(member->name), 2);
}

/* A field of an unknown kind with nothing but zeros in it: what zipalign does, and what readers skip. */
static void put_padding(struct text *out, uint32_t n)
{
    static const uint8_t zeros[ALIGN + 4];
    put(out, 0xd935, 2);
    put(out, n - 4, 2);
    text_add(out, zeros, n - 4);
}

/* descr: numpy's name of the type; shape: "(784, 128)". */
static void describe(struct member *member, const char *descr, const char *shape)
{
    char text[NPY_BYTES];
    int n = snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape);
    static const uint8_t magic[] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, NPY_BYTES - 10, 0};
    memset(member->header, ' ', NPY_BYTES);
    memcpy(member->header, magic, sizeof magic);
    memcpy(member->header + sizeof magic, text, (size_t)n);
    member->header[NPY_BYTES - 1] = '\n';
}

/* data: borrowed until the archive is done. */
static void add(struct archive *archive, const char *name, const char *descr, const char *shape, const void *data,
                size_t n_data)
{
    struct text *out = &archive->out;
    struct member *member = &archive->members[archive->n++];
    *member = (struct member){.name = name, .data = data, .n_data = n_data, .offset = out->n};
    describe(member, descr, shape);
    uLong crc = crc32_z(crc32_z(0, Z_NULL, 0), member->header, NPY_BYTES);
    member->crc = (uint32_t)crc32_z(crc, data, n_data);
    size_t begin = out->n + 30 + strlen(name) + 4;
    member->padding = 4 + (uint32_t)((ALIGN - begin % ALIGN) % ALIGN);

    put(out, 0x04034b50, 4);
    put_common(out, member);
    put(out, member->padding, 2);
    text_add_string(out, name);
    put_padding(out, member->padding);
    text_add(out, member->header, NPY_BYTES);
    text_add(out, data, n_data);
}

static void finish(struct archive *archive)
{
    struct text *out = &archive->out;
    size_t begin = out->n;
    for (unsigned i = 0; i < archive->n; i++) {
        const struct member *member = &archive->members[i];
        put(out, 0x02014b50, 4);
        put(out, 20, 2); /* made by: DOS, 2.0: no permissions are meant */
        put_common(out, member);
        put(out, 0, 2); /* extra field  */
        put(out, 0, 2); /* comment      */
        put(out, 0, 2); /* disk         */
        put(out, 0, 2); /* attributes   */
        put(out, 0, 4);
        put(out, member->offset, 4);
        text_add_string(out, member->name);
    }
    size_t n_bytes = out->n - begin;
    put(out, 0x06054b50, 4);
    put(out, 0, 4); /* disks */
    put(out, archive->n, 2);
    put(out, archive->n, 2);
    put(out, n_bytes, 4);
    put(out, begin, 4);
    put(out, 0, 2); /* comment */
}

static void add_parameters(struct archive *archive, const struct learner *learner, const float *parameters)
{
    const struct shape *s = &learner->shape;
    char shape[64];
    const float *at = parameters;
    size_t n = (size_t)s->kernels * s->n_k;
    if (n > 0) {
        (void)snprintf(shape, sizeof shape, "(%u, %u, %u, %u)", s->kernels, s->channels, s->kernel_height,
                       s->kernel_width);
        add(archive, "kernels.npy", "<f4", shape, at, n * sizeof *at);
    }
    at += n;
    n = (size_t)s->n_0 * s->n_1;
    (void)snprintf(shape, sizeof shape, "(%u, %u)", s->n_0, s->n_1);
    add(archive, "w01.npy", "<f4", shape, at, n * sizeof *at);
    at += n;
    n = (size_t)s->n_1 * learner->n_classes;
    (void)snprintf(shape, sizeof shape, "(%u, %u)", s->n_1, learner->n_classes);
    add(archive, "w12.npy", "<f4", shape, at, n * sizeof *at);
}

int npz_encode(uint8_t **bytes, size_t *n_bytes, const struct learner *learner, struct err *err)
{
    const struct shape *s = &learner->shape;
    /* shape_check() has bounded the parameters by 2^28: nothing here can overflow. */
    size_t n_k = (size_t)s->kernels * s->n_k, n_01 = (size_t)s->n_0 * s->n_1;
    size_t n = n_k + n_01 + (size_t)s->n_1 * learner->n_classes;
    struct archive archive = {0};
    struct text metadata = {0};
    struct json_writer json = json_write_begin(&metadata);
    const bool whole = metadata_write(&json, learner);
    json_write_end(&json);
    float *parameters = malloc(n * sizeof *parameters);
    char *file = NULL;
    if (whole && !metadata.failed && parameters != NULL &&
        text_reserve(&archive.out, n * sizeof *parameters + metadata.n + 4096)) {
        char descr[24];
        net_export(&learner->net, parameters, parameters + n_k, parameters + n_k + n_01);
        floats_to_little_endian(parameters, n);
        add_parameters(&archive, learner, parameters);
        (void)snprintf(descr, sizeof descr, "|S%zu", metadata.n);
        add(&archive, "metadata.npy", descr, "()", metadata.bytes, metadata.n);
        finish(&archive);
        *n_bytes = archive.out.n;
        file = text_take(&archive.out);
    }
    free(parameters);
    text_free(&metadata);
    text_free(&archive.out);
    if (file == NULL)
        return err_memory(err, "an npz file");
    *bytes = (uint8_t *)file;
    return 0;
}
