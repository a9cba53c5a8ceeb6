/* nodes.c - who follows the log, what the server says of itself, and who may rehearse on its own. See postgres.h. */
#include <stdio.h>
#include <stdlib.h>

#include "store/postgres/internal.h"

int postgres_node_tell(struct postgres *pg, const struct log_node *node, struct err *err)
{
    struct values values = {0};
    const uint8_t diverged = node->diverged == 1;
    if (postgres_ready_alone(pg, err) != 0)
        return -1;
    values_add_text(&values, node->name);
    values_add_number(&values, (int64_t)node->revision);
    if (!pg->nodes_tell_all)
        return postgres_tell(pg, SQL_NODE_TELL, &values, err);
    if (node->compared != 0) {
        values_add_number(&values, (int64_t)node->compared);
        values_add(&values, node->digest, DIGEST_BYTES);
    } else {
        values_add(&values, NULL, 0);
        values_add(&values, NULL, 0);
    }
    values_add(&values, &diverged, 1);
    return postgres_tell(pg, SQL_NODE_TELL_ALL, &values, err);
}

int postgres_node_forget(struct postgres *pg, const char *name, struct err *err)
{
    struct values values = {0};
    values_add_text(&values, name);
    return postgres_ready_alone(pg, err) == 0 ? postgres_do(pg, SQL_NODE_FORGET, &values, err) : -1;
}

static void read_node(struct log_node *node, const PGresult *result, int row)
{
    (void)snprintf(node->name, sizeof node->name, "%s", PQgetvalue(result, row, 0));
    node->revision = (uint64_t)result_number(result, row, 1);
    node->age_s = result_real(result, row, 2);
    if (!PQgetisnull(result, row, 3) && result_bytes(node->digest, DIGEST_BYTES, result, row, 4))
        node->compared = (uint64_t)result_number(result, row, 3);
    node->diverged = PQgetisnull(result, row, 5) ? -1 : result_bool(result, row, 5);
}

int postgres_nodes(struct log_node **list, size_t *n, struct postgres *pg, struct err *err)
{
    PGresult *result;
    *list = NULL;
    *n = 0;
    if (postgres_ready_alone(pg, err) != 0 || postgres_run(&result, pg, SQL_NODES, NULL, err) != 0)
        return -1;
    const int found = PQntuples(result);
    struct log_node *nodes = calloc((size_t)found + 1, sizeof *nodes);
    for (int i = 0; nodes != NULL && i < found; i++)
        read_node(&nodes[i], result, i);
    PQclear(result);
    *list = nodes;
    *n = nodes != NULL ? (size_t)found : 0;
    return nodes != NULL ? 0 : err_memory(err, "%d nodes", found);
}

int postgres_server(struct log_server *out, struct postgres *pg, struct err *err)
{
    PGresult *result;
    if (postgres_ready_alone(pg, err) != 0 || postgres_run(&result, pg, SQL_SERVER, NULL, err) != 0)
        return -1;
    *out = (struct log_server){.standby = result_bool(result, 0, 0),
                               .standbys = (unsigned)result_number(result, 0, 1),
                               .standbys_sync = (unsigned)result_number(result, 0, 2)};
    (void)snprintf(out->host, sizeof out->host, "%s", PQhost(pg->conn));
    (void)snprintf(out->version, sizeof out->version, "%s", PQparameterStatus(pg->conn, "server_version"));
    (void)snprintf(out->synchronous, sizeof out->synchronous, "%s", PQgetvalue(result, 0, 3));
    PQclear(result);
    return 0;
}

/* Of a statement that gives one truth: 1, 0, -1. */
static int ask(struct postgres *pg, enum statement which, struct err *err)
{
    PGresult *result;
    if (postgres_run(&result, pg, which, NULL, err) != 0)
        return -1;
    const bool yes = result_bool(result, 0, 0);
    PQclear(result);
    return yes;
}

int postgres_idle_lock(struct postgres *pg, struct err *err)
{
    if (postgres_ready_alone(pg, err) != 0)
        return -1;
    if (pg->idle)
        return 1;
    const int yes = ask(pg, SQL_IDLE_LOCK, err);
    pg->idle = yes == 1;
    return yes;
}

int postgres_idle_unlock(struct postgres *pg, struct err *err)
{
    if (!pg->idle)
        return 0;
    if (postgres_ready_alone(pg, err) != 0)
        return -1;
    const bool held = pg->idle; /* else it went with a connection */
    pg->idle = false;
    return held && ask(pg, SQL_IDLE_UNLOCK, err) < 0 ? -1 : 0;
}
