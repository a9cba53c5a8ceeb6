/* clock.h - how much time has gone by: the monotonic clock, which nobody sets. What time it is, store_now_us() tells. */
#ifndef CONVD_SERVER_COMMON_CLOCK_H
#define CONVD_SERVER_COMMON_CLOCK_H

#include <stdint.h>

uint64_t clock_ns(void);
uint64_t clock_us(void);
int64_t now_ms(void);

/* thread_us - processor time of the calling thread: what else the machine does is not in it. */
uint64_t thread_us(void);

/* coarse_ms - now_ms(), some milliseconds late at most, for a fifth of its price. */
int64_t coarse_ms(void);

#endif
