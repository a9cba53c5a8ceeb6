/* test_guard.c - server/access/guard.h, proxy.h and listen.h: which hosts, pages, proxies and addresses are ours. */
#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/access/guard.h"
#include "server/access/proxy.h"
#include "server/http/listen.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

static struct err err;

/* ---- Host ---- */

START_TEST(names_and_addresses_of_this_machine_are_loopback)
{
    static const char *const ours[] = {"localhost",  "LocalHost:80",      "convd.localhost",      "a.b.LOCALHOST:1",
                                       "127.0.0.1",  "127.0.0.1:8080",    "127.255.255.254",      "[::1]",
                                       "[::1]:8080", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]:80"};
    for (size_t i = 0; i < N(ours); i++)
        ck_assert_msg(host_is_loopback(ours[i]), "%s", ours[i]);
}
END_TEST

START_TEST(everything_else_is_not_loopback)
{
    static const char *const others[] = {"",
                                         ":80",
                                         "evil.example",
                                         "localhost.evil.example",
                                         "127.0.0.1.evil.example",
                                         "xlocalhost",
                                         ".localhost",
                                         "localhost:80x",
                                         "localhost@evil.example",
                                         "localhost evil.example",
                                         "128.0.0.1",
                                         "0.0.0.0",
                                         "127.1",
                                         "0x7f000001",
                                         "2130706433",
                                         "[::2]",
                                         "[::]",
                                         "[::1",
                                         "::1",
                                         "[::1]x",
                                         "[]",
                                         "[::ffff:10.0.0.1]",
                                         "[127.0.0.1]"};
    for (size_t i = 0; i < N(others); i++)
        ck_assert_msg(!host_is_loopback(others[i]), "%s", others[i]);
}
END_TEST

static int check_with(struct guard guard, bool local, bool https, enum method method, const char *host,
                      const char *origin, const char *site)
{
    struct request request = {.method = method, .host = host, .origin = origin, .fetch_site = site, .https = https};
    int status = guard_check(&guard, local, &request, &err);
    ck_assert(status == 0 || err.code == ERR_FORBIDDEN);
    return status;
}

static int check(struct guard guard, bool local, enum method method, const char *host, const char *origin,
                 const char *site)
{
    return check_with(guard, local, false, method, host, origin, site);
}

static const struct guard loopback = {.loopback_only = true}, anywhere = {0};

START_TEST(a_rebound_name_is_refused_for_every_method)
{
    ck_assert_int_eq(check(loopback, false, METHOD_GET, "evil.example", NULL, NULL), -1);
    ck_assert_int_eq(check(loopback, false, METHOD_POST, "evil.example", "http://evil.example", "same-origin"), -1);
    ck_assert_int_eq(check(loopback, false, METHOD_GET, "127.0.0.1:8080", NULL, NULL), 0);
}
END_TEST

START_TEST(host_is_not_checked_beyond_loopback_nor_over_a_unix_socket)
{
    ck_assert_int_eq(check(anywhere, false, METHOD_GET, "digits.example", NULL, NULL), 0);
    ck_assert_int_eq(check(loopback, true, METHOD_GET, "digits.example", NULL, NULL), 0);
}
END_TEST

