/* cli.c - see cli/cli.h */
#include "server/cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct cli_verb *const verbs[] = {&cli_serve,  &cli_init,    &cli_train,     &cli_predict, &cli_evaluate,
                                               &cli_export, &cli_samples, &cli_snapshots, &cli_verify,  &cli_backup};

#define N_VERBS (sizeof verbs / sizeof *verbs)

static const char exit_codes[] =
    "exit codes: 0 done, 1 failed, 2 usage, 3 database (missing, foreign, locked, full or\n"
    "corrupt), 4 network, 130 interrupted\n";

const struct cli_verb *cli_verb_nth(size_t n)
{
    return n < N_VERBS ? verbs[n] : NULL;
}

const struct cli_verb *cli_verb_find(const char *name)
{
    for (size_t i = 0; i < N_VERBS; i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

enum cli_exit cli_exit_code(enum err_code code)
{
    switch (code) {
    case ERR_NONE:
        return CLI_OK;
    case ERR_USAGE:
        return CLI_USAGE;
    case ERR_STORAGE_FULL:
    case ERR_STORAGE:
    case ERR_DB_MISSING:
    case ERR_DB_FOREIGN:
    case ERR_DB_NEWER:
    case ERR_DB_LOCKED:
    case ERR_DB_READONLY:
    case ERR_DB_CORRUPT:
    case ERR_DB_LOST:
        return CLI_DATABASE;
    case ERR_BUSY:
    case ERR_NETWORK:
        return CLI_NETWORK;
    case ERR_STOPPING: /* our own long work was told to stop; a daemon's 503 is made ERR_BUSY by cli/client.c */
        return CLI_INTERRUPTED;
    case ERR_SYNTAX:
    case ERR_EMPTY:
    case ERR_VALUE:
    case ERR_INPUT_SIZE:
    case ERR_MEDIA_TYPE:
    case ERR_IMAGE:
    case ERR_IMAGE_LIMIT:
    case ERR_FLAT:
    case ERR_LABEL_MISSING:
    case ERR_LABEL_UNKNOWN:
    case ERR_LABEL_INVALID:
    case ERR_TOO_LARGE:
    case ERR_NOT_FOUND:
    case ERR_GONE:
    case ERR_METHOD:
    case ERR_CONFLICT:
    case ERR_KEY_REUSED:
    case ERR_UNAUTHORIZED:
    case ERR_FORBIDDEN:
    case ERR_LIMIT:
    case ERR_TIMEOUT:
    case ERR_MEMORY:
    case ERR_FILE:
    case ERR_INTERNAL:
    case ERR_N:
        break;
    }
    return CLI_FAILED;
}

static void print_overview(FILE *out)
{
    (void)fputs("convd keeps one image classifier, which learns while it serves\n"
                "\n"
                "usage: convd VERB [FLAGS] [OPERANDS]\n"
                "       convd VERB --help | convd help VERB | convd --version\n"
                "\n"
                "verbs:\n",
                out);
    for (size_t i = 0; i < N_VERBS; i++)
        (void)fprintf(out, "  %-10s %s\n", verbs[i]->name, verbs[i]->purpose);
    (void)fputs("\n"
                "first steps:\n"
                "  convd serve --db digits.db\n"
                "  convd train --url http://127.0.0.1:8080 train-images.idx.gz train-labels.idx.gz\n"
                "  curl --data-binary @7.png http://127.0.0.1:8080/predict\n"
                "\n",
                out);
    (void)fputs(exit_codes, out);
}

static void print_flag(FILE *out, const struct cli_verb *verb, const struct cli_flag *flag, int width)
{
    char left[64];
    const char *argument = cli_flag_argument(flag);
    (void)snprintf(left, sizeof left, "--%s%s%s", flag->name, argument != NULL ? " " : "",
                   argument != NULL ? argument : "");
    (void)fprintf(out, "  %-*s  %s", width, left, cli_flag_help(flag));
    char text[128];
    if (flag->fallback != NULL)
        (void)fprintf(out, " (default %s)", flag->fallback);
    else if (verb->fallback != NULL && verb->fallback(flag->name, text, sizeof text))
        (void)fprintf(out, " (default %s)", text);
    (void)fputc('\n', out);
}

static void print_help(FILE *out, const struct cli_verb *verb)
{
    (void)fprintf(out, "convd %s: %s\n\nusage: convd %s [FLAGS]%s%s\n", verb->name, verb->purpose, verb->name,
                  verb->operands[0] != '\0' ? " " : "", verb->operands);
    if (verb->details != NULL)
        (void)fprintf(out, "\n%s", verb->details);
    int width = (int)strlen("--help");
    for (const struct cli_flag *flag = verb->flags; flag->name != NULL; flag++) {
        const char *argument = cli_flag_argument(flag);
        size_t n = strlen("--") + strlen(flag->name) + (argument != NULL ? 1 + strlen(argument) : 0);
        width = (int)n > width ? (int)n : width;
    }
    (void)fputs("\nflags:\n", out);
    for (const struct cli_flag *flag = verb->flags; flag->name != NULL; flag++)
        print_flag(out, verb, flag, width);
    (void)fprintf(out, "  %-*s  this text\n", width, "--help");
    if (verb->environment)
        (void)fputs("\nEvery flag can be given in the environment too: --queue-samples N as CONVD_QUEUE_SAMPLES=N, a\n"
                    "flag without argument as CONVD_...=1. The command line wins.\n",
                    out);
    (void)fprintf(out, "\nexamples:\n%s\n%s", verb->examples, exit_codes);
}

/* The one line on stderr, and where to look when it is the command line that was wrong. */
static void report(const char *verb, const struct err *err)
{
    const char *gap = verb != NULL ? " " : "";
    verb = verb != NULL ? verb : "";
    (void)fprintf(stderr, "convd%s%s: %s\n", gap, verb, err->text);
    if (err->code == ERR_USAGE)
        (void)fprintf(stderr, "see: convd%s%s --help\n", gap, verb);
}

static int run(const struct cli_verb *verb, int argc, char **argv)
{
    struct err err = {0};
    struct cli_args args;
    int status = cli_parse(&args, verb->flags, verb->environment, argc, argv, &err);
    if (status == 0 && args.help) {
        print_help(stdout, verb);
        return CLI_OK;
    }
    if (status == 0 && args.n_operands > verb->operands_max)
        status = err_set(&err, ERR_USAGE, "\"%.80s\" is too much: usage is convd %s [FLAGS]%s%s",
                         args.operands[verb->operands_max], verb->name, verb->operands[0] != '\0' ? " " : "",
                         verb->operands);
    if (status == 0 && args.n_operands < verb->operands_min)
        status = err_set(&err, ERR_USAGE, "%s is missing: usage is convd %s [FLAGS] %s",
                         args.n_operands == 0 ? "the input" : "an operand", verb->name, verb->operands);
    if (status == 0)
        status = verb->run(&args, &err);
    if (status >= 0)
        return status;
    report(verb->name, &err);
    return (int)cli_exit_code(err.code);
}

static int usage(const char *word)
{
    struct err err = {0};
    err_set(&err, ERR_USAGE, "unknown %s \"%.60s\"", word[0] == '-' ? "flag" : "verb", word);
    report(NULL, &err);
    return CLI_USAGE;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        print_overview(stderr);
        return CLI_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0 || strcmp(word, "version") == 0) {
        (void)printf("convd %s, arithmetic %s on %s\n", CONVD_VERSION, ARITHMETIC_VERSION,
                     arith_name(arith_choose(NULL)));
        return CLI_OK;
    }
    bool help = strcmp(word, "help") == 0;
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || (help && argc == 2)) {
        print_overview(stdout);
        return CLI_OK;
    }
    const struct cli_verb *verb = cli_verb_find(help ? argv[2] : word);
    if (verb == NULL)
        return usage(help ? argv[2] : word);
    if (help) {
        print_help(stdout, verb);
        return CLI_OK;
    }
    return run(verb, argc - 1, argv + 1);
}

int cli_main(int argc, char **argv)
{
    int status = dispatch(argc, argv);
    /* A full disk or a closed pipe behind stdout must not look like success. */
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        (void)fprintf(stderr, "convd: cannot write the output: %s\n", strerror(errno));
        return status == CLI_OK ? CLI_FAILED : status;
    }
    return status;
}
