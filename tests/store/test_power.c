/* test_power.c - the power fails, at every kind of moment: what was acknowledged is there, and nothing is there by half.
 *
 * A model is made, trained, snapshotted, thinned, checkpointed and closed on a disk that remembers what was synced
 * (power_disk.h). At moments drawn by chance the power fails: another folder is filled with what might be left, opened as after a
 * reboot, and compared with the digests of a fold in memory:
 *
 *     acknowledged <= recovered <= what was under way, at the end of a group; digest equal; its idempotency key there
 *
 * Some of those go on: they are trained and closed while the power fails again (recovery and its checkpoint included).
 * The control runs the same with synchronous=NORMAL, and must be caught losing.
 *
 * POWER_CUTS: how many; default 300.
 */
#include "tests/store/model.h"
#include "tests/store/power_disk.h"

#include <dirent.h>

#define REVISIONS_MAX 160 /* of one model, then another is made */
#define WAITING_MAX   96  /* cuts of one step                   */

/* What happened, as far as anybody was told. */
struct truth {
    bool made;                       /* store_create() has returned       */
    uint64_t acknowledged, proposed; /* last revision of a group that is committed; of the one under way */
    uint8_t digests[REVISIONS_MAX + 8][DIGEST_BYTES];
    bool end[REVISIONS_MAX + 8]; /* of a group                        */
};

struct cut {
    char folder[64];
    bool made;
    uint64_t acknowledged, proposed;
};

struct run {
    struct model m;
    struct truth truth;
    struct power_disk *disk;
    uint64_t chance;
    unsigned odds; /* one moment in so many is a cut */
    bool control;
    unsigned depth;
    struct cut waiting[WAITING_MAX];
    size_t n_waiting;
};

static struct {
    unsigned cuts, wanted, again, absent, exact, ahead, lost, damaged, verified, trained_on;
} counts;

static uint64_t draw(struct run *r)
{
    return mix(r->chance++);
}

/* In memory where the machine has such a folder: the disk is played by power_disk.c, so a real one adds nothing but time. */
static void folder_make(char *folder, size_t size)
{
    (void)snprintf(folder, size, "%s/convd-power-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void folder_remove(const char *folder)
{
    DIR *dir = opendir(folder);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        char path[400];
        (void)snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_name[0] != '.')
            (void)unlink(path);
    }
    (void)closedir(dir);
    ck_assert_int_eq(rmdir(folder), 0);
}

static void on_moment(void *context, struct power_disk *disk)
{
    struct run *r = context;
    if (draw(r) % r->odds != 0 || r->n_waiting == WAITING_MAX || counts.cuts >= counts.wanted)
        return;
    struct cut *cut = &r->waiting[r->n_waiting++];
    cut->made = r->truth.made;
    cut->acknowledged = r->truth.acknowledged;
    cut->proposed = r->truth.proposed;
    folder_make(cut->folder, sizeof cut->folder);
    power_disk_cut(disk, cut->folder, draw(r));
    counts.cuts++;
}

/* ---- steps of a model's life ---- */

static void told(struct run *r)
{
    uint64_t revision = r->m.learner->revision;
    ck_assert_uint_lt(revision, REVISIONS_MAX + 8);
    learner_digest(r->m.learner, r->truth.digests[revision]);
    r->truth.end[revision] = false;
    r->truth.proposed = revision;
}

static void append_key(struct run *r)
{
    struct store_key key = {.revision = r->m.learner->revision};
    (void)snprintf(key.key, sizeof key.key, "k%llu", (unsigned long long)key.revision);
    must(&r->m, store_put_key(r->m.store, &key, &r->m.err));
}

static void append_any(struct run *r, const struct learner *older)
{
    struct model *m = &r->m;
    uint64_t what = draw(r) % 12;
    char label[16];
    (void)snprintf(label, sizeof label, "%llx", (unsigned long long)draw(r) % 0xffffffffU);
    if (what == 0 && m->learner->n_classes < 8)
        append_class(m, CLASS_ADD, m->learner->n_classes, label);
    else if (what == 1)
        append_tune(m, 0.001F * (float)(1 + draw(r) % 400), draw(r) % 2 == 0 ? GRADIENT_DIAGONAL : GRADIENT_JACOBIAN);
    else if (what == 2 && older != NULL)
        append_activate(m, older);
    else
        append_train(m, 1 + (uint32_t)(draw(r) % (what == 3 ? 60 : 6)), draw(r) % 1000000);
    told(r);
}

static void group(struct run *r, const struct learner *older)
{
    struct model *m = &r->m;
    must(m, store_begin(m->store, &m->err));
    unsigned n = 1 + (unsigned)(draw(r) % 4);
    for (unsigned i = 0; i < n; i++)
        append_any(r, i == 0 ? older : NULL);
    append_key(r);
    r->truth.end[r->truth.proposed] = true;
    must(m, store_commit(m->store, &m->err));
    r->truth.acknowledged = r->truth.proposed;
}

static void use_normal(struct run *r);

