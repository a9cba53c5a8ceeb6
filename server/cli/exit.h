/* exit.h - exit codes of `convd VERB`, and the way from an error to one. */
#ifndef CONVD_SERVER_CLI_EXIT_H
#define CONVD_SERVER_CLI_EXIT_H

#include "core/err.h"

/* What scripts can tell apart. --help prints this table; it is part of the contract. */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1,        /* an input file, a label, a request that was refused     */
    CLI_USAGE = 2,         /* the command line                                      */
    CLI_DATABASE = 3,      /* missing, foreign, locked, read-only, full or corrupt  */
    CLI_NETWORK = 4,       /* the daemon or the shared log out of reach, or the port */
    CLI_INTERRUPTED = 130, /* SIGINT or SIGTERM; what was done by then is kept      */
};

/* The same table as --help prints it. */
extern const char cli_exit_codes[];

/* cli_exit_code - the one table from error code to exit code. */
enum cli_exit cli_exit_code(enum err_code code);

#endif
