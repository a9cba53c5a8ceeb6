/* body.h - from a request's body to images of the network's input, whatever way they were sent.
 *
 * What the body is, first rule that holds:
 *
 *   1  nothing                                                      ERR_EMPTY
 *   2  a picture, by its bytes                                      a picture, whatever the type says
 *   3  Content-Type multipart/form-data                             one image a part
 *   4  application/x-ndjson, application/ndjson, application/jsonl  one JSON object a line; ERR_MEDIA_TYPE where it surely is a file
 *   5  application/json, or text/json                               one JSON object; likewise
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
 *   IMAGE    {"b64": "..."}      base64 of a picture or of a raw image, in either alphabet, padded or not; a data: URL is fine too
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

#include "server/payload/batch.h"

struct body_source {
    const uint8_t *bytes;
    size_t n_bytes;
    const char *content_type;   /* NULL: none                                   */
    const char *label, *labels; /* ?label=, ?labels=: decoded; NULL where absent */
};

/* body_decode - Errors: ERR_EMPTY, ERR_SYNTAX, ERR_VALUE, ERR_INPUT_SIZE, ERR_MEDIA_TYPE, ERR_IMAGE, ERR_IMAGE_LIMIT, ERR_FLAT,
 * ERR_LABEL_MISSING, ERR_LABEL_INVALID, ERR_TOO_LARGE, ERR_LIMIT, ERR_MEMORY, those of cancel_err(). After an error *out is empty. */
int body_decode(struct batch *out, const struct body_source *source, const struct body_rules *rules, struct err *err);

/* ---- between payload/body.c, payload/body_json.c and payload/body_pixels.c ---- */

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
