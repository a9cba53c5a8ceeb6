/* test_request.c - server/message/request.h: what a client says that it would rather have. (The rest of it is tested over HTTP.) */
#include <check.h>
#include <stdlib.h>

#include "server/message/request.h"

static const struct {
    const char *accept, *type;
    unsigned quality;
} cases[] = {
    {NULL, "image/png", 1000},
    {"", "image/png", 0},
    {"*/*", "image/png", 1000},
    {"image/*", "image/png", 1000},
    {"image/*", "text/html", 0},
    {"image/png", "image/png", 1000},
    {"IMAGE/PNG", "image/png", 1000},
    {"image/pngx", "image/png", 0},
    {"image/pn", "image/png", 0},
    {"application/json", "image/png", 0},
    {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", "text/html", 1000},
    {"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", "image/png", 800},
    {"*/*;q=0.1, image/*;q=0.5, image/png;q=0.25", "image/png", 250},
    {"image/png;q=0.25, image/*;q=0.5, */*;q=0.1", "image/png", 250},
    {"image/png; q=0.125 , text/plain", "image/png", 125},
    {"image/png;q=0", "image/png", 0},
    {"image/png;q=1.000", "image/png", 1000},
    {"image/png;level=1;Q=0.3", "image/png", 300},
    {"image/png;", "image/png", 1000},
    {"image/png;q", "image/png", 1000},
    {"image/png;q=", "image/png", 1000},
    {",,image/png,,", "image/png", 1000},
    {"gzip, deflate, br", "gzip", 1000},
    {"br, GZIP ; q=0, deflate", "gzip", 0},
    {"x-gzip, gzipped", "gzip", 0},
};

START_TEST(the_most_specific_range_says_how_much_a_type_is_wanted)
{
    ck_assert_msg(accept_quality(cases[_i].accept, cases[_i].type) == cases[_i].quality, "%s: %s is %u, not %u",
                  cases[_i].accept == NULL ? "no header" : cases[_i].accept, cases[_i].type,
                  accept_quality(cases[_i].accept, cases[_i].type), cases[_i].quality);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("request");
    TCase *tests = tcase_create("accept");
    suite_add_tcase(suite, tests);
    tcase_add_loop_test(tests, the_most_specific_range_says_how_much_a_type_is_wanted, 0,
                        (int)(sizeof cases / sizeof *cases));
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
