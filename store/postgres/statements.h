/* statements.h - every SQL text for PostgreSQL, in one table. None is ever composed at run time: values are bound.
 *
 * One line each: X(name, text), used as SQL_<name>; a connection prepares each at its first use. schema/postgres.sql has the tables. Names are
 * whole, and the search path is the server's own catalogue alone (SETTINGS), so nobody's tables or functions can stand in their way.
 */
#ifndef CONVD_STORE_POSTGRES_STATEMENTS_H
#define CONVD_STORE_POSTGRES_STATEMENTS_H

/* clang-format off */

/* For a new connection; two times in milliseconds are put in by printf. What matters here must not be as a role's or a database's defaults have it:
 *   synchronous_commit    a commit waits for the standbys that the server is told to wait for
 *   client_min_messages   that such a wait was given up is told by a WARNING
 *   read committed        who lost a race sees the other's end, and no row of its own to change
 *   lock_timeout          a wait for the head's row ends before our own deadline does, and with an answer
 *   idle_in_transaction_session_timeout, client_connection_check_interval
 *                         who stopped or left does not keep the row */
#define SETTINGS                                                                                                       \
    "SET search_path = pg_catalog, pg_temp;"                                                                           \
    "SELECT set_config('synchronous_commit',"                                                                          \
    " CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END, false);"       \
    "SET client_min_messages = warning;"                                                                               \
    "SET default_transaction_isolation = 'read committed';"                                                            \
    "SET statement_timeout = 0;"                                                                                       \
    "SET lock_timeout = %u;"                                                                                           \
    "SET idle_in_transaction_session_timeout = %u;"                                                                    \
    "SET client_connection_check_interval = 1000;"                                                                     \
    "SET plan_cache_mode = force_generic_plan"

