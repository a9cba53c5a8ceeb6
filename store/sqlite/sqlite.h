/* sqlite.h - the door of store/sqlite/: SQLite as far as convd needs it. No other folder knows the library.
 *
 * In reading order:
 *   db.h          a connection, its statements, and what SQLite says as struct err
 *   internal.h    what the files of db share; the only header that includes sqlite3.h
 *   statements.h  every SQL text
 *   db.c          errors, transactions and the WAL
 *   statement.c   prepare, bind, step, read
 *   schema.h      the tables, embedded at build from schema/
 *   schema_check.c  that the tables of a file are those, and there is nothing beside them
 *   open.c        which file it is, who may have it, and how the connection is set up
 *   place.c       whether the names still lead to the files that are open
 *   copy.c        the database into another file, while it is used
 *   file.{h,c}    a file that appears whole or not at all
 */