START_TEST(a_name_that_was_given_is_served_beside_loopback_on_every_address)
{
    static const struct guard guards[] = {{.loopback_only = true, .hosts = "cam.example,convd"},
                                          {.hosts = "convd,cam.example"}};
    static const char *const served[] = {"cam.example", "CAM.example:8443", "convd", "cam.example.", "localhost:8080"};
    static const char *const refused[] = {"xcam.example", "cam.example.evil", "cam.exampl", "cam.example:x", "",
                                          "evil",         "cam.example,convd"};
    for (size_t g = 0; g < N(guards); g++) {
        for (size_t i = 0; i < N(served); i++)
            ck_assert_msg(check(guards[g], false, METHOD_GET, served[i], NULL, NULL) == 0, "%s", served[i]);
        for (size_t i = 0; i < N(refused); i++)
            ck_assert_msg(check(guards[g], false, METHOD_GET, refused[i], NULL, NULL) == -1, "%s", refused[i]);
        ck_assert_int_eq(check(guards[g], false, METHOD_POST, "cam.example:1", "https://cam.example:1", NULL), 0);
        ck_assert_int_eq(check(guards[g], false, METHOD_POST, "cam.example:1", "https://convd:1", NULL), -1);
    }
    const struct guard any = {.loopback_only = true, .hosts = "*"};
    ck_assert_int_eq(check(any, false, METHOD_GET, "evil.example:1", NULL, NULL), 0);
}
END_TEST

START_TEST(a_refused_host_is_told_the_flag)
{
    ck_assert_int_eq(check(loopback, false, METHOD_GET, "cam.example:8080", NULL, NULL), -1);
    ck_assert_str_eq(err.text,
                     "convd does not serve the host \"cam.example:8080\": use localhost or 127.0.0.1, or start "
                     "it with --host cam.example");
}
END_TEST

START_TEST(names_that_are_none_are_refused)
{
    static const char *const wrong[] = {"", "a,", ",a", "a,,b", "http://a", "a:80", "a b", "*,a", "a/b"};
    for (size_t i = 0; i < N(wrong); i++) {
        ck_assert_msg(guard_hosts_check(wrong[i], &err) == -1, "%s", wrong[i]);
        ck_assert_int_eq(err.code, ERR_USAGE);
    }
    static const char *const right[] = {"a", "cam.example,convd", "*", "my_host-1.lan", "10.0.0.5"};
    for (size_t i = 0; i < N(right); i++)
        ck_assert_msg(guard_hosts_check(right[i], &err) == 0, "%s", right[i]);
}
END_TEST

/* ---- trusted proxies ---- */

static bool believed(const struct proxies *proxies, const char *address)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
        return proxies_believe(proxies, (const struct sockaddr *)&v4);
    ck_assert_int_eq(inet_pton(AF_INET6, address, &v6.sin6_addr), 1);
    return proxies_believe(proxies, (const struct sockaddr *)&v6);
}

START_TEST(a_proxy_is_believed_by_its_address_or_network)
{
    struct proxies proxies;
    const struct sockaddr path = {.sa_family = AF_UNIX};
    ck_assert_int_eq(proxies_parse(&proxies, "10.0.0.5,172.16.0.0/12,fd00::/9,::1", &err), 0);
    static const char *const yes[] = {"10.0.0.5", "::ffff:10.0.0.5", "172.16.0.1", "172.31.255.255",
                                      "fd00::1",  "fd7f::1",         "::1"};
    static const char *const no[] = {"10.0.0.4", "10.0.0.6", "172.32.0.0", "172.15.255.255",
                                     "fd80::1",  "fc00::1",  "::2",        "127.0.0.1"};
    for (size_t i = 0; i < N(yes); i++)
        ck_assert_msg(believed(&proxies, yes[i]), "%s", yes[i]);
    for (size_t i = 0; i < N(no); i++)
        ck_assert_msg(!believed(&proxies, no[i]), "%s", no[i]);
    ck_assert(!proxies_believe(&proxies, &path));
    ck_assert_int_eq(proxies_parse(&proxies, "unix", &err), 0);
    ck_assert(proxies_believe(&proxies, &path) && !believed(&proxies, "::1"));
    ck_assert_int_eq(proxies_parse(&proxies, "0.0.0.0/0", &err), 0);
    ck_assert(believed(&proxies, "8.8.8.8") && !believed(&proxies, "::1"));
    ck_assert_int_eq(proxies_parse(&proxies, NULL, &err), 0);
    ck_assert(!believed(&proxies, "127.0.0.1") && !proxies_believe(&proxies, &path));
}
END_TEST

