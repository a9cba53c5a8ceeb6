/* body.h - from a request's body to images of the network's input, whatever way they were sent.
 *
 * What the body is, first rule that holds:
 *
 *   1  nothing                                                      ERR_EMPTY
 *   2  a PNG or JPEG, by its bytes                                  a picture, whatever the type says
 *   3  Content-Type multipart/form-data                             one image a part
 *   4  application/x-ndjson, application/ndjson, application/jsonl  one JSON object a line
 *   5  application/json, or text/json                               one JSON object
 *   6  image/...                                                    one raw image of n_input bytes, by rule 7; else ERR_MEDIA_TYPE
 *   7  k * n_input bytes that are surely no file (image/file_kind.h)      k raw images
 *   8  application/octet-stream                                     ERR_INPUT_SIZE; ERR_MEDIA_TYPE where it surely is a file
 *   9  anything else, or no type                                    JSON, by its bytes; else ERR_MEDIA_TYPE
 *
 * Rules 2 and 9 are what makes `curl --data-binary @7.png URL` work: curl calls that application/x-www-form-urlencoded. Rule 7 never takes the
 * bytes of a GIF, a PDF or an HTML page for pixels: what surely is a file is refused by name, with what to convert it with, in each kind of
 * body. What is pixels for certain says image/file_kind.h.
 * A raw image is n_input = channels * height * width bytes, plane by plane, row by row, as they are: neither fit nor
 * invert touches it. Pictures are decoded, fitted and inverted as image/image.h says, by the model's settings.
 *
 * A part of a form is a picture, or a raw image of exactly n_input bytes, by the same rules. JSON:
 *
 *   IMAGE    {"b64": "..."}      base64 of a picture or of a raw image; a data: URL is fine too
 *            {"pixels": [...]}   n_input whole numbers 0..255, flat or nested as [height][width] (one channel) or
 *                                [channels][height][width]
 *   body     {"image": IMAGE} or {"images": [IMAGE...]}; to /train also {"image": IMAGE, "label": "7"} and
 *            {"samples": [{"label": "7", "image": IMAGE}...]}; a line of NDJSON is {"image": IMAGE} or
 *            {"label": "7", "image": IMAGE}
 *
 * Labels, for /train. ?label= holds for all images of the body; ?labels=7,2,1 names one for each; otherwise each sample has its own
 * "label", or each part of a form its field's name. With ?label or ?labels, the field names of a form mean nothing, and
 * "label" in JSON is refused: two answers to one question.
 *
 * What /train would learn from must have something to see: an image all of whose pixels are equal, once it is fitted, is ERR_FLAT, unless
 * ?flat=allow.
 *
 * A body is taken whole or not at all. Errors name what is wrong and where: pointer /samples/17/image, /images/3 (the
 * fourth image of a form or a raw batch, or its label), /lines/5 (the sixth line of NDJSON).
 */
#ifndef CONVD_SERVER_PAYLOAD_BODY_H
#define CONVD_SERVER_PAYLOAD_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/core.h"
#include "server/common/json.h"
#include "server/image/image.h"

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

struct body_source {
    const uint8_t *bytes;
    size_t n_bytes;
    const char *content_type;   /* NULL: none                                   */
    const char *label, *labels; /* ?label=, ?labels=: decoded; NULL where absent */
};

/* Labels of no class, as they came: for who only wants to know whether a request was taken when there still was one. */
struct body_strangers {
    char (*labels)[LABEL_BYTES_MAX + 1]; /* owned; free() */
    size_t n, room;
};

#define BODY_STRANGER SHAPE_CLASSES_MAX /* an index in a batch: of strangers.labels[index - BODY_STRANGER] */

struct body_rules {
    const struct learner *learner;    /* shape, settings and class table      */
    bool labelled;                    /* /train: every image needs its class  */
    bool flat;                        /* and may be flat (image_is_flat())     */
    struct image_limits *limits;      /* of its pictures; and see below       */
    uint32_t images_max;              /* more in one body: ERR_TOO_LARGE      */
    struct body_strangers *strangers; /* NULL: a label of no class is an error */
    bool digests;                     /* batch.pictures is wanted              */
};

