/* batch.h - images of the network's input, as a request brings them one by one: the container that the readers of bodies fill (payload/body.h,
 * payload/oip.h), by the rules of the request. */
#ifndef CONVD_SERVER_PAYLOAD_BATCH_H
#define CONVD_SERVER_PAYLOAD_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/core.h"
#include "server/image/image.h"
#include "server/payload/labels.h"

/* A thousand PNGs of one pixel are a small body; fitted to a large input they are not. Decoded images of one request
 * take at most this much (or are one): ERR_TOO_LARGE. */
#define BODY_INPUT_BYTES_MAX ((size_t)64 << 20)

/* Where limits->light is set, a body that is not raw is read only as far as an HTTP thread has time for it: of at most so many bytes (a
 * tree of JSON: fewer, since a byte of it takes longer), pictures of at most IMAGE_LIGHT_PIXELS, and so many images. For more, limits->heavy
 * is set and an error returned. limits->cancel is asked at each image and line. */
#define BODY_LIGHT_BYTES  65536u
#define BODY_LIGHT_TREE   4096u
#define BODY_LIGHT_IMAGES 32u

#define BODY_FILE_BYTES 128u /* of a file's name that are kept, with the terminating zero */

struct body_rules {
    const struct learner *learner; /* shape and settings                   */
    bool labelled;                 /* /train: every image needs its label  */
    bool flat;                     /* and may be flat (image_is_flat())     */
    struct image_limits *limits;   /* of its pictures; and see below       */
    uint32_t images_max;           /* more in one body: ERR_TOO_LARGE      */
    bool digests;                  /* batch.pictures is wanted              */
};

/* A picture as it came, before it was fitted: what fit and invert were then, another time they may not be. */
struct batch_picture {
    uint32_t image;     /* its place in the batch    */
    uint8_t digest[32]; /* SHA-256 of the picture's file */
};

struct batch {
    uint32_t n;
    bool many;             /* the body's form holds several, even when it is one that was sent          */
    const uint8_t *pixels; /* [n][n_input]: `owned`, or into the source's bytes (raw bodies are not copied) */
    uint8_t *owned;
    uint32_t *labels;               /* [n] when labelled: which of `names`; owned                        */
    struct labels names;            /* what labels they are; owned                                       */
    char (*files)[BODY_FILE_BYTES]; /* [n] names of a form's files; owned; NULL for other bodies         */
    size_t room;                    /* images that owned, labels and files have room for                 */
    struct batch_picture *pictures; /* [n_pictures], raw images not among them, where rules.digests; owned */
    size_t n_pictures, pictures_room;
};

/* batch_fini - accepts a zeroed struct. */
void batch_fini(struct batch *batch);

/* batch_add - room for one more image; its pixels are for the caller to fill. NULL: ERR_TOO_LARGE, ERR_MEMORY, it is cancelled or too heavy. */
uint8_t *batch_add(struct batch *batch, const struct body_rules *rules, struct err *err);

/* batch_too_many - ERR_TOO_LARGE, which says how many there may be. */
int batch_too_many(const struct body_rules *rules, struct err *err);

/* body_tree - whether a tree may be made of so much JSON here. -1: it is too heavy. */
int body_tree(size_t n_bytes, const struct body_rules *rules, struct err *err);

/* body_image - one picture or one raw image of exactly n_input bytes into the image that was added last. */
int body_image(struct batch *batch, const uint8_t *bytes, size_t n_bytes, const struct body_rules *rules,
               struct err *err);

/* body_check_flat - ERR_FLAT where an image to learn from is flat and may not be. */
int body_check_flat(const uint8_t *input, const struct body_rules *rules, struct err *err);

/* body_base64 - likewise, out of base64 or base64url, padded or not. Errors: ERR_SYNTAX, ERR_MEMORY, those of body_image(). */
int body_base64(struct batch *batch, const char *text, const struct body_rules *rules, struct err *err);

#endif
