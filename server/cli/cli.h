/* cli.h - the command line: `convd VERB [FLAGS] [OPERANDS]`.
 *
 * What all verbs share; the verbs and the table of them are above, in verbs/verbs.h. What is a result goes to stdout, all else
 * (progress, warnings, errors) to stderr, so that the output of every verb can be piped. Errors are one line,
 * "convd VERB: what was wrong"; usage errors add where to look.
 *
 * Offline verbs open the database themselves and so need a daemon on it to be down; with --url they ask the daemon.
 *
 * In reading order:
 *   guess.{h,c}     "did you mean"
 *   flags.{h,c}     flags as one table: parsing, environment, --help
 *   exit.{h,c}      exit codes
 *   cli.c           help, and the run of one verb
 *   io.{h,c}        files, printing, signals
 *   progress.{h,c}  how far long work is, on stderr
 *   offline.{h,c}   what offline verbs share: a database, opened and recovered, and a trainer for who writes
 *   batch.{h,c}     labelled images, a batch at a time
 *   client.{h,c}    HTTP to a running daemon; alone knows libcurl
 *   remote.{h,c}    a daemon's model as verbs with --url see it
 *   follow.{h,c}    long work, watched until its end
 */
#ifndef CONVD_SERVER_CLI_CLI_H
#define CONVD_SERVER_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "core/core.h"
#include "server/cli/exit.h"
#include "server/cli/flags.h"

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
    bool (*fallback)(const struct cli_flag *flag, char *text, size_t size);

    /* Returns an exit code, or -1 with *err filled. */
    int (*run)(const struct cli_args *args, struct err *err);
};

/* cli_print_help - `convd VERB --help`. cli_report - the one line on stderr, and where to look when it is the command line that was wrong;
 * verb: NULL where none was found. */
void cli_print_help(FILE *out, const struct cli_verb *verb);
void cli_report(const char *verb, const struct err *err);

/* cli_run - the verb with that command line (argv[0] is its name): parses, runs, reports. Returns the exit code. */
int cli_run(const struct cli_verb *verb, int argc, char **argv);

/* Rows that several verbs' tables share; a verb with --url asks cli_url() for it, which sees to its two companions. */
/* clang-format off */
#define CLI_FLAG_DB    {FLAG_TEXT("db", "FILE", "convd.db", "database file of the model")}
#define CLI_FLAG_URL                                                                                                                \
    {FLAG_TEXT("url", "URL", NULL, "use the daemon at this URL (or unix:/PATH), not a database; without --db, else CONVD_URL")},                             \
    {FLAG_TEXT("token-file", "FILE", NULL, "with --url: file with the token; else CONVD_TOKEN, or CONVD_TOKEN_FILE")},               \
    {FLAG_TEXT("ca", "FILE", NULL, "with --url https://: certificates of the authorities to trust (default: the system's)")}
#define CLI_FLAG_JSON  {FLAG_SWITCH("json", "print the result as JSON")}
#define CLI_FLAG_QUIET {FLAG_SWITCH("quiet", "no progress on stderr")}
#define CLI_FLAG_IMAGE_PIXELS {FLAG_COUNT("image-pixels", "N", "16777216", 1, UINT32_MAX, "largest picture, decoded")}
#define CLI_FLAG_ARITH                                                                                                              \
    {FLAG_TEXT("arith", "NAME", NULL, "instruction set: x86-64-v4, x86-64-v3, aarch64 or portable; all give the same bits")}
#define CLI_FLAG_END   {.name = NULL}
/* clang-format on */

#endif
