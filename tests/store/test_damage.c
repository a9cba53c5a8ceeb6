/* test_damage.c - one byte after the other of a small model's files is damaged: the database with its snapshots, and the WAL.
 *
 * Each time it is opened as the daemon opens it, and what comes of it must be one of three:
 *
 *   whole      the state is that of the last event: the byte was in none of the rows that a start reads. Then verify
 *              either finds it, or the byte carried nothing of the log: the replay from nothing gives the same digest
 *   a prefix   the state is, by its digest, the one that was acknowledged at the revision that it names, no later than
 *              the last. Where that was a salvage, nothing can be written; where SQLite dropped the end of a WAL, it is a
 *              commit's end
 *   refused    an error that says so
 *
 * and never another state, a crash or a hang. DAMAGE_BYTES=all takes every byte; else that many, drawn evenly.
 */
#include "tests/core/run.h"
#include "tests/store/model.h"

#define N_EVENTS  16
#define BYTES_MAX ((size_t)4 << 20)

/* What was acknowledged. */
static struct {
    uint64_t last;
    uint8_t digests[N_EVENTS + 1][DIGEST_BYTES];
    bool commit[N_EVENTS + 1]; /* a group ended there */
} truth;

static void note(const struct model *m)
{
    ck_assert_uint_le(m->learner->revision, N_EVENTS);
    learner_digest(m->learner, truth.digests[m->learner->revision]);
    truth.last = m->learner->revision;
    truth.commit[truth.last] = true;
}

#define noted(m, what)                                                                                                 \
    do {                                                                                                               \
        what;                                                                                                          \
        note(m);                                                                                                       \
    } while (0)

/*  2 train  3 class  4 tune  5 train, snapshot 2  6 train  7 class  8 activate 5  9 train, snapshot 3  10 train  11 tune
 *  12 train  13 activate 9, which is before snapshot 3's successors  14 train  15 rehearse of samples before the
 *  snapshot and after it, without those that were left behind  16 tune */
static void build_first(struct model *m)
{
    model_init(m);
    note(m);
    noted(m, train(m, 3, 1));
    noted(m, in_group(m, append_class(m, CLASS_ADD, 3, "d")));
    noted(m, in_group(m, append_tune(m, 0.4F, GRADIENT_JACOBIAN)));
    noted(m, train(m, 2, 2));
    snapshot(m);
    struct learner *five = keep(m);
    noted(m, train(m, 2, 4));
    noted(m, in_group(m, append_class(m, CLASS_RENAME, 0, "first")));
    noted(m, in_group(m, append_activate(m, five)));
    learner_free(five);
    noted(m, train(m, 2, 5));
    snapshot(m);
}

static void build_rest(struct model *m)
{
    struct learner *nine = keep(m);
    noted(m, train(m, 3, 6));
    noted(m, in_group(m, append_tune(m, 0.2F, GRADIENT_DIAGONAL)));
    noted(m, train(m, 1, 7));
    noted(m, in_group(m, append_activate(m, nine)));
    learner_free(nine);
    noted(m, train(m, 2, 8));
    noted(m, in_group(m, append_rehearse(m, 2, 1000, 77)));
    noted(m, in_group(m, append_tune(m, 0.1F, GRADIENT_DIAGONAL)));
    ck_assert_uint_eq(truth.last, N_EVENTS);
}

static void build(struct model *m)
{
    build_first(m);
    build_rest(m);
}

/* ---- files ---- */

struct image {
    char path[128];
    uint8_t *bytes; /* NULL: the file is not there */
    size_t n;
};

static void image_take(struct image *image, const char *path, const char *suffix)
{
    struct stat status;
    *image = (struct image){0};
    (void)snprintf(image->path, sizeof image->path, "%s%s", path, suffix);
    int fd = open(image->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ck_assert_int_eq(fstat(fd, &status), 0);
    image->n = (size_t)status.st_size;
    ck_assert_uint_lt(image->n, BYTES_MAX);
    image->bytes = malloc(image->n + 1);
    ck_assert_ptr_nonnull(image->bytes);
    ck_assert_int_eq(read(fd, image->bytes, image->n), (ssize_t)image->n);
    (void)close(fd);
}

static void image_put(const struct image *image)
{
    if (image->bytes == NULL) {
        (void)unlink(image->path);
        return;
    }
    int fd = open(image->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, image->bytes, image->n), (ssize_t)image->n);
    (void)close(fd);
}

