/* power_disk.h - a folder on a disk whose power may fail at any moment.
 *
 * The functions of the C library that change files are defined in power_disk.c, in front of the library's own, so that
 * SQLite and store.c call these. What they do to a file in a watched folder happens for real, as in a kernel's page
 * cache, and is noted beside it: what a sync has made durable, and what has been done since. power_disk_cut() then makes
 * another folder as a reboot after a power cut might find it: all that was durable, and of the rest what chance lets through,
 *
 *     nothing | everything | the first few operations | any of them, in pieces of a sector, the last one torn inside
 *
 * for writes and truncations of each file as for names in the folder (a name is durable when its folder was synced). So a
 * later write may be there and an earlier one not, and a file may be as long as a write that is not there made it.
 *
 * The run itself goes on: one run gives as many cuts as there are moments in it.
 */
#ifndef CONVD_TESTS_STORE_POWER_DISK_H
#define CONVD_TESTS_STORE_POWER_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct power_disk;

/* Called before each operation on the disk (a write, truncation, sync or change of a name): the moment for a cut. */
typedef void power_moment(void *context, struct power_disk *disk);

/* power_disk_watch - all that is in the folder counts as durable. The folder must exist; its path must outlive the disk. */
struct power_disk *power_disk_watch(const char *folder, power_moment *moment, void *context);
void power_disk_forget(struct power_disk *disk); /* no file of it may be open; the folder stays */

/* power_disk_cut - fills an empty folder. The same state of the disk and the same seed give the same files. */
void power_disk_cut(const struct power_disk *disk, const char *folder, uint64_t seed);

struct power_counts {
    unsigned long operations, syncs, writes_lost, writes_kept, writes_torn, names_lost;
};
extern struct power_counts power_counts;

#endif
