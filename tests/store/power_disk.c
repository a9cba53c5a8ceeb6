/* power_disk.c - see power_disk.h. One thread; what goes wrong in here aborts: it is a test's tool. */
/* It defines open() and open64(), which are one symbol where off_t is made 64 bits wide. */
#undef _FILE_OFFSET_BITS
#undef _TIME_BITS
#include "tests/store/power_disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILES_MAX 64
#define FDS_MAX   256
#define SECTOR    512
#define NAME_SIZE 80
#define PATH_SIZE 256

struct power_counts power_counts;

_Noreturn static void die(const char *what)
{
    (void)fprintf(stderr, "power_disk: %s: %s\n", what, strerror(errno));
    abort();
}

#define need(holds, what)                                                                                              \
    do {                                                                                                               \
        if (!(holds))                                                                                                  \
            die(what);                                                                                                 \
    } while (0)

/* ---- what is noted ---- */

/* A write, or a truncation where bytes is NULL. */
struct change {
    struct change *next;
    uint8_t *bytes;
    size_t at, n; /* of a truncation: the new size in `at` */
};

struct inode {
    uint8_t *durable;
    size_t n, room;
    struct change *first, **last;
    bool used;
};

/* A name given to an inode, or (inode NULL) taken away; with `from`, a rename. */
struct naming {
    struct naming *next;
    char name[NAME_SIZE], from[NAME_SIZE];
    struct inode *inode;
};

struct entry {
    char name[NAME_SIZE];
    struct inode *inode; /* NULL: a free place */
};

struct power_disk {
    struct power_disk *next;
    const char *folder;
    power_moment *moment;
    void *context;
    struct inode inodes[FILES_MAX];
    struct entry now[FILES_MAX], durable[FILES_MAX];
    struct naming *first, **last;
    bool in_moment;
};

static struct power_disk *disks;

/* What a descriptor stands for. */
static struct {
    struct power_disk *disk;
    struct inode *inode; /* NULL: the folder itself */
} fds[FDS_MAX];

static void *allocate(size_t n)
{
    void *memory = calloc(1, n > 0 ? n : 1);
    need(memory != NULL, "memory");
    return memory;
}

static struct inode *inode_new(struct power_disk *disk)
{
    for (size_t i = 0; i < FILES_MAX; i++)
        if (!disk->inodes[i].used) {
            disk->inodes[i] = (struct inode){.used = true};
            disk->inodes[i].last = &disk->inodes[i].first;
            return &disk->inodes[i];
        }
    need(false, "too many files");
    return NULL;
}

static void changes_free(struct inode *inode)
{
    for (struct change *c = inode->first, *next; c != NULL; c = next) {
        next = c->next;
        free(c->bytes);
        free(c);
    }
    inode->first = NULL;
    inode->last = &inode->first;
}

static void inode_free(struct inode *inode)
{
    if (!inode->used)
        return;
    changes_free(inode);
    free(inode->durable);
    *inode = (struct inode){0};
}

static struct entry *find(struct entry *entries, const char *name)
{
    for (size_t i = 0; i < FILES_MAX; i++)
        if (entries[i].inode != NULL && strcmp(entries[i].name, name) == 0)
            return &entries[i];
    return NULL;
}

static void set_name(struct entry *entries, const char *name, struct inode *inode)
{
    struct entry *entry = find(entries, name);
    for (size_t i = 0; entry == NULL && i < FILES_MAX; i++)
        if (entries[i].inode == NULL)
            entry = &entries[i];
    need(entry != NULL, "too many names");
    (void)snprintf(entry->name, sizeof entry->name, "%s", name);
    entry->inode = inode;
}

static void apply_naming(struct entry *entries, const struct naming *naming)
{
    struct entry *from = naming->from[0] != '\0' ? find(entries, naming->from) : NULL;
    if (from != NULL)
        from->inode = NULL;
    if (naming->inode != NULL || find(entries, naming->name) != NULL)
        set_name(entries, naming->name, naming->inode);
}