static void reopen(struct run *r)
{
    struct learner *back = NULL;
    model_reopen(&r->m);
    use_normal(r);
    must(&r->m, store_recover(r->m.store, NULL, NULL, NULL, &back, NULL, &r->m.err));
    same_state(back, r->m.learner);
    learner_free(back);
}

static void step(struct run *r, struct learner **older)
{
    struct model *m = &r->m;
    switch (draw(r) % 16) {
    case 0:
        must(m, store_checkpoint(m->store, false, &m->err));
        break;
    case 1:
        must(m, store_checkpoint(m->store, true, &m->err));
        break;
    case 2:
        snapshot(m);
        learner_free(*older);
        *older = keep(m);
        break;
    case 3:
        must(m, store_snapshots_prune(m->store, 2, &m->err));
        break;
    case 4:
        reopen(r);
        break;
    case 5:
        if (store_expire_keys(m->store, 0, 0, &m->err) < 0)
            must(m, -1);
        break;
    default:
        group(r, *older);
    }
}

/* ---- after the power has come back ---- */

static void check_later(struct run *r);

/* It goes on from there, and the power fails again. */
static void life_after(struct run *r, const struct cut *cut, struct store *store, struct learner *learner)
{
    struct run *next = calloc(1, sizeof *next);
    struct learner *older = NULL;
    ck_assert_ptr_nonnull(next);
    store_close(store);
    next->truth = r->truth;
    next->truth.made = true;
    next->truth.acknowledged = next->truth.proposed = learner->revision;
    next->chance = draw(r) << 20;
    next->odds = 6;
    next->control = r->control;
    next->depth = r->depth + 1;
    next->m.learner = learner;
    (void)snprintf(next->m.folder, sizeof next->m.folder, "%s", cut->folder);
    (void)snprintf(next->m.path, sizeof next->m.path, "%s/m.db", cut->folder);
    next->disk = power_disk_watch(next->m.folder, on_moment, next);
    reopen(next);
    for (int i = 0; i < 4; i++)
        step(next, &older);
    store_close(next->m.store);
    next->m.store = NULL;
    counts.again += (unsigned)next->n_waiting;
    check_later(next);
    learner_free(older);
    learner_free(next->m.learner);
    power_disk_forget(next->disk);
    free(next);
}

static bool has_key(struct model *m, uint64_t revision)
{
    struct store_key key;
    char name[32];
    (void)snprintf(name, sizeof name, "k%llu", (unsigned long long)revision);
    int found = store_find_key(m->store, name, &key, &m->err);
    ck_assert_msg(found >= 0, "%s", m->err.text);
    return found == 1;
}

static void check_cut(struct run *r, const struct cut *cut)
{
    struct model after = {0};
    struct learner *back = NULL;
    struct stat status;
    uint8_t digest[DIGEST_BYTES];
    (void)snprintf(after.path, sizeof after.path, "%s/m.db", cut->folder);
    if (stat(after.path, &status) != 0) { /* no name, no model: only before it was acknowledged */
        ck_assert_msg(!cut->made, "the model is gone");
        counts.absent++;
        return;
    }
    if (store_open(&after.store, after.path, false, &after.err) != 0 ||
        store_recover(after.store, NULL, NULL, NULL, &back, NULL, &after.err) != 0) {
        ck_assert_msg(r->control, "cannot be recovered: %s", after.err.text);
        counts.damaged++;
        store_close(after.store);
        return;
    }
    uint64_t revision = back->revision;
    bool lost = revision < cut->acknowledged;
    ck_assert_msg(r->control || !lost, "revision %llu was acknowledged, %llu is what is left",
                  (unsigned long long)cut->acknowledged, (unsigned long long)revision);
    ck_assert_msg(revision <= cut->proposed || (revision == 1 && !cut->made), "more than there was: %llu of %llu",
                  (unsigned long long)revision, (unsigned long long)cut->proposed);
    ck_assert_msg(r->truth.end[revision], "half a group: %llu", (unsigned long long)revision);
    learner_digest(back, digest);
    ck_assert_msg(memcmp(digest, r->truth.digests[revision], DIGEST_BYTES) == 0, "not the state of revision %llu",
                  (unsigned long long)revision);
    counts.lost += lost;
    counts.exact += revision == cut->acknowledged;
    counts.ahead += revision > cut->acknowledged;
    if (revision > cut->acknowledged && revision > 1)
        ck_assert(has_key(&after, revision)); /* the retry of the one who was not told trains nothing twice */
    if (draw(r) % 8 == 0) {
        struct store_verdict verdict;
        must(&after, store_verify(after.store, NULL, NULL, NULL, &verdict, &after.err));
        ck_assert_mem_eq(verdict.digest, digest, DIGEST_BYTES);
        counts.verified++;
    }
    if (!r->control && r->depth < 2 && draw(r) % 12 == 0 && revision < REVISIONS_MAX - 40) {
        counts.trained_on++;
        life_after(r, cut, after.store, back);
        return;
    }
    learner_free(back);
    store_close(after.store);
}

