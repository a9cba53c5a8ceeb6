/* schema.h - the migrations of schema/, embedded at build: schema_sql[v] takes a database from user_version v to v + 1. */
#ifndef CONVD_STORE_SQLITE_SCHEMA_H
#define CONVD_STORE_SQLITE_SCHEMA_H

extern const char *const schema_sql[]; /* schema_version texts, then NULL */
extern const int schema_version;       /* what this binary writes         */

#endif