START_TEST(what_is_no_proxy_s_address_is_refused)
{
    static const char *const wrong[] = {"",          "nginx",      "10.0.0.5,",   "10.0.0.0/33",
                                        "10.0.0.0/", "10.0.0.0/x", "10.0.0.0/-1", "10.0.0.0/8x",
                                        "::/129",    "10.0.0",     "unix:/run/x", "1.1.1.1/99999999999999999999"};
    struct proxies proxies;
    for (size_t i = 0; i < N(wrong); i++) {
        ck_assert_msg(proxies_parse(&proxies, wrong[i], &err) == -1, "%s", wrong[i]);
        ck_assert_int_eq(err.code, ERR_USAGE);
    }
    char many[PROXY_NETWORKS_MAX * 4 + 8] = "::1";
    for (unsigned i = 0; i < PROXY_NETWORKS_MAX; i++)
        (void)snprintf(many + strlen(many), sizeof many - strlen(many), ",::1");
    ck_assert_int_eq(proxies_parse(&proxies, many, &err), -1);
}
END_TEST

START_TEST(of_several_values_the_nearest_proxy_s_counts)
{
    struct request request = {.host = "convd",
                              .forwarded_host = "evil.example, cam.example",
                              .forwarded_proto = "http,HTTPS",
                              .forwarded_for = "1.2.3.4, 10.0.0.9"};
    proxies_apply(&request);
    ck_assert_str_eq(request.host, "cam.example");
    ck_assert_str_eq(request.client, "10.0.0.9");
    ck_assert(request.https);
    request = (struct request){.host = "convd", .https = true, .forwarded_host = "a, ", .forwarded_proto = "http"};
    proxies_apply(&request);
    ck_assert_str_eq(request.host, "convd");
    ck_assert(!request.https && request.client == NULL);
}
END_TEST

START_TEST(a_page_of_another_origin_is_refused_also_over_a_unix_socket)
{
    static const char *const origins[] = {"http://evil.example",   "https://evil.example", "null",          "",
                                          "http://127.0.0.1:8081", "http://127.0.0.1",     "127.0.0.1:8080"};
    static const enum method methods[] = {METHOD_GET,   METHOD_HEAD,   METHOD_POST,
                                          METHOD_PATCH, METHOD_DELETE, METHOD_OPTIONS};
    for (size_t i = 0; i < N(origins); i++)
        for (size_t m = 0; m < N(methods); m++) {
            ck_assert_int_eq(check(loopback, false, methods[m], "127.0.0.1:8080", origins[i], NULL), -1);
            ck_assert_int_eq(check(loopback, true, methods[m], "127.0.0.1:8080", origins[i], NULL), -1);
        }
}
END_TEST

START_TEST(a_page_of_this_origin_is_served_with_the_scheme_that_it_can_have)
{
    const char *host = "convd.example:8443";
    ck_assert_int_eq(check(anywhere, false, METHOD_POST, host, "http://convd.example:8443", "same-origin"), 0);
    ck_assert_int_eq(check(anywhere, false, METHOD_POST, host, "https://CONVD.example:8443", NULL), 0);
    ck_assert_int_eq(check_with(anywhere, false, true, METHOD_POST, host, "https://convd.example:8443", NULL), 0);
    ck_assert_int_eq(check_with(anywhere, false, true, METHOD_POST, host, "http://convd.example:8443", NULL), -1);
    ck_assert_int_eq(check(anywhere, true, METHOD_POST, host, "http://convd.example:8443", NULL), 0);
}
END_TEST

