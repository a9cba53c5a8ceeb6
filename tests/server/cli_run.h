/* cli_run.h - runs the real convd in a folder of the test's own, and says what it printed and how it ended.
 *
 * The binary is $CONVD, or the convd beside the tests' folder: build/tests/server/test_x -> build/convd.
 */
#ifndef CONVD_TESTS_CLI_RUN_H
#define CONVD_TESTS_CLI_RUN_H

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/common/json.h"

#define OUTPUT_BYTES (256 * 1024)

static char convd[PATH_MAX];
static char work_folder[64];
static int exit_code;
static char output[OUTPUT_BYTES], errors[OUTPUT_BYTES];
static size_t n_output; /* output may be binary */

/* Called in main(). */
static inline void find_convd(const char *argv0)
{
    const char *given = getenv("CONVD");
    char self[PATH_MAX];
    char beside[PATH_MAX + 32];
    if (realpath(argv0, self) == NULL)
        abort();
    (void)snprintf(beside, sizeof beside, "%s/../../convd", dirname(self));
    if (realpath(given != NULL ? given : beside, convd) == NULL)
        (void)snprintf(convd, sizeof convd, "%.4000s", given != NULL ? given : beside);
    if (access(convd, X_OK) != 0) {
        (void)fprintf(stderr, "%s is not there: make it, or set CONVD\n", convd);
        exit(EXIT_FAILURE);
    }
}

/* The working directory of each test is its own folder, empty. */
static inline void enter_folder(void)
{
    (void)snprintf(work_folder, sizeof work_folder, "/tmp/convd-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(work_folder));
    ck_assert_int_eq(chdir(work_folder), 0);
}

static inline void remove_tree(const char *path)
{
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder != NULL && (entry = readdir(folder)) != NULL;) {
        char inner[PATH_MAX];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        (void)snprintf(inner, sizeof inner, "%.2000s/%s", path, entry->d_name);
        if (unlink(inner) != 0)
            remove_tree(inner);
    }
    if (folder != NULL)
        (void)closedir(folder);
    (void)rmdir(path);
}

static inline void leave_folder(void)
{
    ck_assert_int_eq(chdir("/"), 0);
    remove_tree(work_folder);
}

static inline size_t slurp(char *text, const char *path)
{
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s", path);
    size_t n = fread(text, 1, OUTPUT_BYTES - 1, file);
    text[n] = '\0';
    (void)fclose(file);
    return n;
}

/* await - looks a hundred times a second until the condition holds, for at most two minutes. */
#define AWAIT(condition)                                                                                               \
    do {                                                                                                               \
        for (int tries = 0; !(condition) && tries < 12000; tries++)                                                    \
            (void)usleep(10000);                                                                                       \
        ck_assert(condition);                                                                                          \
    } while (0)

/* The line that convd says first has been written to that file. */
static inline bool has_line(const char *path)
{
    return access(path, R_OK) == 0 && slurp(output, path) > 0 && strchr(output, '\n') != NULL;
}

static inline off_t length_of(const char *path)
{
    struct stat found;
    return stat(path, &found) == 0 ? found.st_size : 0;
}