/* Where the damaged copies live: in memory where the machine has such a folder, since each is written and synced anew. */
static void move_to_memory(struct model *m)
{
    struct model copy;
    model_folder_in_memory(&copy);
    model_fini(m);
    *m = copy;
}

/* ---- one damage ---- */

static struct {
    unsigned whole, unseen, found, salvaged, cut, refused;
} counts;

static bool is_refusal(enum err_code code)
{
    return code == ERR_DB_CORRUPT || code == ERR_DB_FOREIGN || code == ERR_DB_NEWER || code == ERR_DB_READONLY ||
           code == ERR_STORAGE;
}

static void check_state(const struct learner *learner, const char *file, size_t at)
{
    uint8_t digest[DIGEST_BYTES];
    learner_digest(learner, digest);
    ck_assert_msg(learner->revision >= 1 && learner->revision <= truth.last, "%s, byte %zu: revision %llu", file, at,
                  (unsigned long long)learner->revision);
    ck_assert_msg(memcmp(digest, truth.digests[learner->revision], DIGEST_BYTES) == 0,
                  "%s, byte %zu: a state that revision %llu never had", file, at,
                  (unsigned long long)learner->revision);
}

/* Opens as server/daemon/daemon.c does. */
static void open_damaged(struct model *m, const char *file, size_t at)
{
    struct store_recovery report;
    struct store_verdict verdict;
    struct learner *learner = NULL;
    bool salvaged = false;
    int status = store_open(&m->store, m->path, false, &m->err);
    if (status == 0)
        status = store_recover(m->store, NULL, NULL, NULL, &learner, &report, &m->err);
    if (status != 0 && m->err.code == ERR_DB_CORRUPT) {
        store_close(m->store);
        status = store_salvage(&m->store, m->path, NULL, NULL, NULL, &learner, &report, &m->err);
        salvaged = true;
    }
    if (status != 0) {
        ck_assert_msg(is_refusal(m->err.code), "%s, byte %zu: %s: %s", file, at, err_code_name(m->err.code),
                      m->err.text);
        ck_assert(m->err.text[0] != '\0');
        counts.refused++;
    } else {
        check_state(learner, file, at);
        if (salvaged) {
            must_fail(m, ERR_DB_READONLY, store_begin(m->store, &m->err));
            counts.salvaged++;
        } else if (learner->revision < truth.last) {
            ck_assert_msg(truth.commit[learner->revision], "%s, byte %zu: half a group", file, at);
            counts.cut++;
        } else if (store_verify(m->store, NULL, NULL, NULL, &verdict, &m->err) == 0) {
            ck_assert_mem_eq(verdict.digest, truth.digests[truth.last], DIGEST_BYTES);
            counts.unseen++;
        } else {
            ck_assert_msg(is_refusal(m->err.code), "%s, byte %zu: %s: %s", file, at, err_code_name(m->err.code),
                          m->err.text);
            counts.found++;
        }
    }
    learner_free(learner);
    store_close(m->store);
    m->store = NULL;
}

static void damage_one(struct model *m, struct image *files, size_t n_files, size_t which, size_t at, uint8_t flip)
{
    files[which].bytes[at] ^= flip;
    for (size_t i = 0; i < n_files; i++)
        image_put(&files[i]);
    open_damaged(m, strrchr(files[which].path, '/') + 1, at);
    files[which].bytes[at] ^= flip;
}

static bool is_long(void)
{
    const char *wish = getenv("DAMAGE_BYTES");
    return wish != NULL && strcmp(wish, "all") == 0;
}

/* Under a sanitizer, where each takes ten times as long, a tenth of the bytes. */
static size_t thinned(void)
{
    return is_long() || run_exhaustive() ? 1 : COARSE ? 10 : 2;
}

/* libcheck cannot tell of a test that took more than an hour. */
static size_t n_parts(void)
{
    return is_long() ? 16 : 1;
}