START_TEST(what_the_browser_says_of_the_site_counts)
{
    ck_assert_int_eq(check(loopback, false, METHOD_POST, "localhost", NULL, "cross-site"), -1);
    ck_assert_int_eq(check(loopback, false, METHOD_POST, "localhost", NULL, "same-site"), -1);
    ck_assert_int_eq(check(loopback, false, METHOD_POST, "localhost", NULL, "same-origin"), 0);
    ck_assert_int_eq(check(loopback, false, METHOD_POST, "localhost", NULL, "none"), 0);
    ck_assert_int_eq(check(loopback, false, METHOD_GET, "localhost", NULL, "cross-site"), -1);
    ck_assert_int_eq(check(loopback, false, METHOD_HEAD, "localhost", NULL, "same-site"), -1);
    ck_assert_int_eq(check(loopback, false, METHOD_OPTIONS, "localhost", NULL, "cross-site"), -1);
    ck_assert_int_eq(check(loopback, false, METHOD_GET, "localhost", NULL, "same-origin"), 0);
}
END_TEST

static int follow(enum method method, const char *path, const char *mode, const char *dest)
{
    struct request request = {
        .method = method, .host = "localhost", .fetch_site = "cross-site", .fetch_mode = mode, .fetch_dest = dest};
    (void)snprintf(request.path, sizeof request.path, "%s", path);
    return guard_check(&loopback, false, &request, &err);
}

START_TEST(a_link_from_elsewhere_opens_the_page_and_nothing_else)
{
    ck_assert_int_eq(follow(METHOD_GET, "/", "navigate", "document"), 0);
    ck_assert_int_eq(follow(METHOD_HEAD, "/", "navigate", "document"), 0);
    ck_assert_int_eq(follow(METHOD_POST, "/", "navigate", "document"), -1);
    ck_assert_int_eq(follow(METHOD_GET, "/backup", "navigate", "document"), -1);
    ck_assert_int_eq(follow(METHOD_GET, "", "navigate", "document"), -1);
    ck_assert_int_eq(follow(METHOD_GET, "/", "navigate", "iframe"), -1);
    ck_assert_int_eq(follow(METHOD_GET, "/", "no-cors", "image"), -1);
    ck_assert_int_eq(follow(METHOD_GET, "/", NULL, NULL), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "links to /"));
}
END_TEST

/* ---- addresses to listen on ---- */

static struct listen_address addresses[4];
static unsigned n_addresses;

static int parse(const char *text, bool beyond)
{
    return listen_parse(addresses, &n_addresses, N(addresses), text, beyond, &err);
}

START_TEST(loopback_addresses_and_paths_are_understood)
{
    static const char *const good[] = {"127.0.0.1:8080", "127.0.0.1:0",          ":8080",     "8080",     "localhost:1",
                                       "[::1]:8080",     "unix:/run/convd.sock", "unix:here", "unix:/a:b"};
    for (size_t i = 0; i < N(good); i++) {
        ck_assert_msg(parse(good[i], false) == 0, "%s: %s", good[i], err.text);
        ck_assert_uint_eq(n_addresses, 1);
        ck_assert_int_eq(addresses[0].family == AF_UNIX, strncmp(good[i], "unix:", 5) == 0);
    }
}
END_TEST

START_TEST(several_addresses_stand_with_commas_between)
{
    ck_assert_int_eq(parse("127.0.0.1:0,unix:a,[::1]:0,unix:b", false), 0);
    ck_assert_uint_eq(n_addresses, 4);
    ck_assert_str_eq(((const struct sockaddr_un *)(const void *)&addresses[1].address)->sun_path, "a");
    ck_assert_str_eq(((const struct sockaddr_un *)(const void *)&addresses[3].address)->sun_path, "b");
    ck_assert_int_eq(parse("1,2,3,4,5", false), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "the limit is 4"));
}
END_TEST

START_TEST(what_is_no_address_is_refused)
{
    static const char *const bad[] = {"",      "localhost", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:99999", "::1:80",
                                      "unix:", "8080,",     ",8080",      "8080,,8081",  "127.0.0.1:8080 "};
    for (size_t i = 0; i < N(bad); i++) {
        ck_assert_msg(parse(bad[i], true) == -1, "%s", bad[i]);
        ck_assert_int_eq(err.code, ERR_USAGE);
    }
    char path[200] = "unix:/";
    memset(path + 6, 'x', sizeof path - 7);
    ck_assert_int_eq(parse(path, false), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "107 bytes"));
}
END_TEST

