/* test_cli_run.c - the real convd, offline: what it does to files, what it prints, how it ends. */
#include "tests/server/cli_run.h"

#include "server/image/file_kind.h"
#include "server/image/image.h"
#include "tests/core/run.h"

static char digest[128];

static void make_model(void)
{
    WORKS("init", "--db", "m.db", SMALL);
}

static void make_trained(void)
{
    make_model();
    write_idx("", 600, 1);
    WORKS("train", "--db", "m.db", "images.idx", "labels.idx", "--quiet");
}

static void digest_of(const char *path)
{
    WORKS("verify", "--db", path, "--json", "--quiet");
    output_string(digest, sizeof digest, "digest");
}

static void write_png(const char *name, unsigned class_index, uint32_t seed)
{
    uint8_t image[SIDE * SIDE];
    uint8_t *png = NULL;
    size_t n = 0;
    draw(image, class_index, &seed);
    ck_assert_int_eq(image_encode_png(&png, &n, image, (uint32_t)SIDE, (uint32_t)SIDE, 1, NULL), 0);
    write_file(name, png, n);
    free(png);
}

/* ---- the program as such ---- */

START_TEST(without_a_verb_the_usage_is_told_on_stderr)
{
    const char *const none[] = {NULL};
    ck_assert_int_eq(finish(start(none)), 2);
    ck_assert_ptr_nonnull(strstr(errors, "usage: convd VERB"));
    ck_assert_str_eq(output, "");
}
END_TEST

START_TEST(help_and_version_are_results)
{
    WORKS("--help");
    ck_assert_ptr_nonnull(strstr(output, "exit codes: 0 done"));
    ck_assert_ptr_nonnull(strstr(output, "convd serve"));
    WORKS("--version");
    ck_assert_ptr_nonnull(strstr(output, "convd "
                                         "0.1.0"));
    WORKS("help", "train");
    ck_assert_ptr_nonnull(strstr(output, "usage: convd train [FLAGS] [IMAGES.idx LABELS.idx | FOLDER]"));
    FAILS(2, "unknown verb \"trian\"", "help", "trian");
}
END_TEST

START_TEST(every_verb_explains_itself_with_defaults_and_examples)
{
    static const char *const verbs[] = {"serve",    "init",   "train",     "predict",
                                        "evaluate", "export", "snapshots", "verify"};
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        WORKS(verbs[i], "--help");
        ck_assert_msg(strstr(output, "examples:\n  convd ") != NULL, "%s", verbs[i]);
        ck_assert_msg(strstr(output, "(default convd.db)") != NULL, "%s", verbs[i]);
        ck_assert_str_eq(errors, "");
    }
    WORKS("init", "--help");
    ck_assert_ptr_nonnull(strstr(output, "(default 28)"));
    ck_assert_ptr_nonnull(strstr(output, "(default diagonal)"));
}
END_TEST

START_TEST(a_wrong_command_line_is_one_line_and_a_hint)
{
    FAILS(2, "convd train: unknown flag --colour\nsee: convd train --help\n", "train", "--colour");
    FAILS(2, "convd: unknown verb \"fly\"\nsee: convd --help\n", "fly");
    FAILS(2, "convd: unknown flag \"--fly\"", "--fly");
    FAILS(2, "the input is missing", "train", "--db", "m.db");
    FAILS(2, "unexpected operand \"c\"", "train", "a", "b", "c");
    FAILS(2, "--rate: rate is fast", "init", "--rate", "fast");
    FAILS(2, "--kernels is \"-1\"", "init", "--kernels", "-1");
    FAILS(2, "--db and --url", "evaluate", "--db", "m.db", "--url", "http://127.0.0.1:1", "a", "b");
    FAILS(2, "must begin with http://", "export", "--url", "127.0.0.1:8080", "--safetensors", "x");
    FAILS(2, "nothing to write", "export", "--db", "m.db");
    FAILS(2, "not one of list, take, pin ID, unpin ID, drop ID, activate ID", "snapshots", "burn");
    FAILS(2, "drop takes the id", "snapshots", "drop");
    FAILS(2, "pin takes the id", "snapshots", "pin");
    FAILS(2, "\"x\" is not a snapshot id", "snapshots", "activate", "x");
    FAILS(2, "this machine can run:", "verify", "--arith", "abacus", "--db", "m.db");
}
END_TEST

