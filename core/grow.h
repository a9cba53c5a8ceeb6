/* grow.h - a list that grows as items come. */
#ifndef CONVD_CORE_GROW_H
#define CONVD_CORE_GROW_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/err.h"

/* grow - room for one item more in a malloc'ed list of n; where *room is used up it is doubled. `list` is the address of the caller's
 * pointer to it (NULL at first). Errors: ERR_MEMORY, "no memory for N <what>"; list and *room are then as before. */
static inline int grow(void *list, size_t *room, size_t n, size_t item_bytes, const char *what, struct err *err)
{
    const size_t wanted = *room == 0 ? 16 : 2 * *room;
    void *items;
    if (n < *room)
        return 0;
    memcpy(&items, list, sizeof items);
    items = wanted > SIZE_MAX / 2 / item_bytes ? NULL : realloc(items, wanted * item_bytes);
    if (items == NULL)
        return err_memory(err, "%zu %s", wanted, what);
    memcpy(list, &items, sizeof items);
    *room = wanted;
    return 0;
}

#endif
