/* verbs.c - see verbs/verbs.h */
#include "server/verbs/verbs.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "server/cli/guess.h"
#include "server/cli/io.h"

const struct cli_verb *const cli_verbs[] = {&cli_serve,    &cli_init,   &cli_train,   &cli_predict,
                                            &cli_evaluate, &cli_export, &cli_samples, &cli_snapshots,
                                            &cli_verify,   &cli_backup, &cli_cluster, NULL};

const struct cli_verb *cli_verb_find(const char *name)
{
    const struct cli_verb *const *verb = cli_verbs;
    while (*verb != NULL && strcmp((*verb)->name, name) != 0)
        verb++;
    return *verb;
}

static void print_overview(FILE *out)
{
    (void)fputs("convd is an image classifier that learns while it serves\n"
                "\n"
                "usage: convd VERB [FLAGS] [OPERANDS]\n"
                "       convd VERB --help | convd help VERB | convd --version\n"
                "\n"
                "verbs:\n",
                out);
    for (size_t i = 0; cli_verbs[i] != NULL; i++)
        cli_say(out, "  %-10s %s\n", cli_verbs[i]->name, cli_verbs[i]->purpose);
    (void)fputs("\n"
                "first steps:\n"
                "  convd serve --db digits.db\n"
                "  convd train --url http://127.0.0.1:8080 train-images.idx.gz train-labels.idx.gz\n"
                "  curl --data-binary @7.png http://127.0.0.1:8080/predict\n"
                "\n",
                out);
    (void)fputs(cli_exit_codes, out);
}

/* What may stand in a verb's place. */
static const char *const others[] = {"help", "version", "--help", "--version"};

static int usage(const char *word)
{
    struct err err = {0};
    struct guess guess = {.word = word, .n = strlen(word)};
    char meant[64];
    for (size_t i = 0; cli_verbs[i] != NULL; i++)
        guess_look(&guess, cli_verbs[i]->name);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        guess_look(&guess, others[i]);
    if (word[0] == '-' && guess.name == NULL)
        (void)snprintf(meant, sizeof meant, ": a verb comes first, convd VERB [FLAGS]");
    else
        (void)guess_text(meant, sizeof meant, &guess, "");
    err_set(&err, ERR_USAGE, "unknown %s \"%.60s\"%s", word[0] == '-' ? "flag" : "verb", word, meant);
    cli_report(NULL, &err);
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
        cli_say(stdout, "convd %s, arithmetic %s on %s\n", CONVD_VERSION, ARITHMETIC_VERSION,
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
        cli_print_help(stdout, verb);
        return CLI_OK;
    }
    return cli_run(verb, argc - 1, argv + 1);
}

int cli_main(int argc, char **argv)
{
    int status = dispatch(argc, argv);
    /* A full disk or a closed pipe behind stdout must not look like success. */
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        cli_say(stderr, "convd: cannot write the output: %s\n", strerror(errno));
        return status == CLI_OK ? CLI_FAILED : status;
    }
    return status;
}
