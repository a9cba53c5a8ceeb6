/* exit.c - see cli/exit.h */
#include "server/cli/exit.h"

const char cli_exit_codes[] = "exit codes: 0 done, 1 failed, 2 usage, 3 database (missing, foreign, locked, full or\n"
                              "corrupt), 4 network, 130 interrupted\n";

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
    case ERR_DIVERGED:
        return CLI_DATABASE;
    case ERR_BUSY:
    case ERR_LOG:
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