START_TEST(an_address_beyond_loopback_needs_a_word_and_the_error_tells_which)
{
    static const char *const far[] = {"0.0.0.0:80", "[::]:80", "10.0.0.1:80", "127.0.0.1:80,0.0.0.0:80"};
    for (size_t i = 0; i < N(far); i++) {
        ck_assert_int_eq(parse(far[i], false), -1);
        ck_assert_ptr_nonnull(strstr(err.text, "--write-token-file"));
        ck_assert_ptr_nonnull(strstr(err.text, "--listen-anywhere"));
        ck_assert_int_eq(parse(far[i], true), 0);
    }
}
END_TEST

START_TEST(a_socket_s_mode_is_octal)
{
    mode_t mode = 0;
    ck_assert_int_eq(listen_parse_mode(&mode, "0660", &err), 0);
    ck_assert_uint_eq(mode, 0660);
    ck_assert_int_eq(listen_parse_mode(&mode, "600", &err), 0);
    ck_assert_uint_eq(mode, 0600);
    static const char *const bad[] = {"", "6", "0668", "1777", "06600", "rw", "-600"};
    for (size_t i = 0; i < N(bad); i++)
        ck_assert_msg(listen_parse_mode(&mode, bad[i], &err) == -1, "%s", bad[i]);
}
END_TEST

/* ---- UNIX sockets ---- */

static char folder[64];

