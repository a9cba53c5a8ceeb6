/* explain.c - see model/explain.h; model/explain_png.c draws it. */
#include "server/model/explain.h"

#include <nettle/base64.h>
#include <stdlib.h>
#include <string.h>

#include "server/image/input_png.h"

void explain_wins(uint32_t *wins, const struct learner *learner, const struct workspace *ws)
{
    const struct shape *s = &learner->shape;
    memset(wins, 0, s->kernels * sizeof *wins);
    for (uint32_t p = 0; p < s->n_0 && s->kernels > 0; p++)
        wins[ws->winner[p]]++;
}

static void add_winners(struct json_writer *json, const struct learner *learner, const struct workspace *ws,
                        const uint32_t *wins)
{
    const struct shape *s = &learner->shape;
    json_write_u64(json, "width", s->out_w);
    json_write_u64(json, "height", s->out_h);
    json_write_array(json, "winner");
    for (uint32_t p = 0; p < s->n_0 && s->kernels > 0; p++)
        json_write_u64(json, NULL, ws->winner[p]);
    json_write_end(json);
    json_write_array(json, "share");
    for (uint32_t i = 0; i < s->kernels; i++)
        json_write_number(json, NULL, (double)((float)wins[i] / (float)s->n_0));
    json_write_end(json);
}

static int add_input(struct json_writer *json, const struct shape *s, const uint8_t *pixels, struct err *err)
{
    uint8_t *png = NULL;
    size_t n_png = 0;
    if (planes_png(&png, &n_png, pixels, s, 1, err) != 0)
        return -1;
    struct text *text = json_write_value(json, "input");
    text_add_char(text, '"');
    if (text_reserve(text, BASE64_ENCODE_RAW_LENGTH(n_png))) {
        base64_encode_raw(text->bytes + text->n, n_png, png);
        text->n += BASE64_ENCODE_RAW_LENGTH(n_png);
    }
    text_add_char(text, '"');
    free(png);
    return 0;
}

int explain_write(struct json_writer *json, const struct learner *learner, const uint8_t *pixels, struct workspace *ws,
                  struct err *err)
{
    const struct shape *s = &learner->shape;
    int status = -1;
    float *saliency = calloc(s->n_input, sizeof *saliency);
    uint32_t *wins = calloc((size_t)s->kernels + 1, sizeof *wins);
    if (saliency == NULL || wins == NULL) {
        err_memory(err, "an explanation");
        goto out;
    }
    net_explain(&learner->net, net_argmax(&learner->net, ws->l2), saliency, ws);
    explain_wins(wins, learner, ws);
    json_write_object(json, "explain");
    add_winners(json, learner, ws, wins);
    json_write_array(json, "saliency");
    for (uint32_t i = 0; i < s->n_input; i++)
        json_write_number(json, NULL, (double)saliency[i]);
    json_write_end(json);
    status = add_input(json, s, pixels, err);
    json_write_end(json);
out:
    free(saliency);
    free(wins);
    return status;
}
