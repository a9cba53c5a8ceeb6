/* io.c - see cli/io.h */
#include "server/cli/io.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/sqlite/file.h"

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
                return err_memory(err, "reading %.200s", path);
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

static bool is_stdout(const struct stat *there)
{
    struct stat out;
    return fstat(STDOUT_FILENO, &out) == 0 && out.st_dev == there->st_dev && out.st_ino == there->st_ino;
}

int cli_output_open(struct cli_output *out, const char *name, bool force, struct err *err)
{
    struct stat there;
    const bool found = strcmp(name, "-") != 0 && stat(name, &there) == 0;
    *out = (struct cli_output){.name = name, .force = force};
    if (strcmp(name, "-") == 0 || (found && is_stdout(&there))) {
        if (isatty(STDOUT_FILENO) == 1)
            return err_set(err, ERR_FILE, "will not write binary data to a terminal: redirect it, or name a file");
        return 0;
    }
    out->in_place = found && !S_ISREG(there.st_mode);
    out->path = found && !out->in_place ? realpath(name, NULL) : strdup(name);
    if (out->path == NULL)
        return fail("find", name, err);
    if (out->in_place)
        return 0;
    if (file_check_no_database(out->path, err) != 0)
        return -1;
    if (!force && lstat(name, &there) == 0)
        return err_set(err, ERR_CONFLICT, "%.200s exists already: overwrite it with --force, or give another name",
                       name);
    return 0;
}

void cli_output_fini(struct cli_output *out)
{
    free(out->path);
    *out = (struct cli_output){0};
}

static int write_to(const char *path, const uint8_t *bytes, size_t n_bytes, bool sync, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return fail("open", path, err);
    int status = write_all(fd, path, bytes, n_bytes, err);
    if (status == 0 && sync && fsync(fd) != 0)
        status = fail("sync", path, err);
    if (close(fd) != 0 && status == 0)
        status = fail("close", path, err);
    return status;
}

int cli_output_write(const struct cli_output *out, const uint8_t *bytes, size_t n_bytes, struct err *err)
{
    if (out->path == NULL)
        return write_all(STDOUT_FILENO, "standard output", bytes, n_bytes, err);
    if (out->in_place)
        return write_to(out->path, bytes, n_bytes, false, err);
    char *temporary = file_temporary(out->path, err);
    int status = temporary == NULL ? -1 : write_to(temporary, bytes, n_bytes, true, err);
    if (status == 0)
        status = file_publish(temporary, out->path, out->force, err);
    if (status == 0)
        status = file_sync_directory(out->path, err);
    else if (temporary != NULL)
        file_remove(temporary);
    free(temporary);
    /* What the store says of its own files, about one that is none of them. */
    if (status != 0 && err != NULL && err->code != ERR_CONFLICT && err->code != ERR_MEMORY)
        err->code = ERR_FILE;
    return status;
}

void cli_say(FILE *out, const char *format, ...)
{
    char line[CLI_SAY_BYTES];
    const size_t n = strlen(format);
    const bool ends = n > 0 && format[n - 1] == '\n';
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (length > 0 && ends && (size_t)length < sizeof line)
        line[length - 1] = '\0';
    one_line(line);
    (void)fputs(line, out);
    if (ends)
        (void)fputc('\n', out);
}

int cli_json(struct json **root, struct text *text, struct err *err)
{
    *root = NULL;
    if (text->failed)
        err_memory(err, "the response");
    else
        *root = json_parse(text->bytes, text->n, err);
    text_free(text);
    return *root != NULL ? 0 : -1;
}

int cli_print_json(struct json *root, struct err *err)
{
    char *text = json_print(root);
    json_free(root);
    if (text == NULL)
        return err_memory(err, "the response");
    for (const char *at = text; *at != '\0';) {
        uint32_t code;
        /* Those below are blanks between members; in a text they are escaped already. */
        const size_t n = (unsigned char)*at < ' ' ? 0 : control_bytes(&code, at);
        if (n > 0)
            cli_say(stdout, "\\u%04x", code);
        else
            (void)fputc(*at, stdout);
        at += n > 0 ? n : 1;
    }
    (void)fputc('\n', stdout);
    free(text);
    return 0;
}

int cli_print_object(struct json_writer *json, struct err *err)
{
    struct json *root = NULL;
    json_write_end(json);
    return cli_json(&root, json->text, err) == 0 ? cli_print_json(root, err) : -1;
}

double cli_fixed9(double number)
{
    return floor(number * 1e9 + 0.5) / 1e9;
}

char *cli_hex(char text[2 * DIGEST_BYTES + 1], const uint8_t digest[DIGEST_BYTES])
{
    text_print_hex(text, digest, DIGEST_BYTES);
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
