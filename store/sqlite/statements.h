/* statements.h - every SQL text of convd, in one table. None is ever composed at run time: values are bound.
 *
 * One line each: X(name, text). store/sqlite/statement.c prepares a text the first time it is used and keeps it. The names are used as
 * SQL_<name>. Bound values are ?1, ?2, ..; store/sqlite/db.h numbers result columns from 0.
 */
#ifndef CONVD_STORE_SQLITE_STATEMENTS_H
#define CONVD_STORE_SQLITE_STATEMENTS_H

/* clang-format off */

/* Of a row of table edit or edited: it is of an edit that was made, not one that is being written down. */
#define MADE " number IS NOT (SELECT number FROM edit_work WHERE event IS NULL)"

/* Of a row of table sample: the number of its class as it is now, -1 where it was forgotten. */
#define LABEL_NOW                                                                                                      \
    "coalesce((SELECT edit.label FROM edit WHERE edit.sample = sample.id AND" MADE                                     \
    " ORDER BY edit.number DESC LIMIT 1), sample.label)"

/* Samples as they are now: the text of view sample_now, which is for people. A view is the file's, and is not asked. */
#define SAMPLE_NOW                                                                                                     \
    "(SELECT sample.id AS id, sample.revision AS revision, " LABEL_NOW " AS label, outcome.predicted AS predicted,"    \
    " outcome.loss AS loss, sample.image AS image FROM sample LEFT JOIN outcome ON outcome.sample = sample.id"         \
    " WHERE sample.label >= 0 AND NOT EXISTS (SELECT 1 FROM edit WHERE edit.sample = sample.id AND edit.label = -1"    \
    " AND edit.number = (SELECT number FROM edit_work WHERE event IS NOT NULL)))"

/* Of a row of SAMPLE_NOW: it is not accepted to be forgotten, neither alone nor with its class. */
#define NOT_GOING                                                                                                      \
    " AND NOT EXISTS (SELECT 1 FROM edit_pending WHERE edit_pending.sample = sample.id AND edit_pending.label IS NULL)" \
    " AND NOT EXISTS (SELECT 1 FROM class_pending WHERE class_pending.id = sample.label AND merged_into IS NULL)"