#define STATEMENTS(X)                                                                                                  \
    /* And whether table node has all that it has by now. */                                                          \
    X(FORMAT,        "SELECT format::bigint, fence, (SELECT count(*) = 3 FROM pg_attribute"                            \
                     " WHERE attrelid = 'convd.node'::regclass AND attname IN ('compared', 'digest', 'diverged'))"     \
                     " FROM convd.head")                                                                               \
    X(BEGIN,         "BEGIN")                                                                                          \
    X(COMMIT,        "COMMIT")                                                                                         \
    X(ROLLBACK,      "ROLLBACK")                                                                                       \
    X(HEAD,          "SELECT revision, chain, fence FROM convd.head")                                                  \
    X(HEAD_LOCK,     "SELECT revision, chain, fence FROM convd.head FOR UPDATE")                                       \
    X(FENCE,         "UPDATE convd.head SET fence = fence + 1 RETURNING fence")                                        \
    X(APPEND,        "WITH head AS (UPDATE convd.head SET revision = $4, chain = $5"                                   \
                     " WHERE revision = $1 AND chain = $2 AND fence = $3 RETURNING revision),"                         \
                     " rows AS (INSERT INTO convd.event"                                                               \
                     " (revision, created_us, first, kind, body, chain, key, fingerprint, labels, images)"             \
                     " SELECT row.* FROM head, unnest($6::bigint[], $7::bigint[], $8::bigint[], $9::text[], $10::text[]," \
                     " $11::bytea[], $12::text[], $13::bytea[], $14::bytea[], $15::bytea[]) AS row)"                   \
                     " SELECT pg_notify('convd', revision::text) FROM head")                                           \
    X(READ,          "SELECT revision, created_us, first, kind, body, chain, key, fingerprint, labels, images"         \
                     " FROM (SELECT *, sum(size) OVER (ORDER BY revision) - size AS before"                            \
                     " FROM (SELECT *, 200 + octet_length(body) + octet_length(labels)::bigint + octet_length(images) AS size" \
                     " FROM convd.event WHERE revision > $1 ORDER BY revision LIMIT 4096) AS next) AS next"            \
                     " WHERE before < $2::bigint ORDER BY revision")                                                   \
    X(EDITS,         "SELECT revision, created_us, first, kind, body, chain, key, fingerprint, labels, images"         \
                     " FROM convd.event WHERE kind = 'edit' AND revision > $1 ORDER BY revision")                      \
    /* Of each event, its samples as they are, or all ones for a label and zeros for an image; a key that names an image tells it no more. */ \
    X(ERASE,         "UPDATE convd.event AS e SET labels = (SELECT string_agg("                                        \
                     "CASE WHEN s IS NULL THEN substring(e.labels FROM 4 * i + 1 FOR 4) ELSE '\\xffffffff'::bytea END,"    \
                     " ''::bytea ORDER BY i) FROM generate_series(0, octet_length(e.labels) / 4 - 1) AS i"             \
                     " LEFT JOIN unnest(gone.samples) AS s ON s = e.first + i),"                                       \
                     " images = (SELECT string_agg("                                                                   \
                     "CASE WHEN s IS NULL THEN substring(e.images FROM n * i + 1 FOR n) ELSE decode(repeat('00', n), 'hex') END," \
                     " ''::bytea ORDER BY i) FROM generate_series(0, octet_length(e.labels) / 4 - 1) AS i"             \
                     " CROSS JOIN (SELECT octet_length(e.images) / (octet_length(e.labels) / 4)) AS of (n)"            \
                     " LEFT JOIN unnest(gone.samples) AS s ON s = e.first + i),"                                       \
                     " fingerprint = CASE WHEN ascii(e.key) >= 32 THEN decode(repeat('00', 32), 'hex') ELSE e.fingerprint END" \
                     " FROM (SELECT revision, array_agg(sample) AS samples FROM unnest($1::bigint[], $2::bigint[])"    \
                     " AS one (revision, sample) GROUP BY revision) AS gone WHERE e.revision = gone.revision")         \
    X(CHAIN,         "SELECT chain FROM convd.event WHERE revision = $1")                                              \
    X(OLDER,         "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()" \
                     " AND xact_start <= now() - $1::bigint * interval '1 millisecond'")                               \
    X(LISTEN,        "LISTEN convd")                                                                                   \
    X(DIGEST_PUT,    "INSERT INTO convd.digest (revision, digest) VALUES ($1, $2) ON CONFLICT DO NOTHING")             \
    X(DIGEST,        "SELECT digest FROM convd.digest WHERE revision = $1")                                            \
    X(DIGEST_DROP,   "DELETE FROM convd.digest WHERE revision = $1")                                                   \
    X(DIGEST_PRUNE,  "DELETE FROM convd.digest WHERE revision <="                                                      \
                     " (SELECT revision FROM convd.digest ORDER BY revision DESC OFFSET 1000 LIMIT 1)")                \
    X(SNAPSHOT,      "SELECT digest FROM convd.snapshot WHERE revision = $1")                                          \
    X(SNAPSHOT_PUT,  "INSERT INTO convd.snapshot (revision, digest, chain, state, tensors)"                            \
                     " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING")                                            \
    X(SNAPSHOT_PRUNE, "DELETE FROM convd.snapshot WHERE revision > 1 AND revision <= (SELECT revision FROM convd.snapshot" \
                     " WHERE revision > 1 ORDER BY revision DESC OFFSET 4 LIMIT 1)")                                   \
    X(SNAPSHOT_FIND, "SELECT revision, digest, chain, octet_length(state)::bigint, octet_length(tensors)::bigint"      \
                     " FROM convd.snapshot WHERE revision <= $1 ORDER BY revision DESC LIMIT 1")                       \
    X(SNAPSHOT_STATE, "SELECT substring(state FROM $2::bigint::integer FOR $3::bigint::integer)"                       \
                     " FROM convd.snapshot WHERE revision = $1")                                                       \
    X(SNAPSHOT_TENSORS, "SELECT substring(tensors FROM $2::bigint::integer FOR $3::bigint::integer)"                   \
                     " FROM convd.snapshot WHERE revision = $1")                                                       \
    /* Newest snapshot that no edit behind it touches; id of the first sample whose outcome is not there, up to the first gap. */ \
    X(STATES,        "SELECT (SELECT coalesce(max(revision), 0) FROM convd.snapshot AS s WHERE revision > 1"           \
                     " AND NOT EXISTS (SELECT FROM convd.event AS e WHERE e.kind = 'edit' AND e.revision > s.revision" \
                     " AND (e.body::json->>'from')::bigint <= s.revision)),"                                           \
                     " CASE WHEN EXISTS (SELECT FROM convd.outcome WHERE first = 1) THEN"                              \
                     " (SELECT min(o.first + o.n) FROM convd.outcome AS o"                                             \
                     " WHERE NOT EXISTS (SELECT FROM convd.outcome AS p WHERE p.first = o.first + o.n)) ELSE 1 END,"   \
                     " has_table_privilege('convd.outcome', 'INSERT') AND NOT pg_is_in_recovery()")                    \
    X(SNAPSHOT_DROP, "DELETE FROM convd.snapshot WHERE revision > 1 AND revision >= $1 AND revision < $2")             \
    X(OUTCOME_DROP,  "DELETE FROM convd.outcome WHERE revision >= $1 AND revision < $2")                               \
    X(OUTCOME_PUT,   "INSERT INTO convd.outcome (first, n, revision, rows) VALUES ($1, $2, $3, $4)"                    \
                     " ON CONFLICT DO NOTHING")                                                                        \
    X(OUTCOME_GET,   "SELECT first, n, rows, revision FROM convd.outcome WHERE first <= $1 AND first + n > $1"         \
                     " ORDER BY first DESC LIMIT 1")                                                                   \
    /* Told again every moment, and no loss if it is lost: the only one that does not wait for a disk. */              \
    X(NODE_TELL,     "WITH quick AS (SELECT set_config('synchronous_commit', 'off', true))"                            \
                     " INSERT INTO convd.node (name, revision, told) SELECT $1::text, $2::bigint, clock_timestamp() FROM quick" \
                     " ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, told = excluded.told")           \
    X(NODE_TELL_ALL, "WITH quick AS (SELECT set_config('synchronous_commit', 'off', true))"                            \
                     " INSERT INTO convd.node (name, revision, told, compared, digest, diverged)"                      \
                     " SELECT $1::text, $2::bigint, clock_timestamp(), $3::bigint, $4::bytea, $5::boolean FROM quick"  \
                     " ON CONFLICT (name) DO UPDATE SET revision = excluded.revision, told = excluded.told,"           \
                     " compared = excluded.compared, digest = excluded.digest, diverged = excluded.diverged")          \
    X(NODE_FORGET,   "DELETE FROM convd.node WHERE name = $1")                                                         \
    /* By to_jsonb(), a column that is not there is NULL. */                                                           \
    X(NODES,         "SELECT name, revision, extract(epoch FROM clock_timestamp() - told)::double precision,"          \
                     " (own->>'compared')::bigint, (own->>'digest')::bytea, (own->>'diverged')::boolean"               \
                     " FROM convd.node AS n, to_jsonb(n) AS own ORDER BY name COLLATE \"C\"")                          \
    X(SERVER,        "SELECT pg_is_in_recovery(), count(*), count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')),"  \
                     " current_setting('synchronous_standby_names')"                                                   \
                     " FROM pg_stat_replication WHERE state IS NULL OR state = 'streaming'")                           \
    /* The key says "convd" in ASCII. */                                                                              \
    X(IDLE_LOCK,     "SELECT NOT pg_is_in_recovery() AND pg_try_advisory_lock(427071272548)")                  \
    X(IDLE_UNLOCK,   "SELECT pg_advisory_unlock(427071272548)")

/* clang-format on */

#define STATEMENT_NAME(name, text) SQL_##name,
enum statement { STATEMENTS(STATEMENT_NAME) SQL_N };
#undef STATEMENT_NAME

#endif
