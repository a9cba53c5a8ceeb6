/* cli_io.c - see cli_io.h */
#include "server/cli_io.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FIRST_READ_BYTES ((size_t)64 << 10)

static volatile sig_atomic_t stop_flag;

static int fail(const char *what, const char *path, struct err *err)
{
    int code = errno;
    err_set(err, ERR_FILE, "cannot %s %.200s: %s", what, path, strerror(code));
    if (err != NULL)
        err->detail = code;
    return -1;
}

/* Grows as it reads: works for pipes, and a size that stat() tells may be a lie by the time it is used. */
static int read_all(uint8_t **bytes, size_t *n_bytes, int fd, const char *path, size_t bytes_max, struct err *err)
{
    size_t capacity = 0;
    size_t n = 0;
    uint8_t *block = NULL;
    for (;;) {
        if (n == capacity) {
            size_t wanted = capacity == 0 ? FIRST_READ_BYTES : capacity * 2; /* below 2 * bytes_max: no overflow */
            uint8_t *larger = realloc(block, wanted);
            if (larger == NULL) {
                free(block);
                return err_set(err, ERR_MEMORY, "not enough memory to read %.200s", path);
            }
            block = larger;
            capacity = wanted;
        }
        ssize_t got = read(fd, block + n, capacity - n);
        if (got == 0)
            break;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int status = fail("read", path, err);
            free(block);
            return status;
        }
        n += (size_t)got;
        if (n > bytes_max) {
            free(block);
            return err_set(err, ERR_FILE, "%.200s is larger than %zu bytes", path, bytes_max);
        }
    }
    *bytes = block;
    *n_bytes = n;
    return 0;
}

int cli_read(uint8_t **bytes, size_t *n_bytes, const char *path, size_t bytes_max, struct err *err)
{
    assert(bytes_max < SIZE_MAX / 4);
    if (strcmp(path, "-") == 0)
        return read_all(bytes, n_bytes, STDIN_FILENO, "standard input", bytes_max, err);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail("open", path, err);
    int status = read_all(bytes, n_bytes, fd, path, bytes_max, err);
    (void)close(fd);
    return status;
}

static int write_all(int fd, const char *path, const uint8_t *bytes, size_t n_bytes, struct err *err)
{
    while (n_bytes > 0) {
        ssize_t put = write(fd, bytes, n_bytes);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return fail("write", path, err);
        bytes += put;
        n_bytes -= (size_t)put;
    }
    return 0;
}

int cli_write(const char *path, const uint8_t *bytes, size_t n_bytes, struct err *err)
{
    if (strcmp(path, "-") == 0) {
        if (isatty(STDOUT_FILENO) == 1)
            return err_set(err, ERR_FILE, "will not write binary data to a terminal: redirect it, or name a file");
        return write_all(STDOUT_FILENO, "standard output", bytes, n_bytes, err);
    }
    /* What cannot be replaced by a rename is written in place: /dev/null, a pipe. */
    struct stat there;
    bool in_place = stat(path, &there) == 0 && !S_ISREG(there.st_mode);
    if (in_place) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0)
            return fail("open", path, err);
        int status = write_all(fd, path, bytes, n_bytes, err);
        (void)close(fd);
        return status;
    }

    size_t size = strlen(path) + sizeof ".XXXXXX";
    char *beside = malloc(size);
    if (beside == NULL)
        return err_set(err, ERR_MEMORY, "not enough memory to write %.200s", path);
    (void)snprintf(beside, size, "%s.XXXXXX", path);
    int status = -1;
    int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0) {
        fail("create", path, err);
        goto out;
    }
    mode_t mask = umask(0);
    (void)umask(mask);
    if (fchmod(fd, 0666 & ~mask) != 0) /* mkstemp's 0600 is for secrets */
        fail("set the mode of", path, err);
    else if (write_all(fd, path, bytes, n_bytes, err) == 0)
        status = fsync(fd) == 0 ? 0 : fail("sync", path, err);
    if (close(fd) != 0 && status == 0)
        status = fail("close", path, err);
    if (status == 0 && rename(beside, path) != 0)
        status = fail("rename to", path, err);
    if (status != 0)
        (void)unlink(beside);
out:
    free(beside);
    return status;
}

int cli_print_json(struct json *root, struct err *err)
{
    char *text = json_print(root, true);
    json_free(root);
    if (text == NULL)
        return err_set(err, ERR_MEMORY, "not enough memory for the answer");
    (void)puts(text);
    free(text);
    return 0;
}

char *cli_hex(char text[2 * DIGEST_BYTES + 1], const uint8_t digest[DIGEST_BYTES])
{
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return text;
}

char *cli_time(char text[48], int64_t us)
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm parts;
    char date[32];
    if (gmtime_r(&seconds, &parts) == NULL || strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &parts) == 0)
        (void)snprintf(text, 48, "%lld us", (long long)us);
    else
        (void)snprintf(text, 48, "%s.%06dZ", date, (int)(us % 1000000));
    return text;
}

static void note_stop(int signal)
{
    (void)signal;
    stop_flag = 1;
}

void cli_stop_watch(void)
{
    struct sigaction action = {.sa_handler = note_stop, .sa_flags = (int)SA_RESETHAND};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

bool cli_stop(void)
{
    return stop_flag != 0;
}

const volatile sig_atomic_t *cli_stop_flag(void)
{
    return &stop_flag;
}
