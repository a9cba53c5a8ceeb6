/* file.h - a file that appears whole or not at all: made under a name of its own beside the one that it will have. What the store
 * makes is a database, what the command line writes is any other file; neither is ever written in the place of a database. */
#ifndef CONVD_STORE_SQLITE_FILE_H
#define CONVD_STORE_SQLITE_FILE_H

#include <stdbool.h>

#include "core/err.h"

/* file_check_absent - ERR_CONFLICT where the file, or what SQLite keeps beside it, is there, or where the name is one that SQLite
 * gives to a file beside another database. */
int file_check_absent(const char *path, struct err *err);

/* file_check_no_database - ERR_CONFLICT where the path is that of an SQLite database, or the name of a WAL, a journal or an index
 * beside one, there or not. Not for a database that this process has open: closing a descriptor of it would drop its locks. */
int file_check_no_database(const char *path, struct err *err);

/* file_temporary - an empty file beside `path`, with a name of its own, malloc'ed and with room for SQLite's suffixes, that its owner alone
 * may read and write, whatever the umask. NULL: error.
 * file_remove - whatever of it is there. file_publish - gives it the name `path`; without `replace` never over another file.
 * file_sync_directory - a new name survives a power cut from then on. Errors: those of store_create(). */
char *file_temporary(const char *path, struct err *err);
void file_remove(char *temporary);
int file_publish(const char *temporary, const char *path, bool replace, struct err *err);
int file_sync_directory(const char *path, struct err *err);

#endif
