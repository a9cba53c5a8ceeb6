/* oom.h - memory runs out at the n-th allocation.
 *
 * Counted and refused are all allocations of the process: ours, SQLite's, the C library's. In sanitized builds, whose
 * runtime owns malloc, they are those of our own objects (by the linker's --wrap) and SQLite's (by its own hook).
 */
#ifndef CONVD_TESTS_OOM_H
#define CONVD_TESTS_OOM_H

#include <stdbool.h>

/* oom_arm - the n-th allocation from now on fails (n from 1); for_good: and every one after it. */
void oom_arm(unsigned long n, bool for_good);

/* oom_disarm - allocations succeed again. Returns how many were refused. */
unsigned long oom_disarm(void);

/* oom_struck - whether an allocation was refused since oom_arm(). */
bool oom_struck(void);

/* oom_live - blocks that are allocated now; always 0 in sanitized builds, which look for leaks themselves. */
long oom_live(void);

#endif
