/* explain.c - see model/explain.h; model/explain_png.c draws it. */
#include "server/model/explain.h"

#include <nettle/base64.h>
#include <stdlib.h>
#include <string.h>

#include "server/common/json.h"
#include "server/image/input_png.h"

void explain_wins(uint32_t *wins, const struct learner *learner, const struct workspace *ws)
{
    const struct shape *s = &learner->shape;
    memset(wins, 0, s->kernels * sizeof *wins);
    for (uint32_t p = 0; p < s->n_0 && s->kernels > 0; p++)
        wins[ws->winner[p]]++;
}

static void add_number(struct text *text, float value, bool first)
{
    char number[JSON_NUMBER_BYTES];
    if (!first)
        text_add(text, ",", 1);
    text_add(text, number, json_number_print(number, (double)value));
}

static void add_winners(struct text *text, const struct shape *s, const struct workspace *ws, const uint32_t *wins)
{
    text_add_format(text, "\"width\":%u,\"height\":%u,\"winner\":[", s->out_w, s->out_h);
    for (uint32_t p = 0; p < s->n_0 && s->kernels > 0; p++) {
        if (p > 0)
            text_add(text, ",", 1);
        text_add_u64(text, ws->winner[p]);
    }
    text_add_string(text, "],\"share\":[");
    for (uint32_t i = 0; i < s->kernels; i++)
        add_number(text, (float)wins[i] / (float)s->n_0, i == 0);
}

static int add_input(struct text *text, const struct shape *s, const uint8_t *pixels, struct err *err)
{
    uint8_t *png = NULL;
    size_t n_png = 0;
    if (planes_png(&png, &n_png, pixels, s, 1, err) != 0)
        return -1;
    text_add_string(text, "],\"input\":\"");
    if (text_reserve(text, BASE64_ENCODE_RAW_LENGTH(n_png))) {
        base64_encode_raw(text->bytes + text->n, n_png, png);
        text->n += BASE64_ENCODE_RAW_LENGTH(n_png);
    }
    text_add_string(text, "\"}");
    free(png);
    return 0;
}

int explain_write(struct text *text, const struct learner *learner, const uint8_t *pixels, struct workspace *ws,
                  struct err *err)
{
    const struct shape *s = &learner->shape;
    int status = -1;
    float *saliency = calloc(s->n_input, sizeof *saliency);
    uint32_t *wins = calloc((size_t)s->kernels + 1, sizeof *wins);
    if (saliency == NULL || wins == NULL) {
        err_set(err, ERR_MEMORY, "no memory for an explanation");
        goto out;
    }
    net_explain(&learner->net, net_argmax(&learner->net, ws->l2), saliency, ws);
    explain_wins(wins, learner, ws);
    text_add_string(text, "\"explain\":{");
    add_winners(text, s, ws, wins);
    text_add_string(text, "],\"saliency\":[");
    for (uint32_t i = 0; i < s->n_input; i++)
        add_number(text, saliency[i], i == 0);
    status = add_input(text, s, pixels, err);
out:
    free(saliency);
    free(wins);
    return status;
}
