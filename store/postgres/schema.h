/* schema.h - schema/postgres.sql, embedded at build; terminated. */
#ifndef CONVD_STORE_POSTGRES_SCHEMA_H
#define CONVD_STORE_POSTGRES_SCHEMA_H

#include <stddef.h>

extern const unsigned char postgres_schema[];
extern const size_t postgres_schema_bytes;

#endif
