/* test_events.c - server/routes/feed.h without HTTP: the ring, its readers, and what is held back. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/routes/feed.h"
#include "tests/server/set_clock.h"

static struct err err;

static struct events *start(unsigned readers)
{
    struct events *events = events_create(readers, &err);
    ck_assert_ptr_nonnull(events);
    return events;
}

static struct http_stream *open_reader(struct events *events, const char *last_id, uint64_t seconds)
{
    struct http_stream *stream = NULL;
    ck_assert_msg(events_open(&stream, events, last_id, seconds, &err) == 0, "%s", err.text);
    return stream;
}

/* All that there is for it now, in pieces of `room`. */
static const char *take(struct http_stream *stream, size_t room)
{
    static char all[1 << 20];
    size_t n = 0;
    for (long got = 1; got > 0 && n + room<sizeof all; n += got> 0 ? (size_t)got : 0) {
        got = stream->read(stream, all + n, room);
        ck_assert_int_le(got, (long)room);
    }
    all[n] = '\0';
    return all;
}

static unsigned count(const char *text, const char *part)
{
    unsigned n = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
        n++;
    return n;
}

static void tell_activate(struct events *events, uint64_t target)
{
    events_notify(events, &(struct notice){.kind = NOTICE_ACTIVATE, .revision = target + 1, .target = target});
}

static void tell_train(struct events *events, uint64_t samples, uint64_t correct)
{
    events_notify(events, &(struct notice){.kind = NOTICE_TRAIN,
                                           .revision = 9,
                                           .step = 7,
                                           .samples = samples,
                                           .correct = correct,
                                           .loss_sum = 0.5 * (double)samples});
}

START_TEST(a_reader_gets_what_is_told_after_it_came_however_small_its_pieces)
{
    struct events *events = start(4);
    tell_activate(events, 1);
    struct http_stream *one = open_reader(events, NULL, EVENTS_FOREVER), *other = NULL;
    ck_assert_str_eq(take(one, 100), "retry: 2000\n\n");
    tell_activate(events, 2);
    other = open_reader(events, NULL, EVENTS_FOREVER);
    tell_activate(events, 3);
    const char *text = take(one, 7);
    ck_assert_uint_eq(count(text, "event: activate\ndata: {\"revision\":"), 2);
    ck_assert_ptr_null(strstr(text, "\"target\":1"));
    ck_assert_ptr_nonnull(strstr(text, "-2\nevent: activate\ndata: {\"revision\":3,\"target\":2,\"step\":0}\n\nid: "));
    text = take(other, 4096);
    ck_assert_uint_eq(count(text, "event:"), 1);
    ck_assert_ptr_nonnull(strstr(text, "\"target\":3"));
    ck_assert_str_eq(take(one, 10), "");
    one->free(one);
    other->free(other);
    events_free(events);
}
END_TEST

START_TEST(a_slow_reader_is_told_how_many_it_has_lost_and_goes_on_with_the_oldest)
{
    struct events *events = start(4);
    struct http_stream *reader = open_reader(events, NULL, EVENTS_FOREVER);
    (void)take(reader, 100);
    for (uint64_t i = 1; i <= EVENTS_KEPT + 500; i++)
        tell_activate(events, i);
    const char *text = take(reader, 1000);
    const char *lost = "event: lost\ndata: {\"missed\":500}\n\n";
    ck_assert_int_eq(strncmp(text, lost, strlen(lost)), 0);
    ck_assert_uint_eq(count(text, "event: activate"), EVENTS_KEPT);
    ck_assert_ptr_nonnull(strstr(text, "\"target\":501,"));
    ck_assert_ptr_null(strstr(text, "\"target\":500,"));
    ck_assert_uint_eq(events_counts(events).lost, 500);
    reader->free(reader);
    events_free(events);
}
END_TEST

START_TEST(who_is_given_a_part_of_an_event_gets_the_rest_though_the_ring_went_on)
{
    struct events *events = start(4);
    struct http_stream *reader = open_reader(events, NULL, EVENTS_FOREVER);
    char piece[20];
    (void)take(reader, 100);
    tell_activate(events, 77);
    ck_assert_int_eq(reader->read(reader, piece, sizeof piece), 20);
    for (uint64_t i = 0; i < 2 * EVENTS_KEPT; i++)
        tell_activate(events, 1000 + i);
    const char *text = take(reader, 64);
    ck_assert_ptr_nonnull(strstr(text, "\"target\":77,\"step\":0}\n\nevent: lost\ndata: {\"missed\":1024}\n\nid: "));
    reader->free(reader);
    events_free(events);
}
END_TEST

START_TEST(an_id_leads_back_to_the_place_after_it)
{
    struct events *events = start(4);
    char id[64] = "";
    struct http_stream *reader = open_reader(events, NULL, 0);
    for (uint64_t i = 1; i <= 5; i++)
        tell_activate(events, i);
    const char *third = strstr(take(reader, 4096), "\"target\":3,");
    ck_assert_ptr_nonnull(third);
    const char *at = third;
    while (strncmp(at, "id: ", 4) != 0)
        at--;
    (void)snprintf(id, sizeof id, "%.*s", (int)strcspn(at + 4, "\n"), at + 4);
    reader->free(reader);
    reader = open_reader(events, id, 0);
    const char *text = take(reader, 4096);
    ck_assert_uint_eq(count(text, "event: activate"), 2);
    ck_assert_ptr_nonnull(strstr(text, "\"target\":4,"));
    reader->free(reader);

    static const char *const strange[] = {"x", "1-1", "-", "99999999999999999999-1", "0x1-1"};
    for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
        reader = open_reader(events, strange[i], 0);
        ck_assert_str_eq(take(reader, 4096), "retry: 2000\n\nevent: lost\ndata: {\"missed\":null}\n\n");
        reader->free(reader);
    }
    events_free(events);
}
END_TEST

