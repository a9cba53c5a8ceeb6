/* test_rows.c - events as rows: what is copied into another file, row by row, and followed there, is the same log and comes to the same state. */
#include "store/log/row.h"
#include "tests/store/model.h"

/* A log with an event of every kind that can be shared. */
static void live(struct model *m)
{
    train(m, 5, 1);
    struct store_key key = {.key = "a key", .revision = m->learner->revision + 1, .fingerprint = {1, 2, 3}};
    in_group(m, append_train(m, 3, 2); must(m, store_put_key(m->store, &key, &m->err)));
    in_group(m, append_class(m, CLASS_ADD, 3, "d"));
    in_group(m, append_class(m, CLASS_RENAME, 0, "first"));
    in_group(m, append_tune(m, 0.2F, GRADIENT_JACOBIAN));
    train(m, 20, 3);
    struct learner *then = keep(m);
    in_group(m, append_rehearse(m, 1, 20, 7));
    train(m, 0, 4);
    in_group(m, append_activate(m, then));
    learner_free(then);
    train(m, 4, 5);
}

/* Into a store of an equal model, so many bytes at a time. */
static void copy_all(struct model *to, struct model *from, size_t max_bytes)
{
    const struct event *event;
    for (;;) {
        struct rows rows;
        must(from, rows_read(&rows, from->store, store_revision(to->store), max_bytes, &from->err));
        if (rows.n == 0)
            break;
        must(to, store_begin(to->store, &to->err));
        for (size_t i = 0; i < rows.n; i++)
            must(to, row_write(to->store, &rows.list[i], &to->err));
        must(to, store_commit(to->store, &to->err));
        rows_free(&rows);
        int status;
        while ((status = store_follow(to->store, to->learner, &event, &to->err)) == 1)
            ck_assert_uint_eq(event->revision, to->learner->revision);
        ck_assert_msg(status == 0, "%s", to->err.text);
    }
}

static void same_end(struct model *a, struct model *b)
{
    struct rows rows_a, rows_b;
    must(a, rows_read(&rows_a, a->store, store_revision(a->store) - 1, 1, &a->err));
    must(b, rows_read(&rows_b, b->store, store_revision(b->store) - 1, 1, &b->err));
    ck_assert(rows_a.n == 1 && rows_b.n == 1);
    ck_assert_mem_eq(rows_a.list[0].chain, rows_b.list[0].chain, CHAIN_BYTES);
    rows_free(&rows_a);
    rows_free(&rows_b);
}

START_TEST(a_log_that_is_copied_row_by_row_comes_to_the_same_state)
{
    static const size_t sizes[] = {1, 1000, SIZE_MAX};
    struct model from, to;
    struct store_key key;
    model_init(&from);
    live(&from);
    model_init(&to);
    copy_all(&to, &from, sizes[_i]);
    same_state(to.learner, from.learner);
    same_end(&to, &from);
    ck_assert_int_eq(store_next_sample_id(to.store), store_next_sample_id(from.store));
    ck_assert_int_eq(store_find_key(to.store, "a key", &key, &to.err), 1);
    ck_assert_uint_eq(key.revision, 3);
    ck_assert_uint_eq(key.fingerprint[2], 3);
    (void)recovers(&to);
    verifies(&to);
    train(&to, 3, 6); /* and goes on as the other does */
    train(&from, 3, 6);
    same_state(to.learner, from.learner);
    (void)recovers(&to);
    verifies(&to);
    model_fini(&to);
    model_fini(&from);
}
END_TEST

START_TEST(what_an_open_group_has_is_read_before_it_is_committed)
{
    struct model m;
    struct rows rows;
    model_init(&m);
    train(&m, 2, 1);
    must(&m, store_begin(m.store, &m.err));
    append_train(&m, 3, 2);
    append_class(&m, CLASS_ADD, 3, "d");
    must(&m, rows_read(&rows, m.store, 2, SIZE_MAX, &m.err));
    ck_assert_uint_eq(rows.n, 2);
    ck_assert_str_eq(rows.list[0].kind, "train");
    ck_assert_uint_eq(rows.list[0].n_samples, 3);
    ck_assert_int_eq(rows.list[0].first, 3);
    ck_assert_uint_eq(rows.list[0].n_image, MODEL_PIXELS);
    ck_assert_ptr_null(rows.list[0].key);
    ck_assert_str_eq(rows.list[1].body, "{\"action\":\"add\",\"index\":3,\"label\":\"d\"}");
    ck_assert_uint_eq(rows.list[1].n_samples, 0);
    rows_free(&rows);
    must(&m, store_commit(m.store, &m.err));
    model_fini(&m);
}
END_TEST

/* One thing of a row is another. */
static void spoil(struct log_row *row, int what)
{
    static uint8_t image[20 * MODEL_PIXELS];
    static uint32_t labels[20];
    switch (what) {
    case 0:
        row->revision++;
        break;
    case 1:
        row->created_us++;
        break;
    case 2:
        row->kind = "class";
        break;
    case 3:
        row->kind = "edit";
        break;
    case 4:
        row->kind = "create";
        break;
    case 5:
        row->kind = "unheard of";
        break;
    case 6:
        row->body = "{\"first\":1,\"n\":2}";
        break;
    case 7:
        row->body = "{\"first\":1}";
        break;
    case 8:
        row->chain[31] ^= 1;
        break;
    case 9:
        row->first++;
        break;
    case 10:
        row->n_samples--;
        break;
    case 11:
        row->n_image--;
        break;
    case 12:
        memcpy(image, row->images, (size_t)row->n_samples * MODEL_PIXELS);
        image[MODEL_PIXELS] ^= 1;
        row->images = image;
        break;
    case 13:
        memcpy(labels, row->labels, row->n_samples * sizeof *labels);
        labels[1] ^= 1;
        row->labels = labels;
        break;
    default:
        memcpy(labels, row->labels, row->n_samples * sizeof *labels);
        labels[0] = SHAPE_CLASSES_MAX;
        row->labels = labels;
        break;
    }
}

START_TEST(a_row_that_is_not_what_follows_is_refused_and_nothing_of_its_group_stays)
{
    struct model from, to;
    struct rows rows;
    model_init(&from);
    train(&from, 5, 1);
    train(&from, 6, 2);
    model_init(&to);
    must(&from, rows_read(&rows, from.store, 1, SIZE_MAX, &from.err));
    ck_assert_uint_eq(rows.n, 2);
    for (size_t which = 0; which < 2; which++) {
        const struct log_row good = rows.list[which];
        spoil(&rows.list[which], _i);
        must(&to, store_begin(to.store, &to.err));
        if (which == 1)
            must(&to, row_write(to.store, &rows.list[0], &to.err));
        must_fail(&to, ERR_DIVERGED, row_write(to.store, &rows.list[which], &to.err));
        rows.list[which] = good;
        ck_assert_uint_eq(store_revision(to.store), 1);
        ck_assert_int_eq(store_next_sample_id(to.store), 1);
    }
    copy_all(&to, &from, SIZE_MAX); /* the right ones are taken */
    same_state(to.learner, from.learner);
    rows_free(&rows);
    model_fini(&to);
    model_fini(&from);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("rows");
    TCase *t = tcase_create("rows");
    tcase_add_loop_test(t, a_log_that_is_copied_row_by_row_comes_to_the_same_state, 0, 3);
    tcase_add_test(t, what_an_open_group_has_is_read_before_it_is_committed);
    tcase_add_loop_test(t, a_row_that_is_not_what_follows_is_refused_and_nothing_of_its_group_stays, 0, 15);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}