#define STATEMENTS(X)                                                                                                  \
    /* ---- the connection: store/sqlite/open.c ---- */                                                                \
    X(PAGE_SIZE,         "PRAGMA page_size = 8192")                                                                    \
    X(LOCKING_EXCLUSIVE, "PRAGMA locking_mode = EXCLUSIVE")                                                            \
    X(JOURNAL_WAL,       "PRAGMA journal_mode = WAL")                                                                  \
    X(SYNCHRONOUS_FULL,  "PRAGMA synchronous = FULL")                                                                  \
    X(SYNCHRONOUS_NORMAL, "PRAGMA synchronous = NORMAL")                                                               \
    X(SYNCHRONOUS,       "PRAGMA synchronous")                                                                         \
    X(NO_AUTOCHECKPOINT, "PRAGMA wal_autocheckpoint = 0")                                                              \
    X(WAL_KEEPS,         "PRAGMA journal_size_limit = 33554432")                                                       \
    X(FOREIGN_KEYS,      "PRAGMA foreign_keys = ON")                                                                   \
    X(SECURE_DELETE,     "PRAGMA secure_delete = ON")                                                                  \
    X(UNTRUSTED_SCHEMA,  "PRAGMA trusted_schema = OFF")                                                                \
    X(CELL_SIZE_CHECK,   "PRAGMA cell_size_check = ON")                                                                \
    X(TEMP_IN_MEMORY,    "PRAGMA temp_store = MEMORY")                                                                 \
    X(CACHE_SIZE,        "PRAGMA cache_size = -1024")                                                                  \
    X(QUERY_ONLY,        "PRAGMA query_only = ON")                                                                     \
    X(COPY_NO_JOURNAL,   "PRAGMA journal_mode = OFF")                                                                  \
    X(COPY_NO_SYNC,      "PRAGMA synchronous = OFF")                                                                   \
    X(APPLICATION_ID,    "PRAGMA application_id")                                                                      \
    X(USER_VERSION,      "PRAGMA user_version")                                                                        \
    X(PAGE_COUNT,        "PRAGMA page_count")                                                                          \
    X(INTEGRITY,         "PRAGMA integrity_check(1)")                                                                  \
    X(FOREIGN_KEYS_LATE, "PRAGMA defer_foreign_keys = ON")                                                             \
    X(FOREIGN_KEY_CHECK, "PRAGMA foreign_key_check")                                                                   \
    X(SCHEMA_ROWS,       "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")                    \
    X(NUMBERS,           "SELECT 'revision', max(revision) FROM event UNION ALL SELECT 'revision', min(revision) FROM event" \
                         " UNION ALL SELECT 'sample', max(id) FROM sample UNION ALL SELECT 'sample', min(id) FROM sample" \
                         " UNION ALL SELECT 'snapshot', max(seq) FROM sqlite_sequence"                                 \
                         " UNION ALL SELECT 'snapshot', min(id) FROM snapshot"                                         \
                         " UNION ALL SELECT 'edit', max(number) FROM edit UNION ALL SELECT 'edit', min(number) FROM edit") \
    X(BEGIN,             "BEGIN IMMEDIATE")                                                                            \
    X(COMMIT,            "COMMIT")                                                                                     \
    X(ROLLBACK,          "ROLLBACK")                                                                                   \
    /* ---- the log: store/log/log.c, samples.c, search.c, windows.c ---- */                                           \
    X(EVENT_INSERT,      "INSERT INTO event (revision, kind, created_us, body, chain) VALUES (?1, ?2, ?3, ?4, ?5)")    \
    X(EVENT_LAST,        "SELECT revision, chain FROM event ORDER BY revision DESC LIMIT 1")                           \
    X(EVENT_FIRST,       "SELECT kind, body FROM event WHERE revision = 1")                                            \
    X(EVENT_CHAIN,       "SELECT chain FROM event WHERE revision = ?1")                                                \
    X(EVENTS_AFTER,      "SELECT revision, kind, created_us, body, chain FROM event WHERE revision > ?1"               \
                         " ORDER BY revision")                                                                         \
    X(ROW_EVENTS,        "SELECT event.revision, kind, event.created_us, body, chain, key, fingerprint"                \
                         " FROM event LEFT JOIN idempotency ON idempotency.revision = event.revision"                  \
                         " WHERE event.revision > ?1 ORDER BY event.revision")                                         \
    X(ROW_SAMPLES,       "SELECT id, label, image FROM sample INDEXED BY sample_revision WHERE revision = ?1 ORDER BY id") \
    X(RARE_EVENTS,       "SELECT revision, body FROM event WHERE kind = ?3 AND kind <> 'train'"                        \
                         " AND revision BETWEEN ?1 AND ?2 ORDER BY revision")                                          \
    X(LINEAGE_TURN,      "SELECT max(revision) FROM event WHERE kind = 'activate' AND kind <> 'train'"                 \
                         " AND revision <= ?1")                                                                        \
    X(TRAIN_LAST,        "SELECT body FROM event WHERE kind = 'train' ORDER BY revision DESC LIMIT 1")                 \
    X(SAMPLE_INSERT,     "INSERT INTO sample (id, revision, label, image) VALUES (?1, ?2, ?3, ?4)")                    \
    X(SAMPLES_FROM,      "SELECT id, revision, label, image, predicted, loss FROM sample LEFT JOIN outcome ON sample = id" \
                         " WHERE id >= ?1 ORDER BY id")                                                                \
    X(SAMPLE_FIND,       "SELECT " LABEL_NOW ", image, revision FROM sample WHERE id = ?1")                            \
    X(SAMPLE_ROW,        "SELECT revision, " LABEL_NOW ", predicted, loss,"                                            \
                         " (SELECT created_us FROM event WHERE event.revision = sample.revision)"                      \
                         " FROM sample LEFT JOIN outcome ON outcome.sample = id WHERE id = ?1")                        \
    X(SAMPLES_DOWN,      "SELECT id, revision, label, predicted, loss,"                                                \
                         " (SELECT created_us FROM event WHERE event.revision = sample.revision)"                      \
                         " FROM " SAMPLE_NOW " AS sample WHERE id BETWEEN ?1 AND ?2 AND (?3 < 0 OR label = ?3)"        \
                         " AND (?4 < 0 OR predicted = ?4) AND (?5 < 0 OR (label <> predicted) = ?5)" NOT_GOING         \
                         " ORDER BY id DESC LIMIT ?6")                                                                 \
    X(SAMPLES_UP,        "SELECT id, revision, label, predicted, loss,"                                                \
                         " (SELECT created_us FROM event WHERE event.revision = sample.revision), image"               \
                         " FROM " SAMPLE_NOW " AS sample WHERE id BETWEEN ?1 AND ?2" NOT_GOING " ORDER BY id LIMIT ?3") \
    X(SAMPLE_GOING,      "SELECT 1 FROM " SAMPLE_NOW " AS sample WHERE id = ?1 AND NOT (TRUE" NOT_GOING ")")           \
    X(SAMPLE_SINCE,      "SELECT id FROM sample INDEXED BY sample_revision WHERE revision >= ?1"                       \
                         " ORDER BY revision, id LIMIT 1")                                                             \
    X(SAMPLE_UNTIL,      "SELECT id FROM sample INDEXED BY sample_revision WHERE revision <= ?1"                       \
                         " ORDER BY revision DESC, id DESC LIMIT 1")                                                   \
    X(OUTCOME_INSERT,    "INSERT INTO outcome (sample, step, predicted, loss, refused) VALUES (?1, ?2, ?3, ?4, ?5)")   \
    X(OUTCOME_TAKE,      "INSERT INTO outcome (sample, step, predicted, loss, refused) SELECT ?1, ?2, ?3, ?4, ?5"      \
                         " FROM sample WHERE id = ?1 AND label >= 0")                                                  \
    X(OUTCOME_ROWS,      "SELECT sample, step, predicted, loss, refused FROM outcome WHERE sample BETWEEN ?1 AND ?2"   \
                         " ORDER BY sample")                                                                           \
    X(OUTCOME_LAST,      "SELECT max(sample) FROM outcome")                                                            \
    X(OUTCOMES_FORGET,   "DELETE FROM outcome")                                                                        \
    X(OUTCOME_COUNT,     "SELECT count(sample) FROM outcome WHERE sample >= ?1")                                       \
    X(OUTCOMES_OF_EVENT, "SELECT id, CASE WHEN EXISTS (SELECT 1 FROM " SAMPLE_NOW " AS now WHERE now.id = sample.id)"  \
                         " THEN label ELSE -1 END, step, predicted, loss, refused FROM sample INDEXED BY sample_revision" \
                         " LEFT JOIN outcome ON sample = id WHERE revision = ?1 ORDER BY id")                          \
    X(OUTCOMES,          "SELECT count(*), coalesce(sum(label = predicted), 0), total(loss), count(loss) FROM " SAMPLE_NOW \
                         " WHERE id BETWEEN ?1 AND ?2")                                                                \
    X(EVENT_TIME,        "SELECT created_us FROM event WHERE revision = ?1")                                           \
    X(SAMPLE_BELOW,      "SELECT id FROM " SAMPLE_NOW " WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC LIMIT 1")          \
    X(SAMPLE_LAST,       "SELECT id, revision FROM sample ORDER BY id DESC LIMIT 1")                                   \
    /* ---- edits: store/replay/edits.c, store/log/edit_rows.c ---- */                                                 \
    X(EDIT_INSERT,       "INSERT INTO edit (sample, number, was, label) VALUES (?1, ?2, ?3, ?4)")                      \
    X(EDIT_ROWS,         "SELECT sample, was, label FROM edit WHERE number = ?1 AND sample > ?2 ORDER BY sample LIMIT ?3") \
    X(EDITS_BETWEEN,     "SELECT sample, label FROM edit WHERE sample BETWEEN ?1 AND ?2 AND" MADE                      \
                         " ORDER BY sample, number")                                                                   \
    X(FORGOTTEN,         "SELECT sample FROM edit WHERE label = -1 AND sample BETWEEN ?1 AND ?2 AND" MADE              \
                         " ORDER BY sample")                                                                           \
    X(EDITED_INSERT,     "INSERT INTO edited (revision, number, hash) VALUES (?1, ?2, ?3)")                            \
    X(EDITED_ROWS,       "SELECT revision, hash FROM edited WHERE number = ?1 AND revision > ?2"                       \
                         " ORDER BY revision LIMIT ?3")                                                                \
    X(EDITED_HASH,       "SELECT hash FROM edited WHERE revision = ?1 AND" MADE " ORDER BY number DESC LIMIT 1")       \
    X(EDIT_WORK_BEGIN,   "INSERT INTO edit_work (number, next) SELECT ?1, 0"                                           \
                         " WHERE NOT EXISTS (SELECT 1 FROM edit WHERE number >= ?1) RETURNING number")                 \
    X(EDIT_WORK_MADE,    "UPDATE edit_work SET event = ?2 WHERE number = ?1")                                          \
    X(STAGED,            "SELECT number FROM edit_work WHERE event IS NULL")                                           \
    X(STAGED_EDITS_DROP, "DELETE FROM edit WHERE number = ?1 AND sample IN"                                            \
                         " (SELECT sample FROM edit WHERE number = ?1 ORDER BY sample LIMIT ?2) RETURNING 1")          \
    X(STAGED_EDITED_DROP, "DELETE FROM edited WHERE number = ?1 AND revision IN"                                       \
                         " (SELECT revision FROM edited WHERE number = ?1 ORDER BY revision LIMIT ?2) RETURNING 1")    \
    X(EDIT_STRAYS,       "SELECT 1 FROM edit_work WHERE (event IS NULL) = (number <= ?1)"                              \
                         " UNION ALL SELECT 1 FROM edit WHERE number > ?1 AND" MADE                                    \
                         " UNION ALL SELECT 1 FROM edited WHERE number > ?1 AND" MADE)                                 \
    X(SWEEP_NEXT,        "SELECT number, next FROM edit_work WHERE event IS NOT NULL")                                 \
    X(SWEEP_ROWS,        "SELECT sample, label, (SELECT revision FROM sample WHERE id = edit.sample) FROM edit"        \
                         " WHERE number = ?1 AND sample >= ?2 ORDER BY sample LIMIT ?3")                               \
    X(SWEEP_TO,          "UPDATE edit_work SET next = ?2 WHERE number = ?1")                                           \
    X(EDIT_WORK_END,     "DELETE FROM edit_work WHERE number = ?1")                                                    \
    X(SWEEP_SEES,        "SELECT 1 FROM edit JOIN edit_work USING (number) WHERE edit.sample = ?1 AND edit.label = -1" \
                         " AND event IS NOT NULL AND next <= ?1")                                                      \
    X(SAMPLE_FORGET,     "UPDATE sample SET label = -1, image = zeroblob(max(length(image), 1) - 1)"                   \
                         " WHERE id = ?1 AND label >= 0")                                                              \
    X(OUTCOME_FORGET,    "UPDATE outcome SET predicted = 0, loss = NULL, refused = 0 WHERE sample = ?1")               \
    X(PENDING_PUT,       "INSERT INTO edit_pending (sample, label, drop_pinned) VALUES (?1, ?2, ?3)"                   \
                         " ON CONFLICT (sample) DO UPDATE SET label = excluded.label, drop_pinned = excluded.drop_pinned") \
    X(PENDING_LIST,      "SELECT sample, label, drop_pinned FROM edit_pending ORDER BY sample")                        \
    X(EDITS_UNDONE,      "SELECT (SELECT count(*) FROM edit_pending) + (SELECT count(*) FROM class_pending)"           \
                         " + (SELECT count(*) FROM edit_work)")                                                        \
    X(EDITS_COUNT,       "SELECT total(label = -1), total(label >= 0) FROM edit WHERE number > ?1 AND" MADE)          \
    X(PENDING_CLEAR,     "DELETE FROM edit_pending")                                                                   \
    X(REMOVED_LIST,      "SELECT id FROM class_removed ORDER BY id")                                                   \
    X(REMOVED_INSERT,    "INSERT INTO class_removed (id, event, merged_into) VALUES (?1, ?2, ?3)")                     \
    X(REMOVED_ROWS,      "SELECT id, merged_into FROM class_removed WHERE event = ?1 ORDER BY id")                     \
    X(REMOVAL_PUT,       "INSERT INTO class_pending (id, merged_into, drop_pinned) VALUES (?1, ?2, ?3)"                \
                         " ON CONFLICT (id) DO UPDATE SET drop_pinned = excluded.drop_pinned")                         \
    X(REMOVAL_FIND,      "SELECT id, merged_into, drop_pinned FROM class_pending")                                     \
    X(REMOVAL_CLEAR,     "DELETE FROM class_pending")                                                                  \
    X(SAMPLES_OF_CLASS,  "SELECT id, revision FROM " SAMPLE_NOW " WHERE label = ?1 AND id BETWEEN ?2 AND ?3 ORDER BY id") \
    /* from class to class, not from row to row; of a sample that is not kept, 1 */                                    \
    X(EDIT_FIRST_ABOVE,  "WITH RECURSIVE class (id) AS (SELECT min(label) FROM edit WHERE label >= ?1 AND label >= 0"  \
                         " UNION ALL SELECT (SELECT min(label) FROM edit WHERE label > id AND label >= 0) FROM class"  \
                         " WHERE id IS NOT NULL) SELECT coalesce((SELECT revision FROM sample WHERE id = least), 1)"   \
                         " FROM (SELECT min((SELECT sample FROM edit WHERE label = class.id AND label >= 0 AND" MADE   \
                         " ORDER BY sample LIMIT 1)) AS least FROM class) WHERE least IS NOT NULL")                    \
    /* ---- rehearsals: store/log/rehearsal.c ---- */                                                                  \
    X(SAMPLES_SPAN,      "SELECT id FROM sample INDEXED BY sample_revision WHERE revision BETWEEN ?1 AND ?2"           \
                         " AND id BETWEEN ?3 AND ?4 ORDER BY revision, id")                                            \
    X(SAMPLES_AMONG,     "SELECT count(*) FROM sample INDEXED BY sample_revision WHERE revision BETWEEN ?1 AND ?2")    \
    X(SAMPLE_FROM,       "SELECT revision FROM sample WHERE id >= ?1 ORDER BY id LIMIT 1")                             \
    /* ---- compaction: store/replay/compaction.c; what a key, a snapshot or an edit refers to stays ---- */           \
    X(OLD_SAMPLES,       "SELECT id, EXISTS (SELECT 1 FROM idempotency WHERE idempotency.revision = sample.revision)"  \
                         " FROM sample WHERE id BETWEEN ?1 AND ?2 ORDER BY id LIMIT ?3")                               \
    X(SAMPLE_DROP,       "DELETE FROM sample WHERE id = ?1")                                                           \
    X(OUTCOME_DROP,      "DELETE FROM outcome WHERE sample = ?1")                                                      \
    X(OLD_EVENTS,        "SELECT revision FROM event WHERE revision BETWEEN ?1 AND ?2"                                 \
                         " AND kind IN ('train', 'rehearse', 'idle')"                                                  \
                         " AND NOT EXISTS (SELECT 1 FROM sample WHERE sample.revision = event.revision)"               \
                         " AND NOT EXISTS (SELECT 1 FROM idempotency WHERE idempotency.revision = event.revision)"     \
                         " AND NOT EXISTS (SELECT 1 FROM snapshot WHERE snapshot.revision = event.revision)"           \
                         " AND NOT EXISTS (SELECT 1 FROM edited WHERE edited.revision = event.revision)"               \
                         " ORDER BY revision LIMIT ?3")                                                                \
    X(EVENT_DROP,        "DELETE FROM event WHERE revision = ?1")                                                      \
    X(SNAPSHOTS_GO,      "UPDATE snapshot SET gone = 1 WHERE revision < ?1 AND NOT pinned AND NOT gone")               \
    /* ---- the classes as they are: store/log/classes.c ---- */                                                       \
    X(CLASS_INSERT,      "INSERT INTO class (id, label) VALUES (?1, ?2)")                                              \
    X(CLASS_RENAME,      "UPDATE class SET label = ?2 WHERE id = ?1")                                                  \
    X(CLASS_DELETE,      "DELETE FROM class WHERE id = ?1")                                                            \
    X(CLASS_CLEAR,       "DELETE FROM class")                                                                          \
    X(CLASS_LIST,        "SELECT id, label FROM class ORDER BY id")                                                    \
    /* ---- idempotency keys: store/log/keys.c ---- */                                                                 \
    X(KEY_INSERT,        "INSERT INTO idempotency (key, fingerprint, revision, created_us) VALUES (?1, ?2, ?3, ?4)")   \
    X(KEY_FIND,          "SELECT fingerprint, revision FROM idempotency WHERE key = ?1")                               \
    X(KEY_NEWEST,        "SELECT created_us FROM idempotency ORDER BY rowid DESC LIMIT 1")                             \
    X(KEY_FORGET,        "UPDATE idempotency SET fingerprint = zeroblob(32)"                                           \
                         " WHERE revision = ?1 AND unicode(key) >= 32")                                                \
    X(KEY_EXPIRE,        "DELETE FROM idempotency WHERE rowid IN (SELECT rowid FROM idempotency ORDER BY rowid LIMIT 1000)" \
                         " AND (created_us <= ?1 OR rowid <= (SELECT max(rowid) FROM idempotency) - ?2) RETURNING 1")  \
    /* ---- snapshots: store/replay/snapshots.c, store/replay/retention.c ---- */                                      \
    X(SNAPSHOT_INSERT,   "INSERT INTO snapshot (revision, step, created_us, reason, pinned, note, digest, chain,"      \
                         " arithmetic, samples, correct, state)"                                                       \
                         " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)"                                 \
                         " RETURNING id")                                                                              \
    X(SNAPSHOT_LIST,     "SELECT id, revision, step, created_us, reason, pinned, note, digest, samples, correct,"      \
                         " arithmetic FROM snapshot WHERE NOT gone ORDER BY id")                                       \
    X(SNAPSHOT_FIND,     "SELECT id, revision, step, created_us, reason, pinned, note, digest, samples, correct,"      \
                         " arithmetic FROM snapshot WHERE id = ?1 AND NOT gone")                                       \
    X(SNAPSHOT_STATE,    "SELECT state FROM snapshot WHERE id = ?1")                                                   \
    X(SNAPSHOT_UPDATE,    "UPDATE snapshot SET pinned = ?2, note = ?3 WHERE id = ?1")                                  \
    X(SNAPSHOT_GONE,     "UPDATE snapshot SET gone = ?2 WHERE id = ?1")                                                \
    X(SNAPSHOTS_GONE,    "SELECT DISTINCT revision FROM snapshot WHERE gone ORDER BY revision")                        \
    X(SNAPSHOT_SWEEP,    "DELETE FROM snapshot WHERE id = (SELECT min(id) FROM snapshot WHERE gone) RETURNING 1")      \
    X(SNAPSHOT_DELETE,   "DELETE FROM snapshot WHERE id = ?1")                                                         \
    X(SNAPSHOT_HIGHEST,  "SELECT max(revision) FROM snapshot")                                                         \
    X(SNAPSHOTS_UPTO,    "SELECT s.id, s.revision, s.arithmetic, s.chain IS e.chain"                                   \
                         " FROM snapshot AS s LEFT JOIN event AS e ON e.revision = s.revision"                         \
                         " WHERE s.revision <= ?1 AND NOT s.gone ORDER BY s.revision DESC, s.id DESC")                 \
    X(SNAPSHOTS_AT,      "SELECT s.id, s.chain IS e.chain FROM snapshot AS s JOIN event AS e USING (revision)"         \
                         " WHERE s.revision = ?1 AND NOT s.gone ORDER BY s.id")                                        \
    X(SNAPSHOTS_FORGET,  "DELETE FROM snapshot WHERE NOT (revision = 1 AND reason = 'create')")                        \
    X(SNAPSHOT_COUNT,    "SELECT count(id) FROM snapshot")                                                             \
    X(SNAPSHOT_UNCREATE, "DELETE FROM snapshot WHERE revision = 1 AND reason = 'create'")                              \
    X(TENSOR_INSERT,     "INSERT INTO tensor (snapshot, name, rows, columns, data) VALUES (?1, ?2, ?3, ?4, ?5)")       \
    X(TENSOR_FIND,       "SELECT rows, columns, data FROM tensor WHERE snapshot = ?1 AND name = ?2")
/* clang-format on */

#define STATEMENT_NAME(name, text) SQL_##name,
enum statement { STATEMENTS(STATEMENT_NAME) SQL_N };
#undef STATEMENT_NAME

#endif
