/* set_clock.h - the clock of server/common/clock.h as a test sets it: included once, it takes the place of the one in libserver.a. */
#ifndef CONVD_TESTS_SET_CLOCK_H
#define CONVD_TESTS_SET_CLOCK_H

#include "server/common/clock.h"

static int64_t the_time_ms = 1000000;

int64_t now_ms(void)
{
    return the_time_ms;
}

int64_t coarse_ms(void)
{
    return now_ms();
}

uint64_t clock_us(void)
{
    return (uint64_t)the_time_ms * 1000;
}

uint64_t clock_ns(void)
{
    return clock_us() * 1000;
}

/* A test's own work takes no time. */
uint64_t thread_us(void)
{
    return clock_us();
}

#endif