static void note_naming(struct power_disk *disk, const char *name, const char *from, struct inode *inode)
{
    struct naming *naming = allocate(sizeof *naming);
    (void)snprintf(naming->name, sizeof naming->name, "%s", name);
    (void)snprintf(naming->from, sizeof naming->from, "%s", from);
    naming->inode = inode;
    *disk->last = naming;
    disk->last = &naming->next;
    apply_naming(disk->now, naming);
}

/* Inodes that no name and no descriptor leads to are gone. */
static void collect(struct power_disk *disk)
{
    for (size_t i = 0; i < FILES_MAX; i++) {
        struct inode *inode = &disk->inodes[i];
        bool held = false;
        for (size_t j = 0; j < FILES_MAX; j++)
            held = held || disk->now[j].inode == inode || disk->durable[j].inode == inode;
        for (size_t j = 0; j < FDS_MAX; j++)
            held = held || fds[j].inode == inode;
        if (!held)
            inode_free(inode);
    }
}

static void sync_names(struct power_disk *disk)
{
    for (struct naming *n = disk->first, *next; n != NULL; n = next) {
        next = n->next;
        apply_naming(disk->durable, n);
        free(n);
    }
    disk->first = NULL;
    disk->last = &disk->first;
    collect(disk);
}

/* Content of a file that is being put together. */
static void resize(struct inode *file, size_t n)
{
    if (n > file->room) {
        size_t room = n * 2;
        uint8_t *more = realloc(file->durable, room);
        need(more != NULL, "memory");
        file->durable = more;
        file->room = room;
    }
    if (n > file->n && file->durable != NULL)
        memset(file->durable + file->n, 0, n - file->n);
    file->n = n;
}

static void put(struct inode *file, const uint8_t *bytes, size_t at, size_t n)
{
    if (at + n > file->n)
        resize(file, at + n);
    if (n > 0 && file->durable != NULL)
        memcpy(file->durable + at, bytes, n);
}

static void apply_change(struct inode *file, const struct change *change)
{
    if (change->bytes == NULL)
        resize(file, change->at);
    else
        put(file, change->bytes, change->at, change->n);
}

static void sync_file(struct inode *inode)
{
    for (struct change *c = inode->first; c != NULL; c = c->next)
        apply_change(inode, c);
    changes_free(inode);
}

static void note_change(struct inode *inode, const void *bytes, size_t at, size_t n)
{
    struct change *change = allocate(sizeof *change);
    change->at = at;
    change->n = n;
    if (bytes != NULL) {
        change->bytes = allocate(n);
        memcpy(change->bytes, bytes, n);
    }
    *inode->last = change;
    inode->last = &change->next;
}

static void moment(struct power_disk *disk)
{
    power_counts.operations++;
    if (disk->moment != NULL && !disk->in_moment) {
        disk->in_moment = true;
        disk->moment(disk->context, disk);
        disk->in_moment = false;
    }
}

/* ---- the cut ---- */

static uint64_t draw(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15U;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
    return x ^ (x >> 31);
}

enum fate { FATE_NONE, FATE_ALL, FATE_FIRST, FATE_ANY, FATE_SECTORS, FATE_N };

static void let_through(struct inode *file, const struct change *change, enum fate fate, uint64_t *chance)
{
    if (fate == FATE_ANY && draw(chance) % 2 == 0) {
        power_counts.writes_lost++;
        return;
    }
    if (fate != FATE_SECTORS || change->bytes == NULL) {
        if (fate == FATE_SECTORS && draw(chance) % 2 == 0)
            return;
        apply_change(file, change);
        power_counts.writes_kept++;
        return;
    }
    for (size_t done = 0; done < change->n;) {
        size_t to = (change->at + done) / SECTOR * SECTOR + SECTOR - change->at; /* end of this sector, in the write */
        to = to < change->n ? to : change->n;
        uint64_t luck = draw(chance) % 16;
        if (luck < 8)
            put(file, change->bytes + done, change->at + done, to - done);
        else if (luck == 8) /* torn in the middle of a sector */
            put(file, change->bytes + done, change->at + done, (size_t)(draw(chance) % SECTOR) % (to - done + 1));
        done = to;
    }
    power_counts.writes_torn++;
}