/* So many bytes of the file, one at a time, evenly drawn; 0: all. Of these, the part-th of n_parts(). */
static void damage_all(struct model *m, struct image *files, size_t n_files, size_t which, size_t n_draws, size_t part)
{
    struct image *image = &files[which];
    for (size_t i = 0; i < n_files; i++)
        (void)snprintf(files[i].path, sizeof files[i].path, "%s%s", m->path, i == 0 ? "" : "-wal");
    const char *file = strrchr(image->path, '/') + 1;
    size_t step = n_draws == 0 || n_draws >= image->n ? 1 : image->n / n_draws;
    memset(&counts, 0, sizeof counts);
    unsigned n = 0;
    for (size_t block = part * step; block < image->n; block += n_parts() * step, n++) {
        size_t at = step == 1 ? block : block + mix(block) % step;
        if (at >= image->n)
            break;
        uint8_t flip = (uint8_t)(1U << mix(at) % 8);
        if (mix(at * 3) % 4 == 0) /* and not only single bits */
            flip = (uint8_t)(1 + mix(at * 5) % 255);
        damage_one(m, files, n_files, which, at, flip);
    }
    (void)printf(
        "%s: %u of %zu bytes damaged: %u refused, %u salvaged, %u cut at a commit, %u whole and found by verify, "
        "%u carried nothing of the log\n",
        file, n, image->n, counts.refused, counts.salvaged, counts.cut, counts.found, counts.unseen);
    (void)fflush(stdout);
    ck_assert_uint_eq(counts.refused + counts.salvaged + counts.cut + counts.found + counts.unseen, n);
}

static size_t draws(size_t otherwise)
{
    const char *wish = getenv("DAMAGE_BYTES");
    return is_long() ? 0 : wish != NULL ? strtoul(wish, NULL, 10) : otherwise / thinned();
}

static void images_free(struct image *files)
{
    free(files[0].bytes);
    free(files[1].bytes);
}

START_TEST(no_byte_of_the_database_makes_a_wrong_state)
{
    struct model m;
    struct image files[2];
    build(&m);
    store_close(m.store); /* checkpoints: all is in the database */
    m.store = NULL;
    image_take(&files[0], m.path, "");
    image_take(&files[1], m.path, "-wal");
    ck_assert_ptr_null(files[1].bytes);
    move_to_memory(&m);
    damage_all(&m, files, 2, 0, draws(700), (size_t)_i);
    ck_assert_uint_gt(counts.refused, 0);
    ck_assert_uint_gt(counts.salvaged, 0);
    ck_assert_uint_gt(counts.found, 0);
    images_free(files);
    model_fini(&m);
}
END_TEST

/* What is believed first, and is small: every byte that is in use of the pages of indexes, and of the tables of events and
 * snapshots' first pages, in several ways. A page: header, pointers to its cells, a gap, the cells up to the end. */
START_TEST(no_byte_of_an_index_makes_a_wrong_state)
{
    static const char *const names[] = {"event_rare", "sample_revision", "snapshot_revision", "event"};
    struct model m;
    struct image file;
    size_t pages[sizeof names / sizeof *names];
    build(&m);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char sql[100];
        (void)snprintf(sql, sizeof sql, "SELECT rootpage FROM sqlite_schema WHERE name = '%s'", names[i]);
        pages[i] = strtoul(ask(&m, sql), NULL, 10);
    }
    image_take(&file, m.path, "");
    move_to_memory(&m);
    (void)snprintf(file.path, sizeof file.path, "%s", m.path);
    memset(&counts, 0, sizeof counts);
    unsigned n = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t begin = (pages[i] - 1) * 8192;
        size_t cells = (size_t)file.bytes[begin + 5] << 8 | file.bytes[begin + 6];
        size_t n_cells = (size_t)file.bytes[begin + 3] << 8 | file.bytes[begin + 4];
        for (size_t at = 0; at < 8192; at++) {
            static const uint8_t flips[] = {0x01, 0x02, 0x04, 0x80};
            if ((at >= 8 + 2 * n_cells && at < cells) || (at >= 8 && mix(at * 7) % thinned() != 0))
                continue;
            for (size_t j = is_long() ? 0 : mix(at) % 4; j < 4; j += is_long() ? 1 : 4, n++)
                damage_one(&m, &file, 1, 0, begin + at, flips[j]);
        }
    }
    (void)printf(
        "indexes and events: %u bits of bytes in use damaged: %u refused, %u salvaged, %u whole and found by verify, "
        "%u carried nothing of the log\n",
        n, counts.refused, counts.salvaged, counts.found, counts.unseen);
    ck_assert_uint_gt(n, 1000 / thinned());
    ck_assert_uint_gt(counts.salvaged, 0);
    ck_assert_uint_gt(counts.found, 0);
    free(file.bytes);
    model_fini(&m);
}
END_TEST

