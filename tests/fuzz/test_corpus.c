/* test_corpus.c - every input in tests/fuzz/corpus once more, through the targets that libFuzzer runs, in whatever build: with gcc's
 * ASan and UBSan in `make test`. What was once found to break something stays in the corpus, and so stays mended.
 *
 * FUZZ_TARGETS is the build's list of them: X(json) X(body) .., each compiled with LLVMFuzzerTestOneInput named fuzz_json and so on. */
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define X(name) int fuzz_##name(const uint8_t *bytes, size_t n_bytes);
FUZZ_TARGETS
#undef X

static const struct target {
    const char *name;
    int (*one)(const uint8_t *bytes, size_t n_bytes);
} targets[] = {
#define X(name) {#name, fuzz_##name},
    FUZZ_TARGETS
#undef X
};

static char path[300]; /* of the input that is being tried */

/* Says which one it was. */
static void tell(void)
{
    (void)!write(STDERR_FILENO, path, strnlen(path, sizeof path));
    (void)!write(STDERR_FILENO, " broke it\n", 10);
}

static void aborted(int number)
{
    tell();
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

/* The sanitizers' own, where there is one: they do not abort. */
void __sanitizer_set_death_callback(void (*callback)(void)) /* NOLINT(cert-dcl51-cpp): its name */
    __attribute__((weak));

static uint8_t *read_all(size_t *n_bytes)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ck_assert_msg(fd >= 0 && fstat(fd, &status) == 0, "%s", path);
    *n_bytes = (size_t)status.st_size;
    uint8_t *bytes = malloc(*n_bytes > 0 ? *n_bytes : 1);
    ck_assert_ptr_nonnull(bytes);
    ck_assert_int_eq(read(fd, bytes, *n_bytes), status.st_size);
    (void)close(fd);
    return bytes;
}

START_TEST(every_input_of_the_corpus_is_taken_or_refused_in_words)
{
    const struct target *target = &targets[_i];
    unsigned n = 0;
    char folder[128];
    (void)signal(SIGABRT, aborted);
    if (__sanitizer_set_death_callback != NULL)
        __sanitizer_set_death_callback(tell);
    (void)snprintf(folder, sizeof folder, "tests/fuzz/corpus/%s", target->name);
    DIR *dir = opendir(folder);
    ck_assert_msg(dir != NULL, "%s is not there", folder);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        size_t n_bytes;
        (void)snprintf(path, sizeof path, "%s/%.120s", folder, entry->d_name);
        uint8_t *bytes = read_all(&n_bytes);
        ck_assert_int_eq(target->one(bytes, n_bytes), 0);
        free(bytes);
        n++;
    }
    (void)closedir(dir);
    ck_assert_msg(n >= 5, "%s holds only %u inputs", folder, n);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("corpus");
    TCase *t = tcase_create("corpus");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, every_input_of_the_corpus_is_taken_or_refused_in_words, 0, sizeof targets / sizeof *targets);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