static void write_file(const char *folder, const char *name, const struct inode *file)
{
    char path[PATH_SIZE];
    int n_path = snprintf(path, sizeof path, "%s/%s", folder, name);
    need(n_path < PATH_SIZE, "a long path");
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    need(fd >= 0, path);
    for (size_t done = 0; done < file->n;) {
        long n = syscall(SYS_write, fd, file->durable + done, file->n - done);
        need(n > 0, path);
        done += (size_t)n;
    }
    (void)syscall(SYS_close, fd);
}

void power_disk_cut(const struct power_disk *disk, const char *folder, uint64_t seed)
{
    uint64_t chance = seed;
    struct entry names[FILES_MAX];
    memcpy(names, disk->durable, sizeof names);
    enum fate fate = (enum fate)(draw(&chance) % FATE_N);
    size_t n_first = (size_t)(draw(&chance) % 8);
    for (const struct naming *n = disk->first; n != NULL; n = n->next) {
        bool kept = fate == FATE_ALL || (fate == FATE_FIRST && n_first > 0) ||
                    ((fate == FATE_ANY || fate == FATE_SECTORS) && draw(&chance) % 2 == 0);
        n_first -= n_first > 0;
        if (kept)
            apply_naming(names, n);
        else
            power_counts.names_lost++;
    }
    for (size_t i = 0; i < FILES_MAX; i++) {
        const struct inode *inode = names[i].inode;
        if (inode == NULL)
            continue;
        struct inode file = {0};
        resize(&file, inode->n);
        if (inode->n > 0)
            memcpy(file.durable, inode->durable, inode->n);
        fate = (enum fate)(draw(&chance) % FATE_N);
        n_first = (size_t)(draw(&chance) % 24);
        for (const struct change *c = inode->first; c != NULL; c = c->next) {
            if (fate == FATE_NONE || (fate == FATE_FIRST && n_first == 0)) {
                power_counts.writes_lost++;
                continue;
            }
            n_first -= n_first > 0;
            let_through(&file, c, fate, &chance);
        }
        write_file(folder, names[i].name, &file);
        free(file.durable);
    }
}

/* ---- watching ---- */

static void read_durable(struct inode *inode, const char *path)
{
    struct stat status;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    need(fd >= 0 && fstat(fd, &status) == 0, path);
    resize(inode, (size_t)status.st_size);
    for (size_t done = 0; done < inode->n;) {
        long n = syscall(SYS_read, fd, inode->durable + done, inode->n - done);
        need(n > 0, path);
        done += (size_t)n;
    }
    (void)syscall(SYS_close, fd);
}

struct power_disk *power_disk_watch(const char *folder, power_moment *on_moment, void *context)
{
    struct power_disk *disk = allocate(sizeof *disk);
    disk->folder = folder;
    disk->moment = on_moment;
    disk->context = context;
    disk->last = &disk->first;
    DIR *dir = opendir(folder);
    need(dir != NULL, folder);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[PATH_SIZE];
        if (e->d_name[0] == '.')
            continue;
        int n_path = snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        need(n_path < PATH_SIZE, "a long path");
        struct inode *inode = inode_new(disk);
        read_durable(inode, path);
        set_name(disk->now, e->d_name, inode);
        set_name(disk->durable, e->d_name, inode);
    }
    (void)closedir(dir);
    disk->next = disks;
    disks = disk;
    return disk;
}

void power_disk_forget(struct power_disk *disk)
{
    for (size_t i = 0; i < FDS_MAX; i++)
        need(fds[i].disk != disk, "a file is still open");
    for (struct power_disk **at = &disks; *at != NULL; at = &(*at)->next)
        if (*at == disk) {
            *at = disk->next;
            break;
        }
    sync_names(disk);
    for (size_t i = 0; i < FILES_MAX; i++)
        inode_free(&disk->inodes[i]);
    free(disk);
}

/* The disk that a path is on, and the name there ("" for the folder itself). */
static struct power_disk *disk_of(const char *path, const char **name)
{
    for (struct power_disk *disk = disks; disk != NULL; disk = disk->next) {
        size_t n = strlen(disk->folder);
        if (strncmp(path, disk->folder, n) != 0 || (path[n] != '/' && path[n] != '\0'))
            continue;
        *name = path[n] == '/' ? path + n + 1 : path + n;
        return disk;
    }
    return NULL;
}