/* Starts convd with those arguments (ended by NULL), its output in the files "stdout" and "stderr". */
static inline pid_t start(const char *const *arguments)
{
    (void)unlink("stdout"); /* what an earlier one said */
    (void)unlink("stderr");
    pid_t pid = fork();
    if (pid != 0) {
        ck_assert_int_gt(pid, 0); /* not in the child: libcheck's messages of two processes would get mixed up */
        return pid;
    }
    char *argv[64] = {convd};
    for (size_t i = 0; i < 62 && arguments[i] != NULL; i++)
        argv[i + 1] = strdup(arguments[i]);
    int out = open("stdout", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int problems = open("stderr", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (out < 0 || problems < 0 || dup2(out, STDOUT_FILENO) < 0 || dup2(problems, STDERR_FILENO) < 0)
        _exit(127);
    (void)execv(convd, argv);
    _exit(127);
}

/* Waits for it: exit_code (128 + n for a signal n), output, errors. */
static inline int finish(pid_t pid)
{
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    n_output = slurp(output, "stdout");
    (void)slurp(errors, "stderr");
    return exit_code;
}

#define ARGUMENTS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define RUN(...)       finish(start(ARGUMENTS(__VA_ARGS__)))

/* RUN that must work. */
#define WORKS(...)                                                                                                     \
    do {                                                                                                               \
        int code_ = RUN(__VA_ARGS__);                                                                                  \
        ck_assert_msg(code_ == 0, "exit code %d: %s", code_, errors);                                                  \
    } while (0)

/* RUN that must end with that code and say those words on stderr. */
#define FAILS(code, words, ...)                                                                                        \
    do {                                                                                                               \
        int code_ = RUN(__VA_ARGS__);                                                                                  \
        ck_assert_msg(code_ == (code), "exit code %d: %s", code_, errors);                                             \
        ck_assert_msg(strstr(errors, (words)) != NULL, "\"%s\" does not say \"%s\"", errors, (words));                 \
    } while (0)

/* The output as JSON, for json_free(). */
static inline struct json *output_json(void)
{
    struct err err = {0};
    struct json *root = json_parse(output, n_output, &err);
    ck_assert_msg(root != NULL, "%s in: %s", err.text, output);
    return root;
}

static inline double output_number(const char *name)
{
    struct json *root = output_json();
    const struct json *member = json_get(root, name);
    ck_assert_msg(member != NULL && json_type(member) == JSON_NUMBER, "no number %s in %s", name, output);
    double number = json_number(member);
    json_free(root);
    return number;
}

/* Copies a string member of the output. */
static inline void output_string(char *text, size_t size, const char *name)
{
    struct json *root = output_json();
    const char *string = json_string(json_get(root, name));
    ck_assert_msg(string != NULL, "no string %s in %s", name, output);
    (void)snprintf(text, size, "%s", string);
    json_free(root);
}

/* ---- a data set that can be learned: bright bars on dark noise ---- */

#define SIDE ((size_t)8)

static inline void write_file(const char *name, const uint8_t *bytes, size_t n)
{
    FILE *file = fopen(name, "wb");
    ck_assert_msg(file != NULL, "%s", name);
    ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
    ck_assert_int_eq(fclose(file), 0);
}

static inline uint32_t noise(uint32_t *state)
{
    *state = *state * 1664525U + 1013904223U;
    return *state >> 24;
}

/* Class 0: a vertical bar, 1: a horizontal one, 2: a diagonal. */
static inline void draw(uint8_t image[SIDE * SIDE], unsigned class_index, uint32_t *state)
{
    unsigned at = noise(state) % (unsigned)SIDE;
    for (unsigned y = 0; y < SIDE; y++)
        for (unsigned x = 0; x < SIDE; x++) {
            bool ink = class_index == 0 ? x == at : class_index == 1 ? y == at : x == y;
            image[y * SIDE + x] = (uint8_t)(ink ? 255 : noise(state) % 64);
        }
}

static inline void put_u32(uint8_t *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* images.idx and labels.idx, or with another prefix: n images of classes 0, 1, 2, 0, .. */
static inline void write_idx(const char *prefix, uint32_t n, uint32_t seed)
{
    size_t n_images = 16 + (size_t)n * SIDE * SIDE;
    uint8_t *images = calloc(1, n_images);
    uint8_t *labels = calloc(1, 8 + n);
    char name[64];
    ck_assert(images != NULL && labels != NULL);
    put_u32(images, 0x803);
    put_u32(images + 4, n);
    put_u32(images + 8, (uint32_t)SIDE);
    put_u32(images + 12, (uint32_t)SIDE);
    put_u32(labels, 0x801);
    put_u32(labels + 4, n);
    for (uint32_t i = 0; i < n; i++) {
        draw(images + 16 + (size_t)i * SIDE * SIDE, i % 3, &seed);
        labels[8 + i] = (uint8_t)(i % 3);
    }
    (void)snprintf(name, sizeof name, "%simages.idx", prefix);
    write_file(name, images, n_images);
    (void)snprintf(name, sizeof name, "%slabels.idx", prefix);
    write_file(name, labels, 8 + n);
    free(images);
    free(labels);
}

/* One step a sample, of the image as it is: what a test can count. */
#define PLAIN                                                                                                          \
    "--normalize", "none", "--rehearsal", "0", "--rehearsal-idle", "0", "--jitter", "0", "--rotation", "0",            \
        "--decay-steps", "60000", "--output-rate", "1", "--imprint", "0"

#define SMALL                                                                                                          \
    "--width", "8", "--height", "8", "--kernels", "4", "--kernel-width", "3", "--kernel-height", "3", "--hidden",      \
        "16", "--classes", "0,1,2", "--rate", "0.3", PLAIN

#endif
