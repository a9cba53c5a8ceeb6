/* values.c - what goes into a statement and what comes out, in PostgreSQL's binary form: numbers are big-endian. See internal.h. */
#include <assert.h>
#include <string.h>

#include "store/postgres/internal.h"

void put_number(uint8_t to[8], int64_t number)
{
    for (int i = 0; i < 8; i++)
        to[i] = (uint8_t)((uint64_t)number >> (56 - 8 * i));
}

void values_add(struct values *values, const void *bytes, size_t n)
{
    assert(values->n < VALUES_MAX);
    values->at[values->n] = bytes;
    values->bytes[values->n] = (int)n;
    values->formats[values->n] = 1;
    values->n++;
}

void values_add_number(struct values *values, int64_t number)
{
    uint8_t *to = values->numbers[values->n];
    put_number(to, number);
    values_add(values, to, 8);
}

void values_add_text(struct values *values, const char *text)
{
    values_add(values, text, strlen(text));
}

int64_t result_number(const PGresult *result, int row, int column)
{
    assert(PQgetlength(result, row, column) == 8);
    const unsigned char *from = (const unsigned char *)PQgetvalue(result, row, column);
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | from[i];
    return (int64_t)number;
}

double result_real(const PGresult *result, int row, int column)
{
    const int64_t bits = result_number(result, row, column);
    double real;
    memcpy(&real, &bits, sizeof real);
    return real;
}

bool result_bool(const PGresult *result, int row, int column)
{
    return *PQgetvalue(result, row, column) != 0;
}

bool result_bytes(uint8_t *to, size_t n, const PGresult *result, int row, int column)
{
    if ((size_t)PQgetlength(result, row, column) != n)
        return false;
    memcpy(to, PQgetvalue(result, row, column), n);
    return true;
}