static void enter(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/convd-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

static void leave(void)
{
    (void)unlink("s");
    (void)unlink("t");
    ck_assert_int_eq(chdir("/"), 0);
    ck_assert_int_eq(rmdir(folder), 0);
}

static mode_t mode_of(const char *path)
{
    struct stat about;
    ck_assert_int_eq(lstat(path, &about), 0);
    return about.st_mode & 07777;
}

START_TEST(a_socket_has_the_mode_asked_for_whatever_the_umask_and_goes_when_told)
{
    static const mode_t umasks[] = {0, 022, 077, 0777};
    for (size_t i = 0; i < N(umasks); i++) {
        int fd = -1;
        struct listen_place place;
        ck_assert_int_eq(parse("unix:s", false), 0);
        (void)umask(umasks[i]);
        ck_assert_msg(listen_open(&fd, &addresses[0], 0660, &err) == 0, "%s", err.text);
        (void)umask(022);
        ck_assert_uint_eq(mode_of("s"), 0660);
        ck_assert_int_eq(listen_describe(&place, fd, true, false, &err), 0);
        ck_assert_str_eq(place.url, "unix:s");
        ck_assert(place.local && place.loopback);
        (void)close(fd);
        listen_remove(&addresses[0]);
        ck_assert_int_eq(access("s", F_OK), -1);
    }
}
END_TEST

START_TEST(a_socket_that_is_answered_is_left_alone_and_a_stale_one_replaced)
{
    int first = -1, second = -1;
    ck_assert_int_eq(parse("unix:s,unix:s", false), 0);
    ck_assert_int_eq(listen_open(&first, &addresses[0], 0600, &err), 0);
    ck_assert_int_eq(listen_open(&second, &addresses[1], 0600, &err), -1);
    ck_assert_int_eq(err.code, ERR_NETWORK);
    ck_assert_ptr_nonnull(strstr(err.text, "another program"));
    (void)close(first); /* as if it had died: the file stays */
    ck_assert_int_eq(access("s", F_OK), 0);
    ck_assert_int_eq(listen_open(&second, &addresses[1], 0600, &err), 0);
    listen_remove(&addresses[0]); /* the first one's file is the second one's now */
    ck_assert_int_eq(access("s", F_OK), 0);
    (void)close(second);
}
END_TEST

START_TEST(what_is_no_socket_is_never_removed)
{
    int fd = -1;
    FILE *file = fopen("s", "w");
    ck_assert_ptr_nonnull(file);
    (void)fclose(file);
    ck_assert_int_eq(parse("unix:s,unix:t", false), 0);
    ck_assert_int_eq(listen_open(&fd, &addresses[0], 0600, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "not a socket"));
    ck_assert_int_eq(symlink("s", "t"), 0);
    ck_assert_int_eq(listen_open(&fd, &addresses[1], 0600, &err), -1);
    ck_assert_int_eq(access("s", F_OK), 0);
    ck_assert_int_eq(access("t", F_OK), 0);
}
END_TEST

START_TEST(tcp_sockets_are_called_by_scheme_address_and_port)
{
    int fd = -1;
    struct listen_place place;
    ck_assert_int_eq(parse("127.0.0.1:0", false), 0);
    ck_assert_int_eq(listen_open(&fd, &addresses[0], 0, &err), 0);
    ck_assert_int_eq(listen_describe(&place, fd, false, false, &err), 0);
    ck_assert_int_eq(strncmp(place.url, "http://127.0.0.1:", 17), 0);
    ck_assert(!place.local && place.loopback);
    ck_assert_int_eq(listen_describe(&place, fd, true, false, &err), 0);
    ck_assert_int_eq(strncmp(place.url, "https://127.0.0.1:", 18), 0);
    (void)close(fd);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("guard");
    TCase *hosts = tcase_create("hosts and pages");
    tcase_add_test(hosts, names_and_addresses_of_this_machine_are_loopback);
    tcase_add_test(hosts, everything_else_is_not_loopback);
    tcase_add_test(hosts, a_rebound_name_is_refused_for_every_method);
    tcase_add_test(hosts, host_is_not_checked_beyond_loopback_nor_over_a_unix_socket);
    tcase_add_test(hosts, a_name_that_was_given_is_served_beside_loopback_on_every_address);
    tcase_add_test(hosts, a_refused_host_is_told_the_flag);
    tcase_add_test(hosts, names_that_are_none_are_refused);
    tcase_add_test(hosts, a_proxy_is_believed_by_its_address_or_network);
    tcase_add_test(hosts, what_is_no_proxy_s_address_is_refused);
    tcase_add_test(hosts, of_several_values_the_nearest_proxy_s_counts);
    tcase_add_test(hosts, a_page_of_another_origin_is_refused_also_over_a_unix_socket);
    tcase_add_test(hosts, a_page_of_this_origin_is_served_with_the_scheme_that_it_can_have);
    tcase_add_test(hosts, what_the_browser_says_of_the_site_counts);
    tcase_add_test(hosts, a_link_from_elsewhere_opens_the_page_and_nothing_else);
    suite_add_tcase(suite, hosts);
    TCase *places = tcase_create("addresses");
    tcase_add_test(places, loopback_addresses_and_paths_are_understood);
    tcase_add_test(places, several_addresses_stand_with_commas_between);
    tcase_add_test(places, what_is_no_address_is_refused);
    tcase_add_test(places, an_address_beyond_loopback_needs_a_word_and_the_error_tells_which);
    tcase_add_test(places, a_socket_s_mode_is_octal);
    suite_add_tcase(suite, places);
    TCase *sockets = tcase_create("sockets");
    tcase_add_checked_fixture(sockets, enter, leave);
    tcase_add_test(sockets, a_socket_has_the_mode_asked_for_whatever_the_umask_and_goes_when_told);
    tcase_add_test(sockets, a_socket_that_is_answered_is_left_alone_and_a_stale_one_replaced);
    tcase_add_test(sockets, what_is_no_socket_is_never_removed);
    tcase_add_test(sockets, tcp_sockets_are_called_by_scheme_address_and_port);
    suite_add_tcase(suite, sockets);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