/* ---- in front of the C library ---- */

static int open_watched(const char *path, int flags, mode_t mode)
{
    const char *name = "";
    struct power_disk *disk = disk_of(path, &name);
    bool fresh = disk != NULL && name[0] != '\0' && (flags & O_CREAT) != 0 && find(disk->now, name) == NULL;
    if (fresh)
        moment(disk);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (fd < 0 || disk == NULL)
        return fd;
    need(fd < FDS_MAX, "too many descriptors");
    need((flags & (O_TRUNC | O_APPEND)) == 0, "a way of opening that is not watched");
    if (fresh)
        note_naming(disk, name, "", inode_new(disk));
    fds[fd].disk = disk;
    fds[fd].inode = name[0] == '\0' ? NULL : find(disk->now, name)->inode;
    return fd;
}

#define OPEN_BODY                                                                                                      \
    mode_t mode = 0;                                                                                                   \
    if ((flags & O_CREAT) != 0) {                                                                                      \
        va_list arguments;                                                                                             \
        va_start(arguments, flags);                                                                                    \
        mode = va_arg(arguments, mode_t);                                                                              \
        va_end(arguments);                                                                                             \
    }                                                                                                                  \
    return open_watched(path, flags, mode);

int open(const char *path, int flags, ...)
{
    OPEN_BODY
}

int open64(const char *path, int flags, ...)
{
    OPEN_BODY
}

int close(int fd)
{
    if (fd >= 0 && fd < FDS_MAX)
        fds[fd].disk = NULL, fds[fd].inode = NULL;
    return (int)syscall(SYS_close, fd);
}

static bool is_watched(int fd)
{
    return fd >= 0 && fd < FDS_MAX && fds[fd].disk != NULL;
}

ssize_t pwrite64(int fd, const void *bytes, size_t n_bytes, off64_t offset)
{
    if (is_watched(fd)) {
        moment(fds[fd].disk);
        note_change(fds[fd].inode, bytes, (size_t)offset, n_bytes);
    }
    return syscall(SYS_pwrite64, fd, bytes, n_bytes, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t n_bytes, off_t offset)
{
    return pwrite64(fd, bytes, n_bytes, offset);
}

ssize_t write(int fd, const void *bytes, size_t n_bytes)
{
    need(!is_watched(fd), "a write without a place is not watched");
    return syscall(SYS_write, fd, bytes, n_bytes);
}

int ftruncate64(int fd, off64_t size)
{
    if (is_watched(fd)) {
        moment(fds[fd].disk);
        note_change(fds[fd].inode, NULL, (size_t)size, 0);
    }
    return (int)syscall(SYS_ftruncate, fd, size);
}

int ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}

static int sync_watched(int fd)
{
    if (is_watched(fd)) {
        moment(fds[fd].disk);
        power_counts.syncs++;
        if (fds[fd].inode == NULL)
            sync_names(fds[fd].disk);
        else
            sync_file(fds[fd].inode);
    }
    return 0; /* the real disk need not be waited for */
}

int fdatasync(int fd)
{
    return sync_watched(fd);
}

int fsync(int fd)
{
    return sync_watched(fd);
}

int unlink(const char *path)
{
    const char *name;
    struct power_disk *disk = disk_of(path, &name);
    if (disk != NULL)
        moment(disk);
    int status = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (disk != NULL && status == 0)
        note_naming(disk, name, "", NULL);
    return status;
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags)
{
    const char *old_name, *name;
    struct power_disk *disk = disk_of(to, &name);
    if (disk != NULL)
        moment(disk);
    int status = (int)syscall(SYS_renameat2, from_folder, from, to_folder, to, flags);
    if (disk != NULL && status == 0) {
        need(disk_of(from, &old_name) == disk, "a rename from elsewhere");
        note_naming(disk, name, old_name, find(disk->now, old_name)->inode);
    }
    return status;
}
