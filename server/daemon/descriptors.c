/* descriptors.c - see daemon/descriptors.h */
#include "server/daemon/descriptors.h"

#include <fcntl.h>
#include <sys/resource.h>

#define SPARE_MAX   96u /* on their way out */
#define EACH_THREAD 4u  /* of libmicrohttpd: epoll, a wake-up; of the watchdog: a pair */
#define OTHERS                                                                                                         \
    16u /* the acceptor, TLS's thread for UNIX sockets, copies for GET /backup, files that are opened for a moment */
#define LOOK 1024

void descriptors_raise(unsigned connections)
{
    struct rlimit limit;
    const rlim_t wanted = (rlim_t)connections + SPARE_MAX + 128; /* for whatever is open */
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int descriptors_share(unsigned *connections, unsigned *spare, unsigned threads, struct err *err)
{
    struct rlimit limit;
    *spare = SPARE_MAX;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) /* a filter of system calls */
        return 0;
    rlim_t used = (rlim_t)threads * EACH_THREAD + OTHERS;
    for (int fd = 0; fd < LOOK && (rlim_t)fd < limit.rlim_cur; fd++)
        used += fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    const rlim_t left = limit.rlim_cur > used ? limit.rlim_cur - used : 0;
    if (left >= (rlim_t)*connections + SPARE_MAX)
        return 0;
    *spare = left / 4 < SPARE_MAX ? (unsigned)(left / 4) + 1 : SPARE_MAX;
    if (left <= *spare)
        return err_set(err, ERR_USAGE,
                       "the limit of open files is %llu, too low for a single connection: raise it (ulimit -n, "
                       "LimitNOFILE=) to %llu or more",
                       (unsigned long long)limit.rlim_cur, (unsigned long long)used + 8);
    if (left - *spare < *connections)
        *connections = (unsigned)(left - *spare);
    return 0;
}
