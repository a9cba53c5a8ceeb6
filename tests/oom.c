/* oom.c - see oom.h */
#include "tests/oom.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static atomic_bool armed;
static atomic_ulong left; /* until the first that is refused */
static atomic_ulong refused;
static atomic_bool for_ever;
static atomic_long live;

void oom_arm(unsigned long n, bool for_good)
{
    atomic_store(&left, n);
    atomic_store(&refused, 0);
    atomic_store(&for_ever, for_good);
    atomic_store(&armed, true);
}

unsigned long oom_disarm(void)
{
    atomic_store(&armed, false);
    return atomic_load(&refused);
}

bool oom_struck(void)
{
    return atomic_load(&refused) > 0;
}

long oom_live(void)
{
    return atomic_load(&live);
}

static bool strikes(void)
{
    if (!atomic_load_explicit(&armed, memory_order_relaxed))
        return false;
    unsigned long before = atomic_load(&left);
    while (before > 0 && !atomic_compare_exchange_weak(&left, &before, before - 1))
        ;
    if (before == 1 || (before == 0 && atomic_load(&for_ever))) {
        atomic_fetch_add(&refused, 1);
        errno = ENOMEM;
        return true;
    }
    return false;
}

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker's and the C library's names */

#ifdef OOM_WRAPPED

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);
char *__wrap_strdup(const char *text);

void *__wrap_malloc(size_t n)
{
    return strikes() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return strikes() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t n)
{
    return strikes() ? NULL : __real_realloc(old, n);
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    return strikes() ? NULL : __real_aligned_alloc(alignment, n);
}

char *__wrap_strdup(const char *text)
{
    return strikes() ? NULL : __real_strdup(text);
}

static sqlite3_mem_methods sqlite_memory;

static void *sqlite_malloc(int n)
{
    return strikes() ? NULL : sqlite_memory.xMalloc(n);
}

static void *sqlite_realloc(void *old, int n)
{
    return strikes() ? NULL : sqlite_memory.xRealloc(old, n);
}

__attribute__((constructor)) static void hook_sqlite(void)
{
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_memory) != SQLITE_OK)
        abort();
    sqlite3_mem_methods ours = sqlite_memory;
    ours.xMalloc = sqlite_malloc;
    ours.xRealloc = sqlite_realloc;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &ours) != SQLITE_OK)
        abort();
}

#else

/* In front of the C library's: it calls these as well. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t n);
void *__libc_memalign(size_t alignment, size_t n);
void __libc_free(void *memory);

static void *counted(void *memory)
{
    if (memory != NULL)
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return memory;
}

void *malloc(size_t n)
{
    return strikes() ? NULL : counted(__libc_malloc(n));
}

void *calloc(size_t n, size_t size)
{
    return strikes() ? NULL : counted(__libc_calloc(n, size));
}

void *realloc(void *old, size_t n)
{
    if (strikes())
        return NULL;
    void *memory = __libc_realloc(old, n);
    if (old == NULL)
        (void)counted(memory);
    else if (n == 0 && memory == NULL)
        atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    return memory;
}

void *memalign(size_t alignment, size_t n);
void *memalign(size_t alignment, size_t n)
{
    return strikes() ? NULL : counted(__libc_memalign(alignment, n));
}

void *aligned_alloc(size_t alignment, size_t n)
{
    return memalign(alignment, n);
}

int posix_memalign(void **out, size_t alignment, size_t n)
{
    void *memory = memalign(alignment, n);
    if (memory == NULL)
        return ENOMEM;
    *out = memory;
    return 0;
}

void free(void *memory)
{
    if (memory != NULL)
        atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    __libc_free(memory);
}

#endif

/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