/* The WAL as a kill leaves it: everything since the file was made is only there. */
START_TEST(no_byte_of_the_wal_makes_a_wrong_state)
{
    struct model m;
    struct image files[2];
    build(&m);
    image_take(&files[0], m.path, "");
    image_take(&files[1], m.path, "-wal");
    ck_assert_ptr_nonnull(files[1].bytes);
    move_to_memory(&m);
    damage_all(&m, files, 2, 1, draws(250), (size_t)_i);
    ck_assert_uint_gt(counts.cut, 0);
    images_free(files);
    model_fini(&m);
}
END_TEST

/* The database under a WAL, as a kill leaves them: some of its pages are newer there, and those that are not are believed. */
START_TEST(no_byte_under_a_wal_makes_a_wrong_state)
{
    struct model m;
    struct image files[2];
    build_first(&m);
    must(&m, store_checkpoint(m.store, true, &m.err));
    build_rest(&m);
    image_take(&files[0], m.path, "");
    image_take(&files[1], m.path, "-wal");
    ck_assert_uint_gt(files[0].n, 8192);
    ck_assert_uint_gt(files[1].n, 8192);
    move_to_memory(&m);
    damage_all(&m, files, 2, 0, draws(150), (size_t)_i);
    images_free(files);
    model_fini(&m);
}
END_TEST

/* ---- salvage, row by row: where it starts, where it ends ---- */

static const struct loss {
    const char *sql;
    uint64_t revision; /* that is served then; 0: nothing can be proved */
} losses[] = {
    {"DELETE FROM event WHERE revision = 14", 13}, /* its samples know of it */
    {"DELETE FROM event WHERE revision >= 12; DELETE FROM sample WHERE revision >= 13", 11},
    {"UPDATE event SET created_us = 5 WHERE revision = 14", 13},
    {"UPDATE event SET body = 'x' WHERE revision = 13", 12},
    {"UPDATE event SET body = json_set(body, '$.revision', 5) WHERE revision = 13", 12},
    {"UPDATE event SET kind = 'train' WHERE revision = 13", 12},
    {"DELETE FROM event WHERE revision = 13", 12},
    {"UPDATE sample SET label = (label + 1) % 3 WHERE revision = 12", 11},
    {"DELETE FROM sample WHERE revision = 10", 9},
    {"UPDATE event SET chain = randomblob(32) WHERE revision = 10", 9},
    {"UPDATE event SET chain = randomblob(32) WHERE revision = 9", 8}, /* snapshot 3 hangs on it */
    {"UPDATE event SET body = 'x' WHERE revision = 10; DELETE FROM snapshot WHERE id = 3", 9},
    {"UPDATE event SET body = 'x' WHERE revision = 7; DELETE FROM snapshot WHERE id = 3", 6},
    {"UPDATE event SET body = 'x' WHERE revision = 3; DELETE FROM snapshot WHERE id > 1", 2},
    {"UPDATE event SET body = 'x' WHERE revision = 14; UPDATE event SET body = 'x' WHERE revision = 11", 10},
    {"UPDATE event SET body = json_set(body, '$.shape.hidden', 9) WHERE revision = 1", 16},
    {"UPDATE event SET body = 'x' WHERE revision = 1", 16},
    {"DELETE FROM event WHERE revision = 1", 14}, /* the samples that 15 trains on again hang on it */
    {"UPDATE event SET body = 'x' WHERE revision = 1; UPDATE event SET body = 'x' WHERE revision = 12", 11},
    {"UPDATE event SET body = 'x' WHERE revision = 1; DELETE FROM tensor", 0},
    /* Older than any row that is replayed, but among the images that 14 would learn beside. */
    {"UPDATE sample SET image = zeroblob(length(image)) WHERE id = 2", 13},
    {"UPDATE sample SET label = 1 - label WHERE revision = 5", 13},
    {"UPDATE snapshot SET revision = 99 WHERE id = 3", 16}, /* nothing is lost but the certainty */
    {"DELETE FROM event", 0},
};

