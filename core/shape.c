/* shape.c - see shape.h. All products are taken in 64 bits from members that were bounded first: none can overflow. */
#include "core/shape.h"

#define CAPACITY_STEP 16u /* classes: a vector of lanes */

struct shape shape_default(void)
{
    return (struct shape){
        .width = 28,
        .height = 28,
        .channels = 1,
        .kernels = 16,
        .kernel_width = 5,
        .kernel_height = 5,
        .stride = 1,
        .hidden = 128,
    };
}

static int member_check(const char *name, uint32_t value, uint32_t low, uint32_t high, struct err *err)
{
    if (value >= low && value <= high)
        return 0;
    err_set(err, value < low ? ERR_VALUE : ERR_LIMIT, "%s is %u, but must be from %u to %u", name, value, low, high);
    return err_at(err, "/%s", name);
}

int shape_check(struct shape *s, uint32_t n_classes, struct err *err)
{
    if (member_check("width", s->width, 1, SHAPE_SIDE_MAX, err) != 0 ||
        member_check("height", s->height, 1, SHAPE_SIDE_MAX, err) != 0 ||
        member_check("channels", s->channels, 1, SHAPE_CHANNELS_MAX, err) != 0 ||
        member_check("kernels", s->kernels, 0, SHAPE_KERNELS_MAX, err) != 0 ||
        member_check("hidden", s->hidden, 1, SHAPE_HIDDEN_MAX, err) != 0 ||
        member_check("classes", n_classes, 0, SHAPE_CLASSES_MAX, err) != 0)
        return -1;

    uint64_t n_input = (uint64_t)s->width * s->height * s->channels;
    if (n_input > SHAPE_INPUT_MAX) {
        err_set(err, ERR_LIMIT, "width x height x channels is %llu; the limit is %u", (unsigned long long)n_input,
                SHAPE_INPUT_MAX);
        return err_at(err, "/width");
    }
    s->n_input = (uint32_t)n_input;

    if (s->kernels == 0) {
        s->kernel_width = s->kernel_height = s->stride = 0;
        s->out_w = s->out_h = s->n_k = 0;
        s->n_0 = s->n_input;
    } else {
        uint32_t side_x = s->width < SHAPE_KERNEL_SIDE_MAX ? s->width : SHAPE_KERNEL_SIDE_MAX;
        uint32_t side_y = s->height < SHAPE_KERNEL_SIDE_MAX ? s->height : SHAPE_KERNEL_SIDE_MAX;
        if (member_check("kernel_width", s->kernel_width, 1, side_x, err) != 0 ||
            member_check("kernel_height", s->kernel_height, 1, side_y, err) != 0 ||
            member_check("stride", s->stride, 1, SHAPE_SIDE_MAX, err) != 0)
            return -1;
        s->out_w = (s->width - s->kernel_width) / s->stride + 1;
        s->out_h = (s->height - s->kernel_height) / s->stride + 1;
        s->n_k = s->channels * s->kernel_height * s->kernel_width;
        s->n_0 = s->out_w * s->out_h;
    }
    s->n_1 = s->hidden;

    uint64_t parameters =
        (uint64_t)s->kernels * s->n_k + (uint64_t)s->n_0 * s->n_1 + (uint64_t)s->n_1 * (uint64_t)n_classes;
    if (parameters > SHAPE_PARAMETERS_MAX) {
        err_set(err, ERR_LIMIT,
                "the network would have %llu parameters; the limit is %u: use fewer hidden units, a larger stride or a "
                "smaller input",
                (unsigned long long)parameters, SHAPE_PARAMETERS_MAX);
        return err_at(err, "/hidden");
    }
    return 0;
}

uint32_t shape_capacity(const struct shape *s, uint32_t n_classes)
{
    const uint64_t others = (uint64_t)s->kernels * s->n_k + (uint64_t)s->n_0 * s->n_1;
    const uint64_t fit = (SHAPE_PARAMETERS_MAX - others) / s->n_1;
    uint64_t capacity = ((uint64_t)n_classes + 6 + CAPACITY_STEP - 1) / CAPACITY_STEP * CAPACITY_STEP;
    capacity = capacity < SHAPE_CLASSES_MAX ? capacity : SHAPE_CLASSES_MAX;
    return (uint32_t)(capacity < fit ? capacity : fit);
}