START_TEST(an_output_that_cannot_be_written_is_a_failure)
{
    make_model();
    pid_t pid = fork();
    if (pid == 0) {
        int full = open("/dev/full", O_WRONLY);
        char *argv[] = {convd, strdup("--help"), NULL};
        if (full < 0 || dup2(full, STDOUT_FILENO) < 0)
            _exit(127);
        (void)execv(convd, argv);
        _exit(127);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(WEXITSTATUS(status), 1);
}
END_TEST

/* ---- init ---- */

START_TEST(init_makes_the_default_model)
{
    WORKS("init", "--db", "m.db", "--json");
    ck_assert_double_eq(output_number("width"), 28);
    ck_assert_double_eq(output_number("kernels"), 16);
    ck_assert_double_eq(output_number("kernel_width"), 5);
    ck_assert_double_eq(output_number("hidden"), 128);
    ck_assert_double_eq(output_number("seed"), 42);
    ck_assert_double_eq(output_number("revision"), 1);
    ck_assert_double_eq(output_number("parameters"), 16 * 25 + 576 * 128 + 128 * 10);
    output_string(digest, sizeof digest, "digest");
    char verified[128];
    WORKS("verify", "--db", "m.db", "--json");
    output_string(verified, sizeof verified, "digest");
    ck_assert_str_eq(digest, verified);
}
END_TEST

START_TEST(the_contract_s_command_line_for_init_is_taken)
{
    WORKS("init", "--db", "m.db", "--width", "28", "--height", "28", "--channels", "1", "--kernels", "16",
          "--kernel-width", "5", "--kernel-height", "5", "--stride", "1", "--hidden", "128", "--classes",
          "0,1,2,3,4,5,6,7,8,9", "--gradient", "diagonal", "--rate", "0.05", "--mean", "0.13", "--seed", "42");
    ck_assert_ptr_nonnull(strstr(output, "input 28 x 28 x 1, 16 kernels of 5 x 5"));
}
END_TEST

START_TEST(another_seed_is_another_model_and_the_same_seed_the_same)
{
    char first[128];
    WORKS("init", "--db", "a.db", SMALL, "--json");
    output_string(first, sizeof first, "digest");
    WORKS("init", "--db", "b.db", SMALL, "--json");
    output_string(digest, sizeof digest, "digest");
    ck_assert_str_eq(first, digest);
    WORKS("init", "--db", "c.db", SMALL, "--json", "--seed", "43");
    output_string(digest, sizeof digest, "digest");
    ck_assert_str_ne(first, digest);
}
END_TEST

START_TEST(init_does_not_touch_an_existing_file)
{
    make_model();
    digest_of("m.db");
    char before[128];
    (void)snprintf(before, sizeof before, "%s", digest);
    FAILS(1, "m.db", "init", "--db", "m.db", SMALL, "--seed", "7");
    digest_of("m.db");
    ck_assert_str_eq(before, digest);
}
END_TEST

START_TEST(init_refuses_geometry_that_makes_no_network)
{
    FAILS(2, "kernel_width is 9", "init", "--db", "m.db", SMALL, "--kernel-width", "9");
    FAILS(2, "parameters", "init", "--db", "m.db", "--width", "4096", "--height", "4096", "--hidden", "16384");
    ck_assert_int_ne(access("m.db", F_OK), 0);
}
END_TEST

START_TEST(init_refuses_labels_that_are_none)
{
    FAILS(2, "label 2", "init", "--db", "m.db", "--classes", "a,,b");
    FAILS(2, "label 1", "init", "--db", "m.db", "--classes", " a,b");
    FAILS(2, "a", "init", "--db", "m.db", "--classes", "a,b,a");
    FAILS(2, "--classes is empty", "init", "--db", "m.db", "--classes", "");
    FAILS(2, "--class: label 2", "init", "--db", "m.db", "--class", "a", "--class", " b");
    FAILS(2, "two classes have the label", "init", "--db", "m.db", "--class", "a,b", "--class", "a,b");
    FAILS(2, "--classes, --class and --no-classes exclude each other", "init", "--db", "m.db", "--class", "a",
          "--classes", "b,c");
    ck_assert_int_ne(access("m.db", F_OK), 0);
}
END_TEST

/* ---- train, evaluate, verify ---- */

START_TEST(train_learns_and_says_so)
{
    make_model();
    write_idx("", 600, 1);
    WORKS("train", "--db", "m.db", "images.idx", "labels.idx", "--json");
    ck_assert_double_eq(output_number("samples"), 600);
    ck_assert_double_eq(output_number("step"), 600);
    ck_assert_double_gt(output_number("accuracy"), 0.6);
    write_idx("t-", 150, 2);
    WORKS("evaluate", "--db", "m.db", "t-images.idx", "t-labels.idx", "--json");
    ck_assert_double_gt(output_number("accuracy"), 0.9);
    ck_assert_double_eq(output_number("samples"), 150);
    double errors_told = output_number("errors");
    ck_assert_double_eq_tol(output_number("accuracy"), 1 - errors_told / 150, 1e-6);
}
END_TEST

START_TEST(evaluate_s_confusion_adds_up_and_changes_nothing)
{
    make_trained();
    digest_of("m.db");
    WORKS("evaluate", "--db", "m.db", "images.idx", "labels.idx", "--json");
    struct json *root = output_json();
    ck_assert_str_eq(json_string(json_get(root, "digest")), digest);
    double sum = 0;
    double diagonal = 0;
    size_t i = 0;
    for (const struct json *row = json_first(json_get(root, "confusion")); row != NULL; row = json_next(row), i++) {
        size_t j = 0;
        double of_row = 0;
        for (const struct json *n = json_first(row); n != NULL; n = json_next(n), j++) {
            of_row += json_number(n);
            diagonal += i == j ? json_number(n) : 0;
        }
        ck_assert_double_eq(of_row, 200);
        sum += of_row;
    }
    ck_assert_double_eq(sum, 600);
    ck_assert_double_eq(600 - diagonal, json_number(json_get(root, "errors")));
    json_free(root);
    char before[128];
    (void)snprintf(before, sizeof before, "%s", digest);
    digest_of("m.db");
    ck_assert_str_eq(before, digest);
}
END_TEST

START_TEST(evaluate_s_table_is_aligned)
{
    make_trained();
    WORKS("evaluate", "--db", "m.db", "images.idx", "labels.idx");
    ck_assert_ptr_nonnull(strstr(output, "accuracy "));
    const char *heading = strstr(output, "label ");
    ck_assert_ptr_nonnull(heading);
    size_t width = strcspn(heading, "\n");
    for (int row = 0; row < 3; row++) {
        heading += strcspn(heading, "\n") + 1;
        ck_assert_uint_eq(strcspn(heading, "\n"), width + 1); /* "found" is a character shorter than "100.0 %" */
    }
}
END_TEST

START_TEST(batches_do_not_change_what_is_learned)
{
    char whole[128];
    make_trained();
    digest_of("m.db");
    (void)snprintf(whole, sizeof whole, "%s", digest);
    WORKS("init", "--db", "n.db", SMALL);
    WORKS("train", "--db", "n.db", "images.idx", "labels.idx", "--batch", "7");
    digest_of("n.db");
    ck_assert_str_eq(whole, digest);
}
END_TEST

START_TEST(limit_takes_the_first_images)
{
    make_model();
    write_idx("", 600, 1);
    WORKS("train", "--db", "m.db", "images.idx", "labels.idx", "--limit", "100", "--json");
    ck_assert_double_eq(output_number("samples"), 100);
    WORKS("verify", "--db", "m.db", "--json");
    ck_assert_double_eq(output_number("samples"), 100);
}
END_TEST

START_TEST(later_passes_rehearse_and_the_log_proves_it)
{
    make_model();
    write_idx("", 300, 1);
    WORKS("train", "--db", "m.db", "images.idx", "labels.idx", "--passes", "3", "--rate", "0.2", "--decay", "0.5",
          "--json");
    ck_assert_double_eq(output_number("passes"), 3);
    ck_assert_double_eq(output_number("steps"), 900);
    ck_assert_double_eq(output_number("step"), 900);
    WORKS("verify", "--db", "m.db", "--json");
    ck_assert_double_eq(output_number("samples"), 300);
    ck_assert_double_eq(output_number("step"), 900);
    WORKS("init", "--db", "n.db", SMALL, "--json");
    WORKS("export", "--db", "m.db", "--safetensors", "m.safetensors");
    WORKS("init", "--db", "o.db", "--from", "m.safetensors", "--json");
    ck_assert_double_eq_tol(output_number("rate"), 0.05, 1e-6); /* 0.2 x 0.5 x 0.5: it stays */
}
END_TEST

START_TEST(unknown_labels_are_named_and_can_be_added)
{
    WORKS("init", "--db", "m.db", SMALL, "--classes", "0,x");
    write_idx("", 60, 1);
    FAILS(1, "unknown label \"1\", \"2\"; --add-classes adds", "train", "--db", "m.db", "images.idx", "labels.idx");
    FAILS(1, "unknown label \"1\", \"2\"", "evaluate", "--db", "m.db", "images.idx", "labels.idx");
    WORKS("train", "--db", "m.db", "images.idx", "labels.idx", "--add-classes");
    WORKS("evaluate", "--db", "m.db", "images.idx", "labels.idx", "--json");
    ck_assert_ptr_nonnull(strstr(output, "\"x\""));
    WORKS("verify", "--db", "m.db");
}
END_TEST

START_TEST(verify_agrees_on_every_instruction_set)
{
    make_trained();
    digest_of("m.db");
    WORKS("verify", "--db", "m.db", "--json", "--arith", "portable");
    char other[128];
    output_string(other, sizeof other, "digest");
    ck_assert_str_eq(digest, other);
}
END_TEST

/* A model so slow that 60,000 images take seconds, and its log growing: the moment to disturb. */
static pid_t start_long_training(const char *passes)
{
    WORKS("init", "--db", "m.db", "--width", "8", "--height", "8", "--hidden", "4096", "--classes", "0,1,2", PLAIN);
    write_idx("", 60000, 1);
    pid_t pid =
        start(ARGUMENTS("train", "--db", "m.db", "images.idx", "labels.idx", "--passes", passes, "--json", "--quiet"));
    AWAIT(length_of("m.db-wal") >= 100000);
    return pid;
}

START_TEST(an_interrupt_keeps_what_was_learned_and_says_so)
{
    pid_t pid = start_long_training("1000");
    ck_assert_int_eq(kill(pid, SIGINT), 0);
    ck_assert_int_eq(finish(pid), 130);
    double samples = output_number("samples");
    ck_assert(samples > 0 && samples < 60000);
    ck_assert_double_eq(output_number("step"), samples);
    ck_assert_ptr_nonnull(strstr(output, "\"interrupted\":"));
    WORKS("verify", "--db", "m.db", "--json", "--quiet");
    ck_assert_double_eq(output_number("samples"), samples);
    ck_assert_double_eq(output_number("step"), samples);
}
END_TEST

#define REHEARSED (COARSE ? 200 : 600) /* images */

/* Of which a pass takes a while: interrupts and kills meet a rehearsal. */
static pid_t start_long_rehearsal(void)
{
    WORKS("init", "--db", "m.db", "--width", "8", "--height", "8", "--hidden", "4096", "--classes", "0,1,2", PLAIN);
    write_idx("", REHEARSED, 1);
    WORKS("train", "--db", "m.db", "images.idx", "labels.idx");
    pid_t pid = start(ARGUMENTS("train", "--db", "m.db", "--passes", "10000", "--decay", "0.9999", "--json"));
    AWAIT(length_of("m.db-wal") > 0); /* the first commit: a chunk */
    return pid;
}

START_TEST(an_interrupted_rehearsal_keeps_the_chunks_that_were_done)
{
    pid_t pid = start_long_rehearsal();
    ck_assert_int_eq(kill(pid, SIGTERM), 0);
    ck_assert_int_eq(finish(pid), 130);
    double steps = output_number("steps");
    ck_assert(steps > 0 && steps < 10000 * REHEARSED);
    ck_assert_double_eq(output_number("rehearsed"), REHEARSED);
    ck_assert_double_eq(output_number("step"), REHEARSED + steps);
    WORKS("verify", "--db", "m.db", "--json", "--quiet");
    ck_assert_double_eq(output_number("step"), REHEARSED + steps);
    ck_assert_double_eq(output_number("samples"), REHEARSED);
}
END_TEST

START_TEST(a_kill_in_a_rehearsal_leaves_whole_chunks_that_verify)
{
    pid_t pid = start_long_rehearsal();
    (void)usleep(300000);
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(finish(pid), 128 + SIGKILL);
    WORKS("verify", "--db", "m.db", "--json", "--quiet");
    double step = output_number("step");
    ck_assert_double_gt(step, REHEARSED);
    WORKS("train", "--db", "m.db", "--passes", "1", "--json");
    ck_assert_double_eq(output_number("step"), step + REHEARSED);
    WORKS("verify", "--db", "m.db");
}
END_TEST

START_TEST(without_files_all_that_was_learned_is_rehearsed)
{
    make_model();
    write_idx("", 300, 1);
    FAILS(1, "there is nothing to rehearse", "train", "--db", "m.db", "--passes", "2");
    WORKS("train", "--db", "m.db", "images.idx", "labels.idx", "--limit", "200");
    WORKS("train", "--db", "m.db", "images.idx", "labels.idx", "--limit", "100");
    WORKS("train", "--db", "m.db", "--passes", "3", "--json");
    ck_assert_double_eq(output_number("samples"), 0);
    ck_assert_double_eq(output_number("rehearsed"), 300);
    ck_assert_double_eq(output_number("passes"), 3);
    ck_assert_double_eq(output_number("steps"), 900);
    ck_assert_double_eq(output_number("step"), 1200);
    ck_assert_ptr_null(strstr(output, "\"accuracy\""));
    WORKS("train", "--db", "m.db", "--passes", "1");
    ck_assert_ptr_nonnull(strstr(output, "rehearsed 300 images, 1 pass,"));
    WORKS("verify", "--db", "m.db");
}
END_TEST

START_TEST(without_files_what_is_for_files_is_refused)
{
    make_trained();
    FAILS(2, "the input is missing", "train", "--db", "m.db");
    FAILS(2, "--limit, --batch, --add-classes, --flat and --strict need images", "train", "--db", "m.db", "--passes",
          "2", "--limit", "5");
    FAILS(2, "--limit, --batch, --add-classes, --flat and --strict need images", "train", "--db", "m.db", "--passes",
          "2", "--add-classes");
    FAILS(2, "--limit, --batch, --add-classes, --flat and --strict need images", "train", "--db", "m.db", "--passes",
          "2", "--strict");
}
END_TEST

START_TEST(only_the_images_of_this_run_are_rehearsed_after_it)
{
    make_model();
    write_idx("", 300, 1);
    WORKS("train", "--db", "m.db", "images.idx", "labels.idx", "--limit", "200");
    WORKS("train", "--db", "m.db", "images.idx", "labels.idx", "--limit", "50", "--passes", "3", "--json");
    ck_assert_double_eq(output_number("rehearsed"), 50);
    ck_assert_double_eq(output_number("steps"), 150);
    ck_assert_double_eq(output_number("step"), 350);
    WORKS("verify", "--db", "m.db", "--json");
    ck_assert_double_eq(output_number("samples"), 250);
}
END_TEST

START_TEST(jitter_and_rotation_change_what_is_rehearsed_and_nothing_else)
{
    static const char *const flags[] = {"--jitter", "--rotation"};
    char plain[128], other[128];
    write_idx("", 100, 1);
    for (int i = -1; i < 2; i++) {
        (void)unlink("m.db");
        make_model();
        WORKS("train", "--db", "m.db", "images.idx", "labels.idx", "--passes", "2", i < 0 ? "--json" : flags[i],
              i < 0 ? "--quiet" : "8", "--json");
        ck_assert_double_eq(output_number("steps"), 200);
        digest_of("m.db");
        (void)snprintf(i < 0 ? plain : other, sizeof plain, "%s", digest);
        if (i >= 0)
            ck_assert_str_ne(plain, other);
    }
    FAILS(2, "--jitter is \"17\", but must be a number from 0 to 16", "train", "--db", "m.db", "--passes", "2",
          "--jitter", "17");
}
END_TEST

START_TEST(a_kill_leaves_whole_events_that_verify)
{
    pid_t pid = start_long_training("1");
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(finish(pid), 128 + SIGKILL);
    WORKS("verify", "--db", "m.db", "--json", "--quiet");
    double samples = output_number("samples");
    ck_assert(samples > 0 && samples < 60000);
    ck_assert_double_eq(output_number("step"), samples);
    WORKS("train", "--db", "m.db", "images.idx", "labels.idx", "--limit", "10", "--json");
    ck_assert_double_eq(output_number("step"), samples + 10);
}
END_TEST

/* ---- predict, export, init --from, snapshots ---- */

START_TEST(predict_names_what_a_picture_shows)
{
    make_trained();
    write_png("bar.png", 0, 9);
    write_png("line.png", 1, 9);
    WORKS("predict", "--db", "m.db", "bar.png", "line.png");
    ck_assert_msg(strncmp(output, "bar.png: 0 0.", 13) == 0, "%s", output);
    ck_assert_msg(strstr(output, "\nline.png: 1 0.") != NULL, "%s", output);
    WORKS("predict", "--db", "m.db", "bar.png", "--top", "3", "--json");
    struct json *root = output_json();
    const struct json *first = json_first(json_get(root, "predictions"));
    ck_assert_str_eq(json_string(json_get(first, "label")), "0");
    ck_assert_uint_eq(json_length(json_get(first, "probabilities")), 3);
    ck_assert_double_gt(json_number(json_get(root, "revision")), 1);
    json_free(root);
}
END_TEST

START_TEST(one_bad_picture_is_told_and_the_others_predicted)
{
    make_trained();
    write_png("bar.png", 0, 9);
    write_file("text.png", (const uint8_t *)"hello", 5);
    FAILS(1, "text.png", "predict", "--db", "m.db", "text.png", "bar.png", "absent.png");
    ck_assert_ptr_nonnull(strstr(errors, "absent.png"));
    ck_assert_msg(strncmp(output, "bar.png: 0 ", 11) == 0, "%s", output);
}
END_TEST

START_TEST(what_is_exported_makes_an_equal_model)
{
    make_trained();
    WORKS("export", "--db", "m.db", "--safetensors", "m.safetensors");
    WORKS("evaluate", "--db", "m.db", "images.idx", "labels.idx", "--json");
    double loss = output_number("loss");
    WORKS("init", "--db", "n.db", "--from", "m.safetensors", "--json");
    ck_assert_double_eq(output_number("kernels"), 4);
    ck_assert_double_eq(output_number("hidden"), 16);
    WORKS("evaluate", "--db", "n.db", "images.idx", "labels.idx", "--json");
    ck_assert_double_eq(output_number("loss"), loss);
    WORKS("verify", "--db", "n.db");
}
END_TEST

START_TEST(export_to_stdout_is_the_file_alone)
{
    make_trained();
    WORKS("export", "--db", "m.db", "--safetensors", "m.safetensors", "--kernels", "k.png");
    static char file[OUTPUT_BYTES];
    size_t n = slurp(file, "m.safetensors");
    WORKS("export", "--db", "m.db", "--safetensors", "-", "--kernels", "k2.png");
    ck_assert_uint_eq(n, n_output);
    ck_assert_mem_eq(file, output, n);
    ck_assert_ptr_nonnull(strstr(errors, "wrote k2.png"));
    n = slurp(file, "k.png");
    ck_assert_int_eq(file_kind((const uint8_t *)file, n).format, FILE_PNG);
}
END_TEST

START_TEST(flags_beside_from_may_fill_in_but_not_contradict)
{
    make_trained();
    WORKS("export", "--db", "m.db", "--safetensors", "m.safetensors");
    FAILS(2, "--kernels is 8, but the file's is 4", "init", "--db", "n.db", "--from", "m.safetensors", "--kernels",
          "8");
    FAILS(2, "--width is 9, but the file's is 8", "init", "--db", "n.db", "--from", "m.safetensors", "--width", "9");
    FAILS(2, "--classes has 2 classes, but w12 has 3 columns", "init", "--db", "n.db", "--from", "m.safetensors",
          "--classes", "a,b");
    WORKS("init", "--db", "n.db", "--from", "m.safetensors", "--kernels", "4", "--rate", "0.01", "--gradient",
          "jacobian", "--classes", "bar,line,slope", "--json");
    ck_assert_double_eq_tol(output_number("rate"), 0.01, 1e-9);
    ck_assert_ptr_nonnull(strstr(output, "\"slope\""));
    ck_assert_ptr_nonnull(strstr(output, "\"jacobian\""));
}
END_TEST

/* w01 [36, 2], w12 [2, 3], kernels [1, 1, 3, 3] of 8 x 8: a file by others, without metadata. */
START_TEST(a_file_without_metadata_needs_the_geometry)
{
    static const char header[] = "{\"kernels\":{\"dtype\":\"F32\",\"shape\":[1,1,3,3],\"data_offsets\":[0,36]},"
                                 "\"w01\":{\"dtype\":\"F32\",\"shape\":[36,2],\"data_offsets\":[36,324]},"
                                 "\"w12\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[324,348]}}";
    static uint8_t file[8 + sizeof header - 1 + 348];
    file[0] = (uint8_t)((sizeof header - 1) & 0xFF);
    file[1] = (uint8_t)((sizeof header - 1) >> 8);
    memcpy(file + 8, header, sizeof header - 1);
    write_file("m.safetensors", file, sizeof file);
    FAILS(2, "w01 has 36 rows, but 28 x 28 with kernels of 3 x 3 and stride 1 has 676 positions", "init", "--db",
          "n.db", "--from", "m.safetensors");
    WORKS("init", "--db", "n.db", "--from", "m.safetensors", "--width", "8", "--height", "8", "--stride", "1",
          "--gradient", "jacobian", "--rate", "0.1", "--mean", "0", "--json");
    ck_assert_double_eq(output_number("hidden"), 2);
    ck_assert_double_eq(output_number("kernel_width"), 3);
    ck_assert_ptr_nonnull(strstr(output, "\"2\""));
}
END_TEST

START_TEST(snapshots_are_listed_taken_dropped_and_gone_back_to)
{
    make_model();
    digest_of("m.db");
    char fresh[128];
    (void)snprintf(fresh, sizeof fresh, "%s", digest);
    write_idx("", 90, 1);
    WORKS("train", "--db", "m.db", "images.idx", "labels.idx");
    WORKS("snapshots", "--db", "m.db", "--json");
    struct json *root = output_json();
    const struct json *list = json_get(root, "snapshots");
    ck_assert_uint_eq(json_length(list), 2);
    ck_assert_str_eq(json_string(json_get(json_first(list), "reason")), "create");
    char id[32];
    (void)snprintf(id, sizeof id, "%.0f", json_number(json_get(json_first(list), "id")));
    json_free(root);

    WORKS("snapshots", "activate", id, "--db", "m.db", "--json");
    digest_of("m.db");
    ck_assert_str_eq(fresh, digest);

    WORKS("snapshots", "take", "--db", "m.db", "--note", "why not", "--json");
    double taken = output_number("id");
    WORKS("snapshots", "list", "--db", "m.db");
    ck_assert_ptr_nonnull(strstr(output, "why not"));
    char row[64];
    (void)snprintf(row, sizeof row, "\n%6.0f  %10d  %10d  2", taken, 3, 0); /* id, revision, step, created */
    ck_assert_msg(strstr(output, row) != NULL, "no \"%s\" in %s", row, output);
    (void)snprintf(id, sizeof id, "%.0f", taken);
    WORKS("snapshots", "drop", id, "--db", "m.db");
    FAILS(1, "snapshot", "snapshots", "drop", id, "--db", "m.db");
    FAILS(1, "snapshot", "snapshots", "drop", "1", "--db", "m.db"); /* pinned */
    WORKS("verify", "--db", "m.db");
}
END_TEST

/* ---- bad files ---- */

START_TEST(a_missing_database_is_told_and_not_made)
{
    write_idx("", 30, 1);
    FAILS(3, "none.db", "train", "--db", "none.db", "images.idx", "labels.idx");
    FAILS(3, "none.db", "verify", "--db", "none.db");
    FAILS(3, "none.db", "snapshots", "--db", "none.db");
    ck_assert_int_ne(access("none.db", F_OK), 0);
}
END_TEST

START_TEST(a_file_that_is_no_database_is_told_and_left_as_it_is)
{
    static const uint8_t text[] =
        "This is not a database, but long enough to be taken for the header of one, perhaps, if "
        "nobody looked at what it says in its first sixteen bytes.";
    write_idx("", 30, 1);
    write_file("t.db", text, sizeof text);
    FAILS(3, "t.db", "evaluate", "--db", "t.db", "images.idx", "labels.idx");
    FAILS(3, "t.db", "train", "--db", "t.db", "images.idx", "labels.idx");
    FAILS(1, "t.db", "init", "--db", "t.db");
    ck_assert_uint_eq(slurp(output, "t.db"), sizeof text);
    ck_assert_mem_eq(output, text, sizeof text);
}
END_TEST

START_TEST(a_flipped_bit_is_found_by_verify)
{
    make_trained();
    static uint8_t file[4 << 20];
    FILE *in = fopen("m.db", "rb");
    ck_assert_ptr_nonnull(in);
    size_t n = fread(file, 1, sizeof file, in);
    (void)fclose(in);
    ck_assert_uint_lt(n, sizeof file);
    /* a pixel of the 300th image, wherever SQLite has put it */
    static uint8_t images[16 + 600 * SIDE * SIDE];
    in = fopen("images.idx", "rb");
    ck_assert_ptr_nonnull(in);
    ck_assert_uint_eq(fread(images, 1, sizeof images, in), sizeof images);
    (void)fclose(in);
    uint8_t *at = memmem(file, n, images + 16 + 300 * SIDE * SIDE, SIDE * SIDE);
    ck_assert_ptr_nonnull(at);
    at[5] ^= 1;
    write_file("m.db", file, n);
    FAILS(3, "convd verify:", "verify", "--db", "m.db", "--json");
    struct json *root = output_json();
    ck_assert(!json_bool(json_get(root, "ok")));
    ck_assert_str_eq(json_string(json_get(root, "code")), "database-corrupt");
    json_free(root);
}
END_TEST

START_TEST(images_that_are_truncated_or_missing_train_nothing_more)
{
    make_model();
    write_idx("", 60, 1);
    digest_of("m.db");
    char before[128];
    (void)snprintf(before, sizeof before, "%s", digest);
    ck_assert_int_eq(truncate("images.idx", (off_t)(16 + 59 * SIDE * SIDE)), 0);
    FAILS(1, "images.idx", "train", "--db", "m.db", "images.idx", "labels.idx");
    FAILS(1, "nowhere.idx", "train", "--db", "m.db", "nowhere.idx", "labels.idx");
    write_file("empty.idx", (const uint8_t *)"", 0);
    FAILS(1, "empty.idx", "train", "--db", "m.db", "empty.idx", "labels.idx");
    digest_of("m.db");
    ck_assert_str_eq(before, digest);
}
END_TEST

START_TEST(a_database_that_is_in_use_is_told_with_the_way_out)
{
    make_model();
    pid_t pid = start(ARGUMENTS("serve", "--db", "m.db", "--listen", "127.0.0.1:0"));
    AWAIT(has_line("stdout"));
    ck_assert_msg(strncmp(output, "listening on http://127.0.0.1:", 30) == 0, "%s", output);
    int waiting = RUN("verify", "--db", "m.db");
    ck_assert_int_eq(kill(pid, SIGTERM), 0);
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(waiting, 3);
    ck_assert_msg(strstr(errors, "--url") != NULL, "%s", errors);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
END_TEST

START_TEST(a_daemon_that_is_not_there_is_told_at_once)
{
    write_idx("", 30, 1);
    FAILS(4, "http://127.0.0.1:1", "train", "--url", "http://127.0.0.1:1", "images.idx", "labels.idx");
    FAILS(4, "http://127.0.0.1:1", "snapshots", "--url", "http://127.0.0.1:1/");
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc;
    find_convd(argv[0]);
    Suite *suite = suite_create("cli_run");
    TCase *program = tcase_create("program");
    tcase_add_checked_fixture(program, enter_folder, leave_folder);
    tcase_set_timeout(program, 60);
    tcase_add_test(program, without_a_verb_the_usage_is_told_on_stderr);
    tcase_add_test(program, help_and_version_are_results);
    tcase_add_test(program, every_verb_explains_itself_with_defaults_and_examples);
    tcase_add_test(program, a_wrong_command_line_is_one_line_and_a_hint);
    tcase_add_test(program, an_output_that_cannot_be_written_is_a_failure);
    suite_add_tcase(suite, program);
    TCase *init = tcase_create("init");
    tcase_add_checked_fixture(init, enter_folder, leave_folder);
    tcase_set_timeout(init, 60);
    tcase_add_test(init, init_makes_the_default_model);
    tcase_add_test(init, the_contract_s_command_line_for_init_is_taken);
    tcase_add_test(init, another_seed_is_another_model_and_the_same_seed_the_same);
    tcase_add_test(init, init_does_not_touch_an_existing_file);
    tcase_add_test(init, init_refuses_geometry_that_makes_no_network);
    tcase_add_test(init, init_refuses_labels_that_are_none);
    suite_add_tcase(suite, init);
    TCase *learning = tcase_create("learning");
    tcase_add_checked_fixture(learning, enter_folder, leave_folder);
    tcase_set_timeout(learning, 120);
    tcase_add_test(learning, train_learns_and_says_so);
    tcase_add_test(learning, evaluate_s_confusion_adds_up_and_changes_nothing);
    tcase_add_test(learning, evaluate_s_table_is_aligned);
    tcase_add_test(learning, batches_do_not_change_what_is_learned);
    tcase_add_test(learning, limit_takes_the_first_images);
    tcase_add_test(learning, later_passes_rehearse_and_the_log_proves_it);
    tcase_add_test(learning, unknown_labels_are_named_and_can_be_added);
    tcase_add_test(learning, verify_agrees_on_every_instruction_set);
    tcase_add_test(learning, an_interrupt_keeps_what_was_learned_and_says_so);
    tcase_add_test(learning, an_interrupted_rehearsal_keeps_the_chunks_that_were_done);
    tcase_add_test(learning, a_kill_in_a_rehearsal_leaves_whole_chunks_that_verify);
    tcase_add_test(learning, without_files_all_that_was_learned_is_rehearsed);
    tcase_add_test(learning, without_files_what_is_for_files_is_refused);
    tcase_add_test(learning, only_the_images_of_this_run_are_rehearsed_after_it);
    tcase_add_test(learning, jitter_and_rotation_change_what_is_rehearsed_and_nothing_else);
    tcase_add_test(learning, a_kill_leaves_whole_events_that_verify);
    suite_add_tcase(suite, learning);
    TCase *taking = tcase_create("taking");
    tcase_add_checked_fixture(taking, enter_folder, leave_folder);
    tcase_set_timeout(taking, 60);
    tcase_add_test(taking, predict_names_what_a_picture_shows);
    tcase_add_test(taking, one_bad_picture_is_told_and_the_others_predicted);
    tcase_add_test(taking, what_is_exported_makes_an_equal_model);
    tcase_add_test(taking, export_to_stdout_is_the_file_alone);
    tcase_add_test(taking, flags_beside_from_may_fill_in_but_not_contradict);
    tcase_add_test(taking, a_file_without_metadata_needs_the_geometry);
    tcase_add_test(taking, snapshots_are_listed_taken_dropped_and_gone_back_to);
    suite_add_tcase(suite, taking);
    TCase *bad = tcase_create("bad files");
    tcase_add_checked_fixture(bad, enter_folder, leave_folder);
    tcase_set_timeout(bad, 60);
    tcase_add_test(bad, a_missing_database_is_told_and_not_made);
    tcase_add_test(bad, a_file_that_is_no_database_is_told_and_left_as_it_is);
    tcase_add_test(bad, a_flipped_bit_is_found_by_verify);
    tcase_add_test(bad, images_that_are_truncated_or_missing_train_nothing_more);
    tcase_add_test(bad, a_database_that_is_in_use_is_told_with_the_way_out);
    tcase_add_test(bad, a_daemon_that_is_not_there_is_told_at_once);
    suite_add_tcase(suite, bad);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