START_TEST(what_can_be_proved_is_served_and_nothing_is_written)
{
    struct model m;
    const struct loss *loss = &losses[_i];
    struct store_recovery report;
    struct learner *learner = NULL;
    build(&m);
    tamper(&m, loss->sql);
    int status = store_open(&m.store, m.path, false, &m.err);
    if (status == 0)
        status = store_recover(m.store, NULL, NULL, NULL, &learner, &report, &m.err);
    ck_assert_msg(status != 0 && m.err.code == ERR_DB_CORRUPT, "%s: not noticed", loss->sql);
    ck_assert_msg(strstr(m.err.text, "revision") != NULL || strstr(m.err.text, "sample") != NULL, "%s", m.err.text);
    store_close(m.store);
    m.store = NULL;
    status = store_salvage(&m.store, m.path, NULL, NULL, NULL, &learner, &report, &m.err);
    if (loss->revision == 0) {
        ck_assert_int_ne(status, 0);
        ck_assert_int_eq(m.err.code, ERR_DB_CORRUPT);
        ck_assert_ptr_null(learner);
    } else {
        ck_assert_msg(status == 0, "%s: %s", loss->sql, m.err.text);
        check_state(learner, loss->sql, 0);
        ck_assert_msg(learner->revision == loss->revision, "%s: revision %llu", loss->sql,
                      (unsigned long long)learner->revision);
        must_fail(&m, ERR_DB_READONLY, store_begin(m.store, &m.err));
        must_fail(&m, ERR_DB_READONLY, store_snapshot(m.store, learner, "request", NULL, false, NULL, &m.err));
        must_fail(&m, ERR_DB_READONLY, store_checkpoint(m.store, true, &m.err));
    }
    learner_free(learner);
    model_fini(&m);
}
END_TEST

START_TEST(salvage_leaves_the_file_as_it_is)
{
    struct model m;
    struct image before, after;
    struct learner *learner = NULL;
    build(&m);
    tamper(&m, "UPDATE event SET body = 'x' WHERE revision = 12");
    image_take(&before, m.path, "");
    must(&m, store_salvage(&m.store, m.path, NULL, NULL, NULL, &learner, NULL, &m.err));
    learner_free(learner);
    store_close(m.store);
    m.store = NULL;
    image_take(&after, m.path, "");
    ck_assert_uint_eq(before.n, after.n);
    ck_assert_mem_eq(before.bytes, after.bytes, before.n);
    free(before.bytes);
    free(after.bytes);
    model_fini(&m);
}
END_TEST

static TCase *part(Suite *suite, const char *name)
{
    TCase *t = tcase_create(name);
    tcase_set_timeout(t, 36000);
    suite_add_tcase(suite, t);
    return t;
}

int main(void)
{
    Suite *suite = suite_create("damage");
    tcase_add_loop_test(part(suite, "database"), no_byte_of_the_database_makes_a_wrong_state, 0, (int)n_parts());
    tcase_add_loop_test(part(suite, "wal"), no_byte_of_the_wal_makes_a_wrong_state, 0, (int)n_parts());
    tcase_add_loop_test(part(suite, "under"), no_byte_under_a_wal_makes_a_wrong_state, 0, (int)n_parts());
    tcase_add_test(part(suite, "indexes"), no_byte_of_an_index_makes_a_wrong_state);
    TCase *salvage = part(suite, "salvage");
    tcase_add_loop_test(salvage, what_can_be_proved_is_served_and_nothing_is_written, 0,
                        (int)(sizeof losses / sizeof *losses));
    tcase_add_test(salvage, salvage_leaves_the_file_as_it_is);
    return run_suite(suite);
}
