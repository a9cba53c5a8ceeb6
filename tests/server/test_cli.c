/* test_cli.c - the command line without a process: flags, help's tables, exit codes, progress, files. */
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/cli/client.h"
#include "server/cli/io.h"
#include "server/cli/offline.h"
#include "server/cli/progress.h"
#include "server/verbs/verbs.h"

static const struct cli_flag flags[] = {
    {FLAG_TEXT("file", "FILE", "default.db", "text")},
    {FLAG_SWITCH("json", "switch")},
    {FLAG_COUNT("top-most", "N", "3", 1, 10, "count")},
    {FLAG_BYTES("body", "N", NULL, 1, 1099511627776.0, "bytes")},
    {FLAG_NUMBER("decay", "X", NULL, 0, 1, "number")},
    {.name = "rate", .kind = CLI_SETTING, .argument = "X", .help = "setting"},
    CLI_FLAG_END,
};

static struct cli_args args;
static struct err err;
static char *vector[16];

/* Words end with NULL. The vector lives as long as the test, since args borrows from it. */
static int parse(bool environment, const char *const *words)
{
    int argc = 0;
    for (char **word = vector; *word != NULL; word++)
        free(*word);
    vector[argc++] = strdup("verb");
    for (; *words != NULL; words++)
        vector[argc++] = strdup(*words);
    vector[argc] = NULL;
    err = (struct err){0};
    return cli_parse(&args, flags, environment, argc, vector, &err);
}

#define PARSE(...)       parse(false, (const char *const[]){__VA_ARGS__, NULL})
#define ENVIRONMENT(...) parse(true, (const char *const[]){__VA_ARGS__, NULL})

static void refused(int status, const char *words)
{
    ck_assert_int_eq(status, -1);
    ck_assert_int_eq(err.code, ERR_USAGE);
    ck_assert_msg(strstr(err.text, words) != NULL, "\"%s\" does not say \"%s\"", err.text, words);
}

/* ---- flags ---- */

START_TEST(what_is_not_given_has_its_default)
{
    ck_assert_int_eq(PARSE("operand"), 0);
    ck_assert_str_eq(cli_text(&args, "file"), "default.db");
    ck_assert_uint_eq(cli_count(&args, "top-most"), 3);
    ck_assert(!cli_given(&args, "file"));
    ck_assert(!cli_on(&args, "json"));
    ck_assert_ptr_null(cli_text(&args, "body"));
}
END_TEST

START_TEST(flags_may_stand_before_between_and_after_operands)
{
    ck_assert_int_eq(PARSE("--file", "a.db", "one", "--json", "two", "--top-most=7"), 0);
    ck_assert_str_eq(cli_text(&args, "file"), "a.db");
    ck_assert(cli_on(&args, "json"));
    ck_assert_uint_eq(cli_count(&args, "top-most"), 7);
    ck_assert_uint_eq(args.n_operands, 2);
    ck_assert_str_eq(args.operands[0], "one");
    ck_assert_str_eq(args.operands[1], "two");
}
END_TEST

START_TEST(the_last_of_two_flags_wins)
{
    ck_assert_int_eq(PARSE("--file", "a", "--file", "b"), 0);
    ck_assert_str_eq(cli_text(&args, "file"), "b");
}
END_TEST

START_TEST(two_dashes_end_the_flags_and_one_is_an_operand)
{
    ck_assert_int_eq(PARSE("-", "--", "--json"), 0);
    ck_assert(!cli_on(&args, "json"));
    ck_assert_uint_eq(args.n_operands, 2);
    ck_assert_str_eq(args.operands[0], "-");
    ck_assert_str_eq(args.operands[1], "--json");
}
END_TEST

START_TEST(a_negative_number_is_an_argument_and_no_flag)
{
    refused(PARSE("--decay", "-0.5"), "--decay is \"-0.5\"");
}
END_TEST

START_TEST(an_unknown_flag_is_named)
{
    refused(PARSE("--colour"), "unknown flag --colour");
    refused(PARSE("-x"), "unknown flag -x");
}
END_TEST

