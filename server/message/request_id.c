/* request_id.c - see message/request_id.h */
#include "server/message/request_id.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "server/common/text.h"

/* UUIDs, numbers, the ids of traces (00-4bf9..-00, Root=1-67..;, a/b): visible, and nothing that quotes or ends a field. */
static bool may_stand(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr("-_.:/+=@", c) != NULL;
}

void request_ids_init(struct request_ids *ids)
{
    atomic_init(&ids->made, 0);
    if (getrandom(&ids->run, sizeof ids->run, GRND_NONBLOCK) == sizeof ids->run)
        return;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    ids->run = (uint32_t)now.tv_sec ^ (uint32_t)now.tv_nsec;
}

static bool take(char id[REQUEST_ID_BYTES_MAX + 1], const char *given)
{
    size_t n = 0;
    while (given[n] != '\0') {
        if (n == REQUEST_ID_BYTES_MAX || !may_stand(given[n]))
            return false;
        id[n] = given[n];
        n++;
    }
    id[n] = '\0';
    return n > 0;
}

bool request_id_choose(char id[REQUEST_ID_BYTES_MAX + 1], struct request_ids *ids, const char *given)
{
    if (given != NULL && take(id, given))
        return true;
    static const char digits[] = "0123456789abcdef";
    char *at = id; /* by hand: every request has one */
    for (int shift = 28; shift >= 0; shift -= 4)
        *at++ = digits[ids->run >> shift & 15];
    *at++ = '-';
    at += text_print_u64(at, atomic_fetch_add_explicit(&ids->made, 1, memory_order_relaxed) + 1);
    *at = '\0';
    return false;
}
