/* choose.c - which compilation of core/arith/arith.c this processor runs best; the only place that asks what it can do.
 *
 * make/build.mk says which were compiled in, by -DHAVE_arith_<symbol>=1. */
#include "core/arith/arith.h"

#include <string.h>

#if defined(HAVE_arith_x86_64_v4)
extern const struct arith arith_x86_64_v4;
extern const struct arith arith_x86_64_v3;

static bool has_v4(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}

static bool has_v3(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
}
#endif
#if defined(HAVE_arith_aarch64)
extern const struct arith arith_aarch64;
#endif
extern const struct arith arith_portable;

const struct arith *arith_nth(unsigned n)
{
    const struct arith *list[4];
    unsigned count = 0;
#if defined(HAVE_arith_x86_64_v4)
    __builtin_cpu_init();
    if (has_v4())
        list[count++] = &arith_x86_64_v4;
    if (has_v3())
        list[count++] = &arith_x86_64_v3;
#endif
#if defined(HAVE_arith_aarch64)
    list[count++] = &arith_aarch64; /* fused multiply-add is part of every aarch64 */
#endif
    list[count++] = &arith_portable;
    return n < count ? list[n] : NULL;
}

const struct arith *arith_choose(const char *name)
{
    const struct arith *arith;
    for (unsigned n = 0; (arith = arith_nth(n)) != NULL; n++)
        if (name == NULL || name[0] == '\0' || strcmp(arith->name, name) == 0)
            break;
    return arith;
}

const char *arith_name(const struct arith *arith)
{
    return arith->name;
}
