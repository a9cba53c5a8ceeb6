/* insert.c - the yardstick for a durable sample in a shared log: the same row, inserted by libpq and nothing else.
 *
 *     insert CONNINFO N_BYTES
 *
 * Makes table bench, like convd.event, with one sample of N_BYTES a row. For each line of stdin, a number, it inserts so many rows one after the
 * other, each in a transaction of its own, and answers with the median of their times and the 99th percentile, in microseconds.
 */
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define INSERTS_MAX 100000
#define IMAGE_MAX   65536 /* bytes */
#define COLUMNS     8

static double now_us(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void done(PGconn *conn, PGresult *result)
{
    const ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        (void)fprintf(stderr, "insert: %s", PQerrorMessage(conn));
        exit(1);
    }
    PQclear(result);
}

static void prepare(PGconn *conn)
{
    done(conn, PQexec(conn, "DROP TABLE IF EXISTS bench"));
    done(conn, PQexec(conn, "CREATE TABLE bench (LIKE convd.event INCLUDING ALL)"));
    done(conn,
         PQprepare(conn, "insert",
                   "INSERT INTO bench (revision, created_us, first, kind, body, chain, labels, images)"
                   " VALUES ($1::bigint, $2::bigint, $3::bigint, $4::text, $5::text, $6::bytea, $7::bytea, $8::bytea)",
                   0, NULL));
}

/* Microseconds of one. */
static double insert(PGconn *conn, uint64_t revision, const char *image, int n_bytes)
{
    static const char chain[32] = {1}, label[4] = {7}, created[8] = {0, 6, 1};
    char number[8];
    for (int i = 0; i < 8; i++)
        number[i] = (char)(revision >> (56 - 8 * i));
    const char *values[COLUMNS] = {number, created, number, "train", "{\"first\":1000,\"n\":1}", chain, label, image};
    const int lengths[COLUMNS] = {8, 8, 8, 5, 20, sizeof chain, sizeof label, n_bytes};
    const int formats[COLUMNS] = {1, 1, 1, 1, 1, 1, 1, 1};
    const double begin = now_us();
    done(conn, PQexecPrepared(conn, "insert", COLUMNS, values, lengths, formats, 1));
    return now_us() - begin;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    static double us[INSERTS_MAX];
    static char image[IMAGE_MAX];
    char line[32];
    uint64_t revision = 0;
    const int n_bytes = argc == 3 ? (int)strtol(argv[2], NULL, 10) : 0;
    if (n_bytes < 1 || n_bytes > IMAGE_MAX) {
        (void)fputs("usage: insert CONNINFO N_BYTES\n", stderr);
        return 2;
    }
    PGconn *conn = PQconnectdb(argv[1]);
    if (PQstatus(conn) != CONNECTION_OK) {
        (void)fprintf(stderr, "insert: %s", PQerrorMessage(conn));
        return 1;
    }
    prepare(conn);
    (void)puts("ready");
    (void)fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        const int n = (int)strtol(line, NULL, 10);
        if (n < 1 || n > INSERTS_MAX)
            return 2;
        for (int i = 0; i < n; i++)
            us[i] = insert(conn, ++revision, image, n_bytes);
        qsort(us, (size_t)n, sizeof us[0], by_size);
        (void)printf("%.1f %.1f\n", us[n / 2], us[(size_t)n * 99 / 100]);
        (void)fflush(stdout);
    }
    PQfinish(conn);
    return 0;
}
