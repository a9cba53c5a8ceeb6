/* cli.h - the command line: `convd VERB [FLAGS] [OPERANDS]`.
 *
 * A verb is one struct in a file of its own (verbs/train.c); cli/cli.c has the list of them, --help and the way from an error
 * to an exit code. What is a result goes to stdout, all else (progress, warnings, errors) to stderr, so that the output
 * of every verb can be piped. Errors are one line, "convd VERB: what was wrong"; usage errors add where to look.
 *
 * Offline verbs open the database themselves and so need a daemon on it to be down; with --url they ask the daemon.
 *
 * In reading order: cli/flags.h (parsing), cli/offline.h (what offline verbs share), cli/client.h and cli/remote.h (what
 * verbs with --url share), cli/progress.h, then the verbs.
 */
#ifndef CONVD_SERVER_CLI_CLI_H
#define CONVD_SERVER_CLI_CLI_H

#include "core/core.h"
#include "server/cli/flags.h"

/* What scripts can tell apart. --help prints this table; it is part of the contract. */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,        /* an input file, a label, a request that was refused     */
    CLI_USAGE = 2,         /* the command line                                      */
    CLI_DATABASE = 3,      /* missing, foreign, locked, read-only, full or corrupt  */
    CLI_NETWORK = 4,       /* the daemon cannot be reached, or the port not be had   */
    CLI_INTERRUPTED = 130, /* SIGINT or SIGTERM; what was done by then is kept      */
};

struct cli_verb {
    const char *name;
    const char *purpose;  /* one line, lower case               */
    const char *operands; /* "IMAGE..." in the usage line, or "" */
    size_t operands_min, operands_max;
    const char *details;  /* paragraphs for --help, or NULL      */
    const char *examples; /* lines, each indented by two         */
    const struct cli_flag *flags;
    bool environment; /* flags may come from CONVD_... too   */

    /* For flags whose default is known elsewhere (a struct of defaults): writes it for --help and returns true. May be
     * NULL. Such flags are not filled in by cli_parse(): the verb looks at cli_given(). */
    bool (*fallback)(const char *flag, char *text, size_t size);

    /* Returns an exit code, or -1 with *err filled. */
    int (*run)(const struct cli_args *args, struct err *err);
};

extern const struct cli_verb cli_serve, cli_init, cli_train, cli_predict, cli_evaluate, cli_export, cli_samples,
    cli_snapshots, cli_verify, cli_backup;

/* cli_main - everything that main() does. Returns the exit code. */
int cli_main(int argc, char **argv);

/* cli_verb_find - the verb with that name, or NULL; cli_verb_nth - the n-th in the order of --help, NULL past the end. */
const struct cli_verb *cli_verb_find(const char *name);
const struct cli_verb *cli_verb_nth(size_t n);

/* cli_exit_code - the one table from error code to exit code. */
enum cli_exit cli_exit_code(enum err_code code);

/* Rows that several verbs' tables share; a verb with --url asks cli_url() for it, which sees to its two companions. */
#define CLI_FLAG_DB                                                                                                    \
    {                                                                                                                  \
        .name = "db", .kind = CLI_TEXT, .argument = "FILE", .fallback = "convd.db",                                    \
        .help = "database file of the model"                                                                           \
    }
#define CLI_FLAG_URL                                                                                                   \
    {.name = "url",                                                                                                    \
     .kind = CLI_TEXT,                                                                                                 \
     .argument = "URL",                                                                                                \
     .help = "ask the daemon there (or at unix:/PATH) instead of opening a database"},                                 \
        {.name = "token-file",                                                                                         \
         .kind = CLI_TEXT,                                                                                             \
         .argument = "FILE",                                                                                           \
         .help = "with --url: the token to show; else CONVD_TOKEN, or CONVD_TOKEN_FILE"},                              \
    {                                                                                                                  \
        .name = "ca", .kind = CLI_TEXT, .argument = "FILE",                                                            \
        .help = "with --url https://: certificates that may vouch for the daemon (default: the system's)"              \
    }
#define CLI_FLAG_JSON                                                                                                  \
    {                                                                                                                  \
        .name = "json", .kind = CLI_SWITCH, .help = "print the result as JSON"                                         \
    }
#define CLI_FLAG_QUIET                                                                                                 \
    {                                                                                                                  \
        .name = "quiet", .kind = CLI_SWITCH, .help = "no progress on stderr"                                           \
    }
#define CLI_FLAG_ARITH                                                                                                 \
    {                                                                                                                  \
        .name = "arith", .kind = CLI_TEXT, .argument = "NAME",                                                         \
        .help = "instruction set: x86-64-v4, x86-64-v3, aarch64 or portable; all give the same bits"                   \
    }
#define CLI_FLAG_END                                                                                                   \
    {                                                                                                                  \
        .name = NULL                                                                                                   \
    }

#endif