static void check_later(struct run *r)
{
    for (size_t i = 0; i < r->n_waiting; i++) {
        check_cut(r, &r->waiting[i]);
        folder_remove(r->waiting[i].folder);
    }
    r->n_waiting = 0;
}

/* ---- the control ---- */

static sqlite3 *newest_connection;

static int on_open(sqlite3 *db, const char **message, const struct sqlite3_api_routines *routines)
{
    (void)message, (void)routines;
    if (*sqlite3_db_filename(db, "main") != '\0') /* not the one in memory, which the file's schema is compared with */
        newest_connection = db;
    return SQLITE_OK;
}

/* The store sets FULL and reads it back; behind its back it becomes NORMAL. */
static void use_normal(struct run *r)
{
    if (!r->control)
        return;
    ck_assert_ptr_nonnull(newest_connection);
    ck_assert_int_eq(sqlite3_exec(newest_connection, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL), SQLITE_OK);
}

/* ---- a model's whole life ---- */

static void life(struct run *r)
{
    struct model *m = &r->m;
    struct event create = model_origin();
    struct learner *older = NULL;
    *m = (struct model){0};
    memset(&r->truth, 0, sizeof r->truth);
    folder_make(m->folder, sizeof m->folder);
    (void)snprintf(m->path, sizeof m->path, "%s/m.db", m->folder);
    m->learner = learner_create(&create, NULL, 0, &m->err);
    ck_assert_ptr_nonnull(m->learner);
    told(r);
    r->truth.end[1] = true;
    r->disk = power_disk_watch(m->folder, on_moment, r);
    r->odds = 4; /* there is only one beginning */
    must(m, store_create(&m->store, m->path, &create, m->learner, &m->err));
    r->truth.made = true;
    r->truth.acknowledged = 1;
    use_normal(r);
    check_later(r);
    r->odds = 12;
    while (m->learner->revision < REVISIONS_MAX - 8 && counts.cuts < counts.wanted) {
        step(r, &older);
        check_later(r);
    }
    store_close(m->store);
    m->store = NULL;
    check_later(r);
    learner_free(older);
    learner_free(m->learner);
    power_disk_forget(r->disk);
    folder_remove(m->folder);
}

static void live_through(unsigned cuts, bool control)
{
    static struct run run;
    memset(&counts, 0, sizeof counts);
    memset(&power_counts, 0, sizeof power_counts);
    counts.wanted = cuts;
    unsigned lives = 0;
    for (; counts.cuts < cuts; lives++) {
        memset(&run, 0, sizeof run);
        run.chance = (uint64_t)lives << 40 | 12345;
        run.control = control;
        life(&run);
    }
    (void)printf("power%s: %u cuts of %lu operations (%lu syncs) in %u models, %u of them during a second life; "
                 "%u before the model was there, %u exactly what was acknowledged, %u with the group under way, "
                 "%u LOST, %u damaged; %u verified from nothing, %u trained on; "
                 "unsynced writes: %lu lost, %lu kept, %lu torn; names lost: %lu\n",
                 control ? " (control, synchronous=NORMAL)" : "", counts.cuts, power_counts.operations,
                 power_counts.syncs, lives, counts.again, counts.absent, counts.exact, counts.ahead, counts.lost,
                 counts.damaged, counts.verified, counts.trained_on, power_counts.writes_lost, power_counts.writes_kept,
                 power_counts.writes_torn, power_counts.names_lost);
}

static unsigned cuts_wanted(void)
{
    const char *wish = getenv("POWER_CUTS");
    return wish == NULL ? 300 : (unsigned)strtoul(wish, NULL, 10);
}

START_TEST(what_was_acknowledged_survives_a_power_cut_at_any_moment)
{
    live_through(cuts_wanted(), false);
    ck_assert_uint_eq(counts.lost, 0);
    ck_assert_uint_eq(counts.damaged, 0);
    ck_assert_uint_gt(counts.absent, 0);
    ck_assert_uint_gt(counts.exact, counts.cuts / 4);
    ck_assert_uint_gt(counts.ahead, 0);
    ck_assert_uint_gt(counts.verified, 0);
    ck_assert_uint_gt(counts.again, 0);
    ck_assert_uint_gt(power_counts.writes_torn, 0);
    ck_assert_uint_gt(power_counts.names_lost, 0);
}
END_TEST

/* If this cannot be caught losing, the test above proves nothing. */
START_TEST(without_full_syncs_the_same_cuts_lose_what_was_acknowledged)
{
    ck_assert_int_eq(sqlite3_auto_extension((void (*)(void))on_open), SQLITE_OK);
    live_through(cuts_wanted(), true);
    sqlite3_reset_auto_extension();
    ck_assert_uint_gt(counts.lost, counts.cuts / 10);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("power");
    TCase *t = tcase_create("power");
    tcase_set_timeout(t, 36000);
    tcase_add_test(t, what_was_acknowledged_survives_a_power_cut_at_any_moment);
    tcase_add_test(t, without_full_syncs_the_same_cuts_lose_what_was_acknowledged);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
