/* mark_new.h - before every test's source (make/tests.mk): libcheck writes the place of each assertion that held to a pipe, to say
 * where a test was that a signal ended. A call of the kernel for each of the millions in a loop was most of some tests' time; here
 * a line is written the first time it is passed. */
#ifndef CONVD_TESTS_MARK_NEW_H
#define CONVD_TESTS_MARK_NEW_H

#include <check.h>
#include <stdbool.h>

static inline void mark_new(const char *file, int line)
{
    static _Thread_local bool
        passed[4096]; /* by line, modulo; of a process: of one test, or under a sanitizer of all */
    bool *here = &passed[(unsigned)line % 4096];
    if (*here)
        return;
    *here = true;
    _mark_point(file, line);
}
#define _mark_point(file, line) mark_new(file, line)

#endif