START_TEST(trains_are_held_back_until_it_is_time_or_something_else_happens)
{
    struct events *events = start(4);
    struct http_stream *reader = open_reader(events, NULL, EVENTS_FOREVER);
    (void)take(reader, 100);
    tell_train(events, 1, 1);
    ck_assert_ptr_nonnull(
        strstr(take(reader, 4096),
               "{\"revision\":9,\"step\":7,\"samples\":1,\"correct\":1,\"loss\":0.500000000}\n")); /* at once */
    tell_train(events, 2, 1);
    the_time_ms += EVENTS_TRAIN_MS - 1;
    tell_train(events, 3, 0);
    events_tick(events, now_ms());
    ck_assert_str_eq(take(reader, 4096), "");
    events_tick(events, ++the_time_ms);
    ck_assert_ptr_nonnull(strstr(take(reader, 4096), "\"samples\":5,\"correct\":1,\"loss\":0.500000000}\n"));
    tell_train(events, 4, 4);
    tell_activate(events, 1);
    const char *text = take(reader, 4096), *train = strstr(text, "\"samples\":4"), *activate = strstr(text, "target");
    ck_assert(train != NULL && activate != NULL && train < activate);
    events_tick(events, now_ms() + 1000);
    ck_assert_str_eq(take(reader, 4096), ""); /* none is told twice */
    reader->free(reader);
    events_free(events);
}
END_TEST

START_TEST(the_progress_of_a_job_is_held_back_but_not_its_end)
{
    struct events *events = start(4);
    struct http_stream *reader = open_reader(events, NULL, EVENTS_FOREVER);
    struct job_status job = {.id = 5, .kind = "rehearse", .steps_total = 100, .passes = 1, .pass = 1};
    (void)take(reader, 100);
    events_job(events, &job);
    for (job.steps = 1; job.steps < 100; job.steps++)
        events_job(events, &job);
    job.state = JOB_STATE_DONE;
    job.steps = 100;
    events_job(events, &job);
    const char *text = take(reader, 4096);
    ck_assert_uint_eq(count(text, "event: job"), 2);
    ck_assert_ptr_nonnull(strstr(text, "\"steps\":0,"));
    ck_assert_ptr_nonnull(strstr(text, "\"state\":\"done\",\"progress\":1.000000000,\"steps\":100,"));
    reader->free(reader);
    events_free(events);
}
END_TEST

START_TEST(readers_are_counted_bounded_and_get_a_comment_when_it_is_quiet)
{
    struct events *events = start(2);
    struct http_stream *one = open_reader(events, NULL, EVENTS_FOREVER), *two = open_reader(events, NULL, 1), *three;
    ck_assert_int_eq(events_open(&three, events, NULL, 0, &err), -1);
    ck_assert_int_eq(err.code, ERR_BUSY);
    ck_assert_uint_eq(events_counts(events).readers, 2);
    ck_assert_uint_eq(events_counts(events).refused, 1);
    (void)take(one, 100);
    events_tick(events, now_ms() + EVENTS_BEAT_MS - 1000);
    ck_assert_str_eq(take(one, 100), "");
    events_tick(events, now_ms() + EVENTS_BEAT_MS);
    ck_assert_str_eq(take(one, 100), ":\n\n");
    ck_assert_str_eq(take(one, 100), "");
    one->free(one);
    three = open_reader(events, NULL, 0);
    char bytes[100];
    ck_assert_int_eq(three->read(three, bytes, sizeof bytes), 13);
    ck_assert_int_eq(three->read(three, bytes, sizeof bytes), HTTP_STREAM_END);
    ck_assert_int_eq(two->read(two, bytes, sizeof bytes), 13);
    ck_assert_int_eq(two->read(two, bytes, sizeof bytes), 0);
    two->free(two);
    three->free(three);
    ck_assert_uint_eq(events_counts(events).readers, 0);
    events_free(events);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("events");
    TCase *tests = tcase_create("events");
    suite_add_tcase(suite, tests);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, a_reader_gets_what_is_told_after_it_came_however_small_its_pieces);
    tcase_add_test(tests, a_slow_reader_is_told_how_many_it_has_lost_and_goes_on_with_the_oldest);
    tcase_add_test(tests, who_is_given_a_part_of_an_event_gets_the_rest_though_the_ring_went_on);
    tcase_add_test(tests, an_id_leads_back_to_the_place_after_it);
    tcase_add_test(tests, trains_are_held_back_until_it_is_time_or_something_else_happens);
    tcase_add_test(tests, the_progress_of_a_job_is_held_back_but_not_its_end);
    tcase_add_test(tests, readers_are_counted_bounded_and_get_a_comment_when_it_is_quiet);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