START_TEST(a_flag_without_its_argument_is_named)
{
    refused(PARSE("--file"), "--file needs an argument: --file FILE");
}
END_TEST

START_TEST(a_switch_with_an_argument_is_refused)
{
    refused(PARSE("--json=yes"), "--json takes no argument");
}
END_TEST

START_TEST(help_is_seen_before_anything_is_checked_after_it)
{
    ck_assert_int_eq(PARSE("--help", "--colour"), 0);
    ck_assert(args.help);
    ck_assert_int_eq(PARSE("-h"), 0);
    ck_assert(args.help);
}
END_TEST

START_TEST(an_empty_text_is_refused)
{
    refused(PARSE("--file", ""), "--file is empty");
}
END_TEST

START_TEST(counts_are_whole_and_within_their_range)
{
    static const char *const bad[] = {
        "0", "11", "-1", " 1", "1 ", "1.5", "0x2", "1e1", "", "ten", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(PARSE("--top-most", bad[i]), "must be a whole number from 1 to 10");
    ck_assert_int_eq(PARSE("--top-most", "10"), 0);
    ck_assert_uint_eq(cli_count(&args, "top-most"), 10);
    refused(PARSE("--top-most", "1K"), "must be a whole number");
}
END_TEST

START_TEST(bytes_may_end_with_a_unit)
{
    ck_assert_int_eq(PARSE("--body", "16M"), 0);
    ck_assert_uint_eq(cli_count(&args, "body"), 16U << 20);
    ck_assert_int_eq(PARSE("--body", "2k"), 0);
    ck_assert_uint_eq(cli_count(&args, "body"), 2048);
    ck_assert_int_eq(PARSE("--body", "1024G"), 0);
    ck_assert_uint_eq(cli_count(&args, "body"), UINT64_C(1) << 40);
    refused(PARSE("--body", "1025G"), "--body is \"1025G\"");
    refused(PARSE("--body", "18014398509481985K"), "--body"); /* 2^64 + 1024: would wrap to 1024 */
    refused(PARSE("--body", "1KB"), "--body");
    refused(PARSE("--body", "M"), "--body");
}
END_TEST

START_TEST(numbers_are_finite_and_within_their_range)
{
    ck_assert_int_eq(PARSE("--decay", "0.75"), 0);
    ck_assert_double_eq(cli_number(&args, "decay"), 0.75);
    static const char *const bad[] = {"nan", "inf", "1.01", "-0.1", "", "1x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(PARSE("--decay", bad[i]), "must be a number from 0 to 1");
}
END_TEST

START_TEST(a_setting_is_checked_by_the_table_of_settings)
{
    ck_assert_int_eq(PARSE("--rate", "0.02"), 0);
    ck_assert_str_eq(cli_text(&args, "rate"), "0.02");
    refused(PARSE("--rate", "fast"), "--rate: rate is fast, but must be a number");
    refused(PARSE("--rate", "-1"), "--rate");
}
END_TEST

/* ---- environment ---- */

START_TEST(a_variable_is_named_after_its_flag)
{
    char variable[40];
    ck_assert_str_eq(cli_variable(variable, sizeof variable, "snapshot-seconds"), "CONVD_SNAPSHOT_SECONDS");
}
END_TEST

START_TEST(a_variable_stands_for_its_flag_and_the_command_line_wins)
{
    ck_assert_int_eq(setenv("CONVD_TOP_MOST", "4", 1), 0);
    ck_assert_int_eq(ENVIRONMENT("x"), 0);
    ck_assert_uint_eq(cli_count(&args, "top-most"), 4);
    ck_assert(cli_given(&args, "top-most"));
    ck_assert_int_eq(ENVIRONMENT("--top-most", "5"), 0);
    ck_assert_uint_eq(cli_count(&args, "top-most"), 5);
}
END_TEST

START_TEST(variables_mean_nothing_to_verbs_that_do_not_take_them)
{
    ck_assert_int_eq(setenv("CONVD_TOP_MOST", "4", 1), 0);
    ck_assert_int_eq(PARSE("x"), 0);
    ck_assert_uint_eq(cli_count(&args, "top-most"), 3);
}
END_TEST

START_TEST(an_empty_variable_counts_as_not_set)
{
    ck_assert_int_eq(setenv("CONVD_FILE", "", 1), 0);
    ck_assert_int_eq(ENVIRONMENT("x"), 0);
    ck_assert_str_eq(cli_text(&args, "file"), "default.db");
}
END_TEST

START_TEST(a_bad_variable_is_named)
{
    ck_assert_int_eq(setenv("CONVD_TOP_MOST", "many", 1), 0);
    refused(ENVIRONMENT("x"), "CONVD_TOP_MOST is \"many\"");
}
END_TEST

START_TEST(a_variable_turns_a_switch_on_and_off)
{
    static const struct {
        const char *word;
        bool on;
    } words[] = {{"1", true}, {"yes", true}, {"on", true}, {"true", true}, {"0", false}, {"no", false}, {"off", false}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        ck_assert_int_eq(setenv("CONVD_JSON", words[i].word, 1), 0);
        ck_assert_int_eq(ENVIRONMENT("x"), 0);
        ck_assert_msg(cli_on(&args, "json") == words[i].on, "%s", words[i].word);
    }
    ck_assert_int_eq(setenv("CONVD_JSON", "maybe", 1), 0);
    refused(ENVIRONMENT("x"), "CONVD_JSON is \"maybe\"");
}
END_TEST

/* ---- the verbs' tables ---- */

START_TEST(every_verb_has_a_sound_table_and_defaults_that_parse)
{
    size_t n = 0;
    for (; cli_verbs[n] != NULL; n++) {
        const struct cli_verb *verb = cli_verbs[n];
        ck_assert_ptr_eq(cli_verb_find(verb->name), verb);
        ck_assert_ptr_nonnull(verb->purpose);
        ck_assert(verb->run != NULL);
        ck_assert_msg(strstr(verb->examples, "convd ") != NULL, "%s", verb->name);
        ck_assert_uint_le(verb->operands_min, verb->operands_max);
        for (const struct cli_flag *flag = verb->flags; flag->name != NULL; flag++) {
            ck_assert_msg(flag->kind != 0 && cli_flag_help(flag) != NULL, "%s --%s", verb->name, flag->name);
            ck_assert_msg((flag->kind == CLI_SWITCH) == (cli_flag_argument(flag) == NULL), "%s --%s", verb->name,
                          flag->name);
            bool ranged = flag->kind == CLI_COUNT || flag->kind == CLI_BYTES || flag->kind == CLI_NUMBER;
            ck_assert_msg(!ranged || flag->low < flag->high, "%s --%s", verb->name, flag->name);
            for (const struct cli_flag *other = flag + 1; other->name != NULL; other++)
                ck_assert_str_ne(flag->name, other->name);
        }
        char *words[] = {strdup(verb->name), NULL};
        ck_assert_msg(cli_parse(&args, verb->flags, false, 1, words, &err) == 0, "%s: %s", verb->name, err.text);
        free(words[0]);
    }
    ck_assert_uint_ge(n, 8);
}
END_TEST

START_TEST(the_flags_that_scripts_use_are_there)
{
    static const struct {
        const char *verb, *flag;
    } contract[] = {{"init", "db"},        {"init", "width"},         {"init", "height"},   {"init", "channels"},
                    {"init", "kernels"},   {"init", "kernel-width"},  {"init", "hidden"},   {"init", "kernel-height"},
                    {"init", "stride"},    {"init", "classes"},       {"init", "gradient"}, {"init", "rate"},
                    {"init", "mean"},      {"init", "seed"},          {"init", "from"},     {"init", "fit"},
                    {"init", "invert"},    {"serve", "db"},           {"serve", "listen"},  {"train", "db"},
                    {"train", "passes"},   {"train", "decay"},        {"train", "url"},     {"evaluate", "db"},
                    {"evaluate", "json"},  {"export", "safetensors"}, {"verify", "db"},     {"verify", "json"},
                    {"snapshots", "json"}, {"predict", "top"},        {"export", "kernels"}};
    for (size_t i = 0; i < sizeof contract / sizeof *contract; i++) {
        const struct cli_verb *verb = cli_verb_find(contract[i].verb);
        ck_assert_ptr_nonnull(verb);
        const struct cli_flag *flag = verb->flags;
        while (flag->name != NULL && strcmp(flag->name, contract[i].flag) != 0)
            flag++;
        ck_assert_msg(flag->name != NULL, "%s --%s", contract[i].verb, contract[i].flag);
    }
}
END_TEST

START_TEST(every_setting_is_a_flag_of_init_with_its_default)
{
    for (int i = 0; i < SETTING_N; i++) {
        const struct cli_verb *verb = cli_verb_find("init");
        const struct cli_flag *flag = verb->flags;
        while (flag->name != NULL && (flag->kind != CLI_SETTING || settings_find(flag->name) != (enum setting)i))
            flag++;
        ck_assert_msg(flag->name != NULL, "%s", setting_table[i].name);
        char text[64];
        ck_assert(verb->fallback(flag, text, sizeof text));
        struct shape shape = shape_default();
        ck_assert_int_eq(shape_check(&shape, 10, &err), 0);
        struct settings standard = settings_new(&shape);
        ck_assert_int_eq(settings_set_text(&standard, (enum setting)i, text, &err), 0);
        struct settings expected = settings_new(&shape);
        ck_assert_msg(settings_get(&standard, (enum setting)i) == settings_get(&expected, (enum setting)i), "%s", text);
    }
}
END_TEST

START_TEST(exit_codes_tell_usage_database_and_network_apart)
{
    ck_assert_int_eq(cli_exit_code(ERR_NONE), 0);
    ck_assert_int_eq(cli_exit_code(ERR_FILE), 1);
    ck_assert_int_eq(cli_exit_code(ERR_LABEL_UNKNOWN), 1);
    ck_assert_int_eq(cli_exit_code(ERR_USAGE), 2);
    ck_assert_int_eq(cli_exit_code(ERR_DB_MISSING), 3);
    ck_assert_int_eq(cli_exit_code(ERR_DB_FOREIGN), 3);
    ck_assert_int_eq(cli_exit_code(ERR_DB_LOCKED), 3);
    ck_assert_int_eq(cli_exit_code(ERR_DB_CORRUPT), 3);
    ck_assert_int_eq(cli_exit_code(ERR_STORAGE_FULL), 3);
    ck_assert_int_eq(cli_exit_code(ERR_NETWORK), 4);
    ck_assert_int_eq(cli_exit_code(ERR_BUSY), 4);
    ck_assert_int_eq(cli_exit_code(ERR_LOG), 4);
    ck_assert_int_eq(cli_exit_code(ERR_DIVERGED), 3);
    ck_assert_int_eq(cli_exit_code(ERR_STOPPING), 130);
    for (int code = ERR_NONE + 1; code < ERR_N; code++)
        ck_assert_msg(cli_exit_code((enum err_code)code) != CLI_OK, "%s", err_code_name((enum err_code)code));
}
END_TEST

/* ---- progress ---- */

START_TEST(a_progress_line_tells_share_rate_and_time_left)
{
    struct progress progress = {.what = "training", .total = 60000, .done = 30000};
    char line[256];
    ck_assert_str_eq(progress_line(line, sizeof line, &progress, 2.0, "accuracy 90.1 %", 10),
                     "training  [=====>    ]  50 %  30000/60000  15000/s  accuracy 90.1 %  0:02 left");
    ck_assert_str_eq(progress_line(line, sizeof line, &progress, 2.0, NULL, 0),
                     "training   50 %  30000/60000  15000/s  0:02 left");
}
END_TEST

START_TEST(a_progress_line_survives_no_time_no_total_and_too_much_done)
{
    struct progress progress = {.what = "x", .total = 10, .done = 0};
    char line[256];
    ck_assert_str_eq(progress_line(line, sizeof line, &progress, 0, NULL, 4), "x  [>   ]   0 %  0/10  0/s");
    progress.done = 12;
    ck_assert_str_eq(progress_line(line, sizeof line, &progress, 1, NULL, 4),
                     "x  [====] 100 %  12/10  12/s  0:00 left");
    progress.total = 0;
    ck_assert_str_eq(progress_line(line, sizeof line, &progress, 1, NULL, 4), "x  12  12/s");
}
END_TEST

START_TEST(durations_are_minutes_then_hours)
{
    char text[32];
    ck_assert_str_eq(progress_duration(text, sizeof text, 0.2), "0:00");
    ck_assert_str_eq(progress_duration(text, sizeof text, 59.6), "1:00");
    ck_assert_str_eq(progress_duration(text, sizeof text, 725), "12:05");
    ck_assert_str_eq(progress_duration(text, sizeof text, 11045), "3:04:05");
    ck_assert_str_eq(progress_duration(text, sizeof text, -3), "0:00");
    ck_assert_str_eq(progress_duration(text, sizeof text, (double)INFINITY), "100000:00:00");
}
END_TEST

/* ---- files, labels, queries ---- */

static char folder[] = "/tmp/convd-test-cli-XXXXXX";
static char path[128];

static const char *in_folder(const char *name)
{
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void make_folder(void)
{
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void)
{
    static const char *const names[] = {"out", "other", "base", "out-wal"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        (void)unlink(in_folder(names[i]));
    ck_assert_msg(rmdir(folder) == 0, "something was left in %s", folder);
}

static int put(const char *name, bool force, const char *text)
{
    struct cli_output out;
    int status = cli_output_open(&out, name, force, &err);
    if (status == 0)
        status = cli_output_write(&out, (const uint8_t *)text, strlen(text), &err);
    cli_output_fini(&out);
    return status;
}

static void holds(const char *name, const char *text)
{
    uint8_t *bytes = NULL;
    size_t n = 0;
    ck_assert_int_eq(cli_read(&bytes, &n, name, 100, &err), 0);
    ck_assert_uint_eq(n, strlen(text));
    ck_assert_mem_eq(bytes, text, n);
    free(bytes);
}

START_TEST(a_file_that_is_there_is_written_over_with_force_alone)
{
    ck_assert_int_eq(put(in_folder("out"), false, "old"), 0);
    ck_assert_int_eq(put(in_folder("out"), false, "newer"), -1);
    ck_assert_int_eq(err.code, ERR_CONFLICT);
    ck_assert_ptr_nonnull(strstr(err.text, "--force"));
    holds(in_folder("out"), "old");
    ck_assert_int_eq(put(in_folder("out"), true, "newer"), 0);
    holds(in_folder("out"), "newer");
}
END_TEST

START_TEST(one_that_came_meanwhile_is_not_written_over)
{
    struct cli_output out;
    ck_assert_int_eq(cli_output_open(&out, in_folder("out"), false, &err), 0);
    ck_assert_int_eq(put(in_folder("out"), false, "theirs"), 0);
    ck_assert_int_eq(cli_output_write(&out, (const uint8_t *)"ours", 4, &err), -1);
    ck_assert_int_eq(err.code, ERR_CONFLICT);
    holds(in_folder("out"), "theirs");
    cli_output_fini(&out);
}
END_TEST

START_TEST(a_link_stays_one_and_what_it_leads_to_is_written)
{
    struct stat there;
    char link[128];
    (void)snprintf(link, sizeof link, "%s", in_folder("other"));
    ck_assert_int_eq(symlink("out", link), 0);
    ck_assert_int_eq(put(link, false, "x"), -1); /* it leads nowhere, and is there all the same */
    ck_assert_int_eq(put(in_folder("out"), false, "old"), 0);
    ck_assert_int_eq(put(link, false, "x"), -1);
    ck_assert_int_eq(put(link, true, "newer"), 0);
    ck_assert_int_eq(lstat(link, &there), 0);
    ck_assert(S_ISLNK(there.st_mode));
    holds(in_folder("out"), "newer");
}
END_TEST

START_TEST(no_database_is_written_over_nor_what_stands_beside_one)
{
    static const char database[] = "SQLite format 3\0and more";
    static const char *const parts[] = {"base-wal", "base-shm", "base-journal"};
    FILE *file = fopen(in_folder("base"), "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(database, 1, sizeof database, file), sizeof database);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(symlink("base", in_folder("other")), 0);
    for (int force = 0; force < 2; force++) {
        ck_assert_int_eq(put(in_folder("base"), force, "x"), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "is an SQLite database"));
        ck_assert_int_eq(put(in_folder("other"), force, "x"), -1);
        ck_assert_int_eq(err.code, ERR_CONFLICT);
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            ck_assert_int_eq(put(in_folder(parts[i]), force, "x"), -1);
            ck_assert_ptr_nonnull(strstr(err.text, "part of the database beside it"));
        }
    }
    ck_assert_int_eq(put(in_folder("out-wal"), false, "x"), 0); /* a name as good as any */
}
END_TEST

START_TEST(a_file_is_its_owners_whatever_the_mask)
{
    static const mode_t masks[] = {0, 027, 0277, 0777};
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        struct stat there;
        mode_t before = umask(masks[i]);
        ck_assert_int_eq(put(in_folder("out"), true, "x"), 0);
        (void)umask(before);
        ck_assert_int_eq(stat(in_folder("out"), &there), 0);
        ck_assert_uint_eq(there.st_mode & 0777, 0600);
    }
}
END_TEST

START_TEST(a_file_over_the_limit_is_refused)
{
    uint8_t *bytes = NULL;
    size_t n = 0;
    ck_assert_int_eq(put(in_folder("out"), false, "123456"), 0);
    ck_assert_int_eq(cli_read(&bytes, &n, in_folder("out"), 5, &err), -1);
    ck_assert_int_eq(err.code, ERR_FILE);
    ck_assert_ptr_nonnull(strstr(err.text, "larger than 5 bytes"));
}
END_TEST

START_TEST(an_absent_folder_is_told_with_the_path)
{
    ck_assert_int_eq(put(in_folder("none/out"), false, "x"), -1);
    ck_assert_int_eq(err.code, ERR_FILE);
    ck_assert_ptr_nonnull(strstr(err.text, "none/out"));
}
END_TEST

START_TEST(a_full_disk_is_an_error_and_leaves_no_file)
{
    ck_assert_int_eq(put("/dev/full", false, "x"), -1);
    ck_assert_int_eq(err.code, ERR_FILE);
    ck_assert_ptr_nonnull(strstr(err.text, "No space left"));
}
END_TEST

START_TEST(labels_are_found_by_text)
{
    static const char names[][LABEL_BYTES_MAX + 1] = {"zebra", "ant", "10", "9"};
    struct cli_labels labels;
    ck_assert_int_eq(cli_labels_init(&labels, names, 4, &err), 0);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(cli_labels_find(&labels, names[i]), i);
    ck_assert_int_eq(cli_labels_find(&labels, "anteater"), -1);
    ck_assert_int_eq(cli_labels_find(&labels, ""), -1);
    cli_labels_fini(&labels);
}
END_TEST

START_TEST(a_query_is_escaped_or_left_as_it_was)
{
    char query[24] = "?label=";
    ck_assert_int_eq(client_escape(query, sizeof query, "a b,\xc3\xa9"), 0);
    ck_assert_str_eq(query, "?label=a%20b%2C%C3%A9");
    ck_assert_int_eq(client_escape(query, sizeof query, "+"), -1);
    ck_assert_str_eq(query, "?label=a%20b%2C%C3%A9");
    ck_assert_int_eq(client_escape(query, sizeof query, "xy"), 0); /* 23 characters and the zero */
    ck_assert_int_eq(client_escape(query, sizeof query, "z"), -1);
}
END_TEST

START_TEST(two_keys_are_never_the_same)
{
    char one[33];
    char two[33];
    ck_assert_int_eq(client_key(one, &err), 0);
    ck_assert_int_eq(client_key(two, &err), 0);
    ck_assert_uint_eq(strlen(one), 32);
    ck_assert_str_ne(one, two);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cli");
    TCase *parsing = tcase_create("flags");
    tcase_add_test(parsing, what_is_not_given_has_its_default);
    tcase_add_test(parsing, flags_may_stand_before_between_and_after_operands);
    tcase_add_test(parsing, the_last_of_two_flags_wins);
    tcase_add_test(parsing, two_dashes_end_the_flags_and_one_is_an_operand);
    tcase_add_test(parsing, a_negative_number_is_an_argument_and_no_flag);
    tcase_add_test(parsing, an_unknown_flag_is_named);
    tcase_add_test(parsing, a_flag_without_its_argument_is_named);
    tcase_add_test(parsing, a_switch_with_an_argument_is_refused);
    tcase_add_test(parsing, help_is_seen_before_anything_is_checked_after_it);
    tcase_add_test(parsing, an_empty_text_is_refused);
    tcase_add_test(parsing, counts_are_whole_and_within_their_range);
    tcase_add_test(parsing, bytes_may_end_with_a_unit);
    tcase_add_test(parsing, numbers_are_finite_and_within_their_range);
    tcase_add_test(parsing, a_setting_is_checked_by_the_table_of_settings);
    suite_add_tcase(suite, parsing);
    TCase *environment = tcase_create("environment");
    tcase_add_test(environment, a_variable_is_named_after_its_flag);
    tcase_add_test(environment, a_variable_stands_for_its_flag_and_the_command_line_wins);
    tcase_add_test(environment, variables_mean_nothing_to_verbs_that_do_not_take_them);
    tcase_add_test(environment, an_empty_variable_counts_as_not_set);
    tcase_add_test(environment, a_bad_variable_is_named);
    tcase_add_test(environment, a_variable_turns_a_switch_on_and_off);
    suite_add_tcase(suite, environment);
    TCase *tables = tcase_create("tables");
    tcase_add_test(tables, every_verb_has_a_sound_table_and_defaults_that_parse);
    tcase_add_test(tables, the_flags_that_scripts_use_are_there);
    tcase_add_test(tables, every_setting_is_a_flag_of_init_with_its_default);
    tcase_add_test(tables, exit_codes_tell_usage_database_and_network_apart);
    suite_add_tcase(suite, tables);
    TCase *telling = tcase_create("progress");
    tcase_add_test(telling, a_progress_line_tells_share_rate_and_time_left);
    tcase_add_test(telling, a_progress_line_survives_no_time_no_total_and_too_much_done);
    tcase_add_test(telling, durations_are_minutes_then_hours);
    suite_add_tcase(suite, telling);
    TCase *files = tcase_create("files");
    tcase_add_checked_fixture(files, make_folder, remove_folder);
    tcase_add_test(files, a_file_that_is_there_is_written_over_with_force_alone);
    tcase_add_test(files, one_that_came_meanwhile_is_not_written_over);
    tcase_add_test(files, a_link_stays_one_and_what_it_leads_to_is_written);
    tcase_add_test(files, no_database_is_written_over_nor_what_stands_beside_one);
    tcase_add_test(files, a_file_is_its_owners_whatever_the_mask);
    tcase_add_test(files, a_file_over_the_limit_is_refused);
    tcase_add_test(files, an_absent_folder_is_told_with_the_path);
    tcase_add_test(files, a_full_disk_is_an_error_and_leaves_no_file);
    suite_add_tcase(suite, files);
    TCase *parts = tcase_create("parts");
    tcase_add_test(parts, labels_are_found_by_text);
    tcase_add_test(parts, a_query_is_escaped_or_left_as_it_was);
    tcase_add_test(parts, two_keys_are_never_the_same);
    suite_add_tcase(suite, parts);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
