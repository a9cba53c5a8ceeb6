/* fault_disk.h - a disk that says no: at the n-th call of one kind, once, or from then on.
 *
 * The functions of the C library that open and change files are defined in fault_disk.c, in front of the library's own, so that
 * SQLite and store/ call these, in whatever thread. Nothing is counted, and nothing fails, while no fault is armed.
 */
#ifndef CONVD_TESTS_STORE_FAULT_DISK_H
#define CONVD_TESTS_STORE_FAULT_DISK_H

#include <stdbool.h>

enum fault_kind {
    FAULT_NONE,
    FAULT_READ,
    FAULT_WRITE,
    FAULT_TORN_WRITE, /* the first half is there */
    FAULT_SYNC,
    FAULT_OPEN, /* of a file, not of its directory's entry: an existing one, or one to be made */
    FAULT_TRUNCATE,
    FAULT_SIZE, /* asking how long a file is */
    FAULT_LOCK, /* taking or giving back the lock on it */
};

struct fault_plan {
    enum fault_kind kind;
    int error;     /* errno                               */
    bool for_good; /* every call after the n-th fails, too */
};

/* fault_arm - in one thread at a time: the n-th call of that kind from now on fails (n from 1; 0: none does, but they are counted). fault_disarm - none does. */
void fault_arm(const struct fault_plan *plan, unsigned n);
void fault_disarm(void);

/* fault_hits - how many calls failed since the last fault_arm(). */
unsigned fault_hits(void);

#endif
