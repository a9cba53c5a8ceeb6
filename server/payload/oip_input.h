/* oip_input.h - the one input tensor of an inference request. Between payload/oip_request.c, which reads its description, and
 * payload/oip_input.c, which reads its values. */
#ifndef CONVD_SERVER_PAYLOAD_OIP_INPUT_H
#define CONVD_SERVER_PAYLOAD_OIP_INPUT_H

#include "server/payload/oip.h"

enum oip_datatype { OIP_UINT8, OIP_FP32, OIP_BYTES, OIP_OTHER };

/* The one input tensor, as its JSON describes it. */
struct oip_input {
    enum oip_datatype datatype;
    uint64_t n;              /* images */
    double scale;            /* of FP32; 0: the values tell it, oip_input_scale() */
    const struct json *data; /* NULL: binary */
    const uint8_t *bytes;    /* [n_bytes], where data is NULL */
    size_t n_bytes;
};

/* oip_input_scale - 255 where all values of FP32 are within 0 and 1, else 1. What is no number is no such value. */
double oip_input_scale(const struct oip_input *input);

/* oip_input_take - its values as images into an empty batch, by the shape, which says n >= 1.
 * Errors: ERR_VALUE, ERR_INPUT_SIZE, ERR_SYNTAX (base64), ERR_TOO_LARGE, ERR_MEMORY, those of body_image(); the pointer is
 * relative to the input ("/data"). */
int oip_input_take(struct batch *batch, const struct oip_input *input, const struct body_rules *rules, struct err *err);

#endif
