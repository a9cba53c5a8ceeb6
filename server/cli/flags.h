/* flags.h - the flags of a verb as one table, which drives parsing, environment variables and --help.
 *
 * A flag is long ("--db FILE", "--db=FILE"), may be given anywhere among the operands, and the last one wins; of a
 * list all are taken. "--" ends the flags; "-" is an operand. Where a verb says `environment`, the flag --snapshot-seconds can also be given as
 * CONVD_SNAPSHOT_SECONDS; the command line wins, and an empty variable counts as not set.
 *
 * All values are checked while parsing, so that a verb never sees one that is out of range.
 */
#ifndef CONVD_SERVER_CLI_FLAGS_H
#define CONVD_SERVER_CLI_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/err.h"

enum cli_kind {
    CLI_SWITCH = 1, /* no argument; in the environment: 1, true, yes, on or 0, false, no, off         */
    CLI_TEXT,       /* anything but empty                                                             */
    CLI_COUNT,      /* whole number, low..high                                                        */
    CLI_BYTES,      /* the same, with an optional K, M or G (1024, 1024^2, 1024^3)                    */
    CLI_NUMBER,     /* decimal number, low..high                                                      */
    CLI_LIST,       /* a text that may be given several times; at most one such flag in a table       */
    CLI_SETTING,    /* a hyperparameter of core/settings.h with the flag's name, checked by its table */
};

#define CLI_FLAGS_MAX 40
#define CLI_LIST_MAX  1024

struct cli_flag {
    const char *name; /* without "--"; NULL ends a table                                             */
    enum cli_kind kind;
    const char *argument; /* "FILE" in help; NULL for a switch, or as the settings' table says       */
    const char *fallback; /* value when not given; NULL: none, or see cli_verb.fallback              */
    double low, high;     /* of counts, bytes and numbers                                            */
    const char *help;     /* one line; NULL: as the settings' table says                             */
    size_t at, bytes;     /* the member of a struct that it sets: cli_fill(); bytes = 0: none        */
};

/* Rows of a table. a_argument: what help calls it; a_fallback may be NULL. FLAG_INTO - the member that it sets. */
/* clang-format off */
#define FLAG_SWITCH(a_name, a_help)                       .name = a_name, .kind = CLI_SWITCH, .help = a_help
#define FLAG_TEXT(a_name, a_argument, a_fallback, a_help) .name = a_name, .kind = CLI_TEXT, .argument = a_argument, \
                                                          .fallback = a_fallback, .help = a_help
#define FLAG_LIST(a_name, a_argument, a_help)             .name = a_name, .kind = CLI_LIST, .argument = a_argument, .help = a_help
#define FLAG_RANGE(a_kind, a_name, a_argument, a_fallback, a_low, a_high, a_help) \
    .name = a_name, .kind = a_kind, .argument = a_argument, .fallback = a_fallback, .low = a_low, .high = a_high, .help = a_help
#define FLAG_COUNT(...)                                   FLAG_RANGE(CLI_COUNT, __VA_ARGS__)
#define FLAG_BYTES(...)                                   FLAG_RANGE(CLI_BYTES, __VA_ARGS__)
#define FLAG_NUMBER(...)                                  FLAG_RANGE(CLI_NUMBER, __VA_ARGS__)
#define FLAG_INTO(a_struct, a_member)                     .at = offsetof(a_struct, a_member), .bytes = sizeof((a_struct *)0)->a_member
/* clang-format on */

struct cli_value {
    bool given; /* on the command line or in the environment */
    const char *text;
    uint64_t count; /* of counts, bytes and switches that are on */
    double number;
};

/* A command line as parsed; borrows from the argument vector, the environment and the table. */
struct cli_args {
    const struct cli_flag *flags;
    struct cli_value values[CLI_FLAGS_MAX];
    const char *list[CLI_LIST_MAX]; /* of the flag that is a list, in order */
    size_t n_list;
    const char *const *operands;
    size_t n_operands;
    bool help; /* --help or -h was there: nothing else has been checked */
};

/* cli_parse - fills *out from argv[1..argc-1] (argv[0] is the verb); reorders argv, operands last.
 * Errors: ERR_USAGE, one line that names the flag or variable. Not thread-safe: it uses getopt_long(). */
int cli_parse(struct cli_args *out, const struct cli_flag *flags, bool environment, int argc, char **argv,
              struct err *err);

/* Values by name; asking for a flag that the table lacks is a bug (assert). */
bool cli_given(const struct cli_args *args, const char *name);
bool cli_on(const struct cli_args *args, const char *name);
const char *cli_text(const struct cli_args *args, const char *name); /* NULL: not given, no fallback */
uint64_t cli_count(const struct cli_args *args, const char *name);
double cli_number(const struct cli_args *args, const char *name);

/* cli_fill - writes the flags that were given into the members of *into that their rows name: const char * for a text, bool for a switch,
 * uint32_t or uint64_t for a count. cli_default - what a member of *from says, for --help; false where it is no default to tell of. */
void cli_fill(void *into, const struct cli_args *args);
bool cli_default(char *text, size_t size, const struct cli_flag *flag, const void *from);

/* cli_flag_argument, cli_flag_help - what help says of it; of a setting, from core/settings.h. argument NULL: it takes none. */
const char *cli_flag_argument(const struct cli_flag *flag);
const char *cli_flag_help(const struct cli_flag *flag);

/* cli_variable - "CONVD_SNAPSHOT_SECONDS" for "snapshot-seconds"; returns `variable`. */
char *cli_variable(char *variable, size_t size, const char *flag);

#endif