/* A picture as it came, before it was fitted: what fit and invert were then, another time they may not be. */
struct batch_picture {
    uint32_t image;     /* its place in the batch    */
    uint8_t digest[32]; /* SHA-256 of the PNG or JPEG */
};

struct batch {
    uint32_t n;
    bool many;             /* the body's form holds several, even when it is one that was sent          */
    const uint8_t *pixels; /* [n][n_input]: `owned`, or into the source's bytes (raw bodies are not copied) */
    uint8_t *owned;
    uint32_t *labels;               /* [n] class indices when labelled; owned                            */
    char (*files)[BODY_FILE_BYTES]; /* [n] names of a form's files; owned; NULL for other bodies         */
    size_t room;                    /* images that owned, labels and files have room for                 */
    struct batch_picture *pictures; /* [n_pictures], raw images not among them, where rules.digests; owned */
    size_t n_pictures, pictures_room;
};

/* body_decode - Errors: ERR_EMPTY, ERR_SYNTAX, ERR_VALUE, ERR_INPUT_SIZE, ERR_MEDIA_TYPE, ERR_IMAGE, ERR_IMAGE_LIMIT, ERR_FLAT,
 * ERR_LABEL_MISSING, ERR_LABEL_UNKNOWN, ERR_LABEL_INVALID, ERR_TOO_LARGE, ERR_LIMIT, ERR_MEMORY, those of cancel_err(). After an error *out is
 * empty. batch_fini() accepts a zeroed struct. */
int body_decode(struct batch *out, const struct body_source *source, const struct body_rules *rules, struct err *err);
void batch_fini(struct batch *batch);

/* ---- between payload/body.c, payload/body_json.c and payload/body_pixels.c; and for payload/oip_input.c ---- */

/* batch_add - room for one more image; its pixels are for the caller to fill. NULL: ERR_TOO_LARGE, ERR_MEMORY, it is cancelled or too heavy. */
uint8_t *batch_add(struct batch *batch, const struct body_rules *rules, struct err *err);

/* body_tree - whether a tree may be made of so much JSON here. -1: it is too heavy. */
int body_tree(size_t n_bytes, const struct body_rules *rules, struct err *err);

/* body_image - one picture or one raw image of exactly n_input bytes into the image that was added last. */
int body_image(struct batch *batch, const uint8_t *bytes, size_t n_bytes, const struct body_rules *rules,
               struct err *err);

/* body_flat - ERR_FLAT where an image to learn from is flat; body_check_flat - the same by the rules. */
int body_flat(const uint8_t *input, const struct shape *shape, struct err *err);
int body_check_flat(const uint8_t *input, const struct body_rules *rules, struct err *err);

/* body_base64 - likewise, out of base64. Errors: ERR_SYNTAX, ERR_MEMORY, those of body_image(). */
int body_base64(struct batch *batch, const char *text, const struct body_rules *rules, struct err *err);

/* body_label - the class with that name. Errors: ERR_LABEL_INVALID, ERR_LABEL_UNKNOWN (says which there are). */
int body_label(uint32_t *index, const char *label, size_t n_label, const struct learner *learner, struct err *err);

/* batch_label - the same by the rules: index may be that of a stranger. Errors: ERR_MEMORY as well. */
int batch_label(uint32_t *index, const char *label, size_t n_label, const struct body_rules *rules, struct err *err);

/* body_json, body_ndjson - the JSON bodies. labels_given: by the query, so that "label" is refused. */
int body_json(struct batch *batch, const uint8_t *bytes, size_t n_bytes, const struct body_rules *rules,
              bool labels_given, struct err *err);
int body_ndjson(struct batch *batch, const uint8_t *bytes, size_t n_bytes, const struct body_rules *rules,
                bool labels_given, struct err *err);

/* body_plain - a JSON body of pixels in its plainest form (lists: also "images" or "samples"), read without a tree, in a twelfth of the time.
 * false: it is not plain, or not right, or memory is out; then the batch holds what it held, and body_json() has the word. */
bool body_plain(struct batch *batch, const uint8_t *bytes, size_t n_bytes, const struct body_rules *rules,
                bool labels_given, bool lists);

#endif
