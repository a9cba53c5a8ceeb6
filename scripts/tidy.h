/* tidy.h - included before every file that `make tidy` looks at, and by nothing that is built.
 *
 * clang's analyzer looks at one file at a time, so it believes that err_set() and its kin, which live in core/err.c, might return
 * 0. Then every `return err_set(...)` is a success to it, and what follows uses things that were never made. This tells it what
 * err.h promises: always -1. */
#include "core/err.h"

#define err_set(...)    (err_set(__VA_ARGS__), -1)
#define err_memory(...) (err_memory(__VA_ARGS__), -1)
#define err_wrap(...)   (err_wrap(__VA_ARGS__), -1)
#define err_at(...)     (err_at(__VA_ARGS__), -1)
#define err_under(...)  (err_under(__VA_ARGS__), -1)
