/* test_cli_url.c - the command line as a client: of a real daemon, and of a server that fails on purpose. */
#include "tests/server/cli_run.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include "server/cli/client.h"
#include "server/image/image.h"

static char url[64];
static pid_t daemon_pid;

/* ---- a real daemon ---- */

static void start_daemon_on(const char *address)
{
    /* its own output files: start() writes to "stdout" and "stderr" of the working directory */
    (void)mkdir("daemon", 0700);
    ck_assert_int_eq(chdir("daemon"), 0);
    daemon_pid = start(ARGUMENTS("serve", "--db", "../m.db", "--listen", address));
    ck_assert_int_eq(chdir(".."), 0);
    AWAIT(has_line("daemon/stdout"));
    ck_assert_msg(sscanf(output, "listening on %63s", url) == 1, "%s", output);
}

static void start_daemon(void)
{
    start_daemon_on("127.0.0.1:0");
}

static void stop_daemon(void)
{
    int status = 0;
    ck_assert_int_eq(kill(daemon_pid, SIGTERM), 0);
    ck_assert_int_eq(waitpid(daemon_pid, &status, 0), daemon_pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void enter_with_daemon(void)
{
    enter_folder();
    WORKS("init", "--db", "m.db", SMALL);
    start_daemon();
}

/* A test that failed has not stopped it. */
static void leave_with_daemon(void)
{
    if (daemon_pid > 0 && kill(daemon_pid, 0) == 0) {
        (void)kill(daemon_pid, SIGKILL);
        (void)waitpid(daemon_pid, NULL, 0);
    }
    leave_folder();
}

START_TEST(training_over_http_is_training_offline_bit_for_bit)
{
    char offline[128];
    char online[128];
    write_idx("", 600, 1);
    WORKS("init", "--db", "n.db", SMALL);
    WORKS("train", "--db", "n.db", "images.idx", "labels.idx", "--json");
    double accuracy = output_number("accuracy");
    double revision = output_number("revision");
    WORKS("verify", "--db", "n.db", "--json");
    output_string(offline, sizeof offline, "digest");

    WORKS("train", "--url", url, "images.idx", "labels.idx", "--json");
    ck_assert_double_eq(output_number("samples"), 600);
    ck_assert_double_eq(output_number("step"), 600);
    ck_assert_double_eq_tol(output_number("accuracy"), accuracy, 1e-9);
    ck_assert_double_eq(output_number("revision"), revision);
    WORKS("evaluate", "--url", url, "images.idx", "labels.idx", "--json");
    output_string(online, sizeof online, "digest");
    ck_assert_str_eq(offline, online);
    stop_daemon();
    WORKS("verify", "--db", "m.db", "--json");
    output_string(online, sizeof online, "digest");
    ck_assert_str_eq(offline, online);
}
END_TEST

START_TEST(later_passes_over_http_are_those_of_a_database_bit_for_bit)
{
    char offline[128], online[128];
    write_idx("", 600, 1);
    WORKS("init", "--db", "n.db", SMALL);
    WORKS("train", "--db", "n.db", "images.idx", "labels.idx", "--passes", "4", "--rate", "0.2", "--decay", "0.7",
          "--jitter", "1", "--rotation", "5", "--json");
    double revision = output_number("revision");
    WORKS("verify", "--db", "n.db", "--json");
    output_string(offline, sizeof offline, "digest");
    WORKS("train", "--url", url, "images.idx", "labels.idx", "--passes", "4", "--rate", "0.2", "--decay", "0.7",
          "--jitter", "1", "--rotation", "5", "--json");
    ck_assert_double_eq(output_number("samples"), 600);
    ck_assert_double_eq(output_number("rehearsed"), 600);
    ck_assert_double_eq(output_number("revision"), revision);
    ck_assert_double_eq(output_number("passes"), 4);
    ck_assert_double_eq(output_number("steps"), 2400);
    ck_assert_double_eq(output_number("step"), 2400);
    stop_daemon();
    WORKS("verify", "--db", "m.db", "--json");
    output_string(online, sizeof online, "digest");
    ck_assert_str_eq(offline, online);
    ck_assert_double_eq(output_number("samples"), 600); /* stored once */
}
END_TEST

START_TEST(without_files_the_daemon_rehearses_what_it_has_learned)
{
    write_idx("", 100, 1);
    FAILS(1, "there is nothing to rehearse", "train", "--url", url, "--passes", "2");
    WORKS("train", "--url", url, "images.idx", "labels.idx");
    WORKS("train", "--url", url, "--passes", "5", "--json");
    ck_assert_double_eq(output_number("rehearsed"), 100);
    ck_assert_double_eq(output_number("passes"), 5);
    ck_assert_double_eq(output_number("step"), 600);
    FAILS(2, "with --url, the limit of --passes is 1000", "train", "--url", url, "--passes", "1001");
    FAILS(2, "--arith needs a database", "train", "--url", url, "--passes", "2", "--arith", "portable");
    stop_daemon();
}
END_TEST

/* Until the daemon's first job is at work, and has made a step. */
static void await_work(void)
{
    for (;;) {
        struct client *asking = NULL;
        struct client_request request = {.method = "GET", .path = "/jobs", .safe = true};
        struct client_reply jobs = {0};
        struct err err;
        ck_assert_int_eq(client_open(&asking, url, 60, NULL, &err), 0);
        ck_assert_msg(client_send(asking, &request, &jobs, &err) == 0, "%s", err.text);
        const bool works =
            strstr(jobs.body, "\"state\":\"running\"") != NULL && strstr(jobs.body, "\"steps\":0,") == NULL;
        client_reply_fini(&jobs);
        client_close(asking);
        if (works)
            return;
        (void)usleep(10000);
    }
}

START_TEST(an_interrupt_cancels_the_rehearsal_in_the_daemon)
{
    write_idx("", 600, 1);
    WORKS("train", "--url", url, "images.idx", "labels.idx");
    pid_t pid = start(ARGUMENTS("train", "--url", url, "--passes", "1000", "--json"));
    await_work();
    ck_assert_int_eq(kill(pid, SIGINT), 0);
    ck_assert_int_eq(finish(pid), 130);
    double steps = output_number("steps");
    ck_assert(steps > 0 && steps < 600000);
    ck_assert_double_eq(output_number("step"), 600 + steps);
    WORKS("evaluate", "--url", url, "images.idx", "labels.idx", "--json");
    ck_assert_double_eq(output_number("step"), 600 + steps); /* it did stop */
    stop_daemon();
}
END_TEST

START_TEST(evaluating_over_http_gives_the_figures_of_the_database)
{
    write_idx("", 301, 1); /* the last request has one image: its answer has no list */
    WORKS("train", "--url", url, "images.idx", "labels.idx", "--limit", "257");
    WORKS("evaluate", "--url", url, "images.idx", "labels.idx", "--json");
    double loss = output_number("loss");
    double wrong = output_number("errors");
    double revision = output_number("revision");
    stop_daemon();
    WORKS("evaluate", "--db", "m.db", "images.idx", "labels.idx", "--json");
    ck_assert_double_eq_tol(output_number("loss"), loss, 1e-6);
    ck_assert_double_eq(output_number("errors"), wrong);
    ck_assert_double_eq(output_number("revision"), revision);
}
END_TEST

START_TEST(labels_with_commas_and_other_signs_arrive)
{
    uint8_t image[SIDE * SIDE];
    static const char *const folders[] = {"d", "d/a,b", "d/\xc3\xa9 & c?", "d/100%"};
    uint32_t seed = 5;
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(mkdir(folders[i], 0700), 0);
        for (unsigned k = 0; i > 0 && k < 20; k++) {
            char name[64];
            uint8_t *png = NULL;
            size_t n = 0;
            draw(image, i - 1, &seed);
            ck_assert_int_eq(image_encode_png(&png, &n, image, (uint32_t)SIDE, (uint32_t)SIDE, 1, NULL), 0);
            (void)snprintf(name, sizeof name, "%s/%u.png", folders[i], k);
            write_file(name, png, n);
            free(png);
        }
    }
    FAILS(1, "unknown label \"100%\"", "train", "--url", url, "d");
    WORKS("train", "--url", url, "d", "--add-classes", "--json");
    ck_assert_double_eq(output_number("samples"), 60);
    WORKS("evaluate", "--url", url, "d", "--json");
    struct json *root = output_json();
    const struct json *classes = json_get(root, "classes");
    ck_assert_uint_eq(json_length(classes), 6);
    ck_assert_ptr_nonnull(strstr(output, "\"a,b\""));
    json_free(root);
    stop_daemon();
    WORKS("verify", "--db", "m.db");
}
END_TEST

START_TEST(a_rate_is_tuned_over_http)
{
    write_idx("", 30, 1);
    WORKS("train", "--url", url, "images.idx", "labels.idx", "--rate", "0.125", "--json");
    WORKS("export", "--url", url, "--safetensors", "m.safetensors");
    WORKS("init", "--db", "n.db", "--from", "m.safetensors", "--json");
    ck_assert_double_eq(output_number("rate"), 0.125);
}
END_TEST

START_TEST(what_is_exported_over_http_is_what_the_database_exports)
{
    static char one[OUTPUT_BYTES];
    static char two[OUTPUT_BYTES];
    WORKS("export", "--url", url, "--safetensors", "a.safetensors", "--kernels", "a.png");
    stop_daemon();
    WORKS("export", "--db", "m.db", "--safetensors", "b.safetensors", "--kernels", "b.png");
    size_t n = slurp(one, "a.safetensors");
    ck_assert_uint_eq(slurp(two, "b.safetensors"), n);
    ck_assert_mem_eq(one, two, n);
    n = slurp(one, "a.png");
    ck_assert_uint_eq(slurp(two, "b.png"), n);
    ck_assert_mem_eq(one, two, n);
}
END_TEST

START_TEST(predicting_over_http_prints_what_predicting_offline_prints)
{
    uint8_t image[SIDE * SIDE];
    uint8_t *png = NULL;
    size_t n = 0;
    uint32_t seed = 3;
    write_idx("", 300, 1);
    draw(image, 1, &seed);
    ck_assert_int_eq(image_encode_png(&png, &n, image, (uint32_t)SIDE, (uint32_t)SIDE, 1, NULL), 0);
    write_file("line.png", png, n);
    free(png);
    write_file("raw.bin", image, sizeof image);
    WORKS("train", "--url", url, "images.idx", "labels.idx");
    WORKS("predict", "--url", url, "line.png", "--top", "3");
    char online[256];
    (void)snprintf(online, sizeof online, "%.200s", output);
    ck_assert_msg(strncmp(online, "line.png: 1 0.", 14) == 0, "%s", online);
    FAILS(1, "raw.bin", "predict", "--url", url, "raw.bin");
    stop_daemon();
    WORKS("predict", "--db", "m.db", "line.png", "--top", "3");
    ck_assert_str_eq(online, output);
}
END_TEST

START_TEST(snapshots_over_http_are_those_of_the_database)
{
    char id[32];
    WORKS("snapshots", "take", "--url", url, "--note", "a \"note\"", "--pin", "--json");
    (void)snprintf(id, sizeof id, "%.0f", output_number("id"));
    WORKS("snapshots", "take", "--url", url, "--json");
    char second[32];
    (void)snprintf(second, sizeof second, "%.0f", output_number("id"));
    WORKS("snapshots", "--url", url);
    ck_assert_ptr_nonnull(strstr(output, "(pinned)  a \"note\""));
    WORKS("snapshots", "drop", second, "--url", url);
    ck_assert_ptr_nonnull(strstr(output, "dropped snapshot"));
    FAILS(1, "snapshot", "snapshots", "drop", second, "--url", url);
    WORKS("snapshots", "activate", id, "--url", url);
    ck_assert_ptr_nonnull(strstr(output, "is activated"));
    static char online[OUTPUT_BYTES];
    WORKS("snapshots", "--url", url, "--json");
    struct json *root = output_json();
    size_t n = json_length(json_get(root, "snapshots"));
    memcpy(online, output, sizeof online);
    json_free(root);
    stop_daemon();
    WORKS("snapshots", "--db", "m.db", "--json");
    root = output_json();
    ck_assert_uint_ge(json_length(json_get(root, "snapshots")), n);
    /* the same members, whoever tells them */
    struct json *other = json_parse(online, strlen(online), NULL);
    ck_assert_ptr_nonnull(other);
    const struct json *a = json_first(json_first(json_get(root, "snapshots")));
    const struct json *b = json_first(json_first(json_get(other, "snapshots")));
    for (; a != NULL && b != NULL; a = json_next(a), b = json_next(b)) {
        ck_assert_str_eq(json_name(a), json_name(b));
        if (json_string(a) != NULL)
            ck_assert_str_eq(json_string(a), json_string(b));
        else
            ck_assert_double_eq(json_number(a), json_number(b));
    }
    ck_assert(a == NULL && b == NULL);
    json_free(other);
    json_free(root);
}
END_TEST

START_TEST(a_daemon_that_is_killed_and_started_again_costs_a_pause_and_nothing_twice)
{
    char address[96]; /* one that nobody else is given meanwhile */
    (void)snprintf(address, sizeof address, "unix:%s/socket", work_folder);
    stop_daemon();
    start_daemon_on(address);
    write_idx("", 30000, 1);
    pid_t pid = start(ARGUMENTS("train", "--url", url, "images.idx", "labels.idx", "--batch", "16", "--json"));
    AWAIT(length_of("m.db-wal") >= 100000);
    ck_assert_int_eq(kill(daemon_pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(daemon_pid, NULL, 0), daemon_pid);
    ck_assert_int_eq(waitpid(pid, NULL, WNOHANG), 0); /* still at it */
    start_daemon_on(address);
    ck_assert_msg(finish(pid) == 0, "%s", errors);
    ck_assert_double_eq(output_number("samples"), 30000);
    ck_assert_double_eq(output_number("step"), 30000);
    stop_daemon();
    WORKS("verify", "--db", "m.db", "--json");
    ck_assert_double_eq(output_number("samples"), 30000);
}
END_TEST

/* ---- a server that fails on purpose ---- */

/* Answers connection after connection by the script; an empty answer breaks the connection. Keeps what it was sent. */
struct script {
    const char *const *answers;
    size_t n;
    int fd;
    pthread_t thread;
    size_t asked;
    char requests[8][4096];
};

static struct script script;

static void *play(void *unused)
{
    (void)unused;
    for (size_t i = 0; i < script.n; i++) {
        int fd = accept(script.fd, NULL, NULL);
        if (fd < 0)
            break;
        size_t n = 0;
        char *request = script.requests[i];
        /* the head, then as many bytes as Content-Length says; the tests' bodies are short */
        while (n < sizeof script.requests[i] - 1) {
            ssize_t got = recv(fd, request + n, sizeof script.requests[i] - 1 - n, 0);
            if (got <= 0)
                break;
            n += (size_t)got;
            request[n] = '\0';
            const char *end = strstr(request, "\r\n\r\n");
            const char *length = strcasestr(request, "Content-Length: ");
            if (end != NULL && n >= (size_t)(end + 4 - request) + (length != NULL ? strtoul(length + 16, NULL, 10) : 0))
                break;
        }
        script.asked++;
        size_t n_answer = strlen(script.answers[i]);
        if (n_answer > 0)
            (void)send(fd, script.answers[i], n_answer, MSG_NOSIGNAL);
        (void)shutdown(fd, SHUT_WR);
        (void)close(fd);
    }
    return NULL;
}

static void start_script(const char *const *answers, size_t n)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    script = (struct script){.answers = answers, .n = n};
    script.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(script.fd, 0);
    ck_assert_int_eq(bind(script.fd, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(listen(script.fd, 8), 0);
    ck_assert_int_eq(getsockname(script.fd, (struct sockaddr *)&at, &size), 0);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", ntohs(at.sin_port));
    ck_assert_int_eq(pthread_create(&script.thread, NULL, play, NULL), 0);
}

static size_t end_script(void)
{
    (void)shutdown(script.fd, SHUT_RDWR);
    ck_assert_int_eq(pthread_join(script.thread, NULL), 0);
    (void)close(script.fd);
    return script.asked;
}

#define HEAD_200 "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n"
#define OK_200   HEAD_200 "Content-Length: 2\r\n\r\n{}"
#define BUSY                                                                                                           \
    "HTTP/1.1 503 Busy\r\nConnection: close\r\nRetry-After: 1\r\nContent-Type: application/problem+json\r\n"           \
    "Content-Length: 71\r\n\r\n"                                                                                       \
    "{\"type\":\"urn:convd:problem:busy\",\"title\":\"Busy\",\"detail\":\"queue full\"}\n"
#define CUT HEAD_200 "Content-Length: 100\r\n\r\n{\"accep"

static struct client *client;
static struct client_reply reply;
static struct err err;

static int send_train(const char *key)
{
    struct client_request request = {.method = "POST",
                                     .path = "/train?label=7",
                                     .type = "application/octet-stream",
                                     .body = "abcd",
                                     .n_body = 4,
                                     .key = key};
    err = (struct err){0};
    client_reply_fini(&reply);
    return client_send(client, &request, &reply, &err);
}

static void open_client(unsigned patience_seconds)
{
    ck_assert_msg(client_open(&client, url, patience_seconds, NULL, &err) == 0, "%s", err.text);
}

static void close_client(void)
{
    client_reply_fini(&reply);
    client_close(client);
    client = NULL;
}

START_TEST(a_request_arrives_as_it_was_asked_for)
{
    static const char *const answers[] = {OK_200};
    start_script(answers, 1);
    open_client(5);
    ck_assert_msg(send_train("k-1") == 0, "%s", err.text);
    ck_assert_int_eq(reply.status, 200);
    ck_assert_str_eq(reply.body, "{}");
    end_script();
    const char *request = script.requests[0];
    ck_assert_msg(strncmp(request, "POST /train?label=7 HTTP/1.1\r\n", 30) == 0, "%s", request);
    ck_assert_ptr_nonnull(strstr(request, "Idempotency-Key: k-1\r\n"));
    ck_assert_ptr_nonnull(strstr(request, "Content-Type: application/octet-stream\r\n"));
    ck_assert_ptr_null(strstr(request, "Expect"));
    ck_assert_ptr_nonnull(strstr(request, "\r\n\r\nabcd"));
    close_client();
}
END_TEST

START_TEST(busy_and_broken_are_asked_again_with_the_same_key)
{
    static const char *const answers[] = {BUSY, "", CUT, OK_200};
    start_script(answers, 4);
    open_client(20);
    ck_assert_msg(send_train("k-2") == 0, "%s", err.text);
    ck_assert_uint_eq(end_script(), 4);
    for (size_t i = 0; i < 4; i++)
        ck_assert_ptr_nonnull(strstr(script.requests[i], "Idempotency-Key: k-2\r\n"));
    close_client();
}
END_TEST

START_TEST(without_a_key_a_change_is_asked_for_once)
{
    static const char *const answers[] = {OK_200, "", OK_200};
    start_script(answers, 3);
    open_client(20);
    ck_assert_int_eq(send_train("first"), 0); /* so that the daemon counts as reached */
    ck_assert_int_eq(send_train(NULL), -1);
    ck_assert_int_eq(err.code, ERR_NETWORK);
    ck_assert_uint_eq(end_script(), 2);
    close_client();
}
END_TEST

START_TEST(patience_ends)
{
    static const char *const answers[] = {BUSY, BUSY, BUSY, BUSY, BUSY, BUSY};
    start_script(answers, 6);
    open_client(2);
    ck_assert_int_eq(send_train("k"), -1);
    ck_assert_int_eq(err.code, ERR_BUSY);
    ck_assert_str_eq(err.text, "queue full");
    ck_assert_uint_le(end_script(), 3);
    close_client();
}
END_TEST

START_TEST(a_wish_to_stop_ends_the_waiting)
{
    static const char *const answers[] = {BUSY, BUSY};
    static volatile sig_atomic_t stop;
    start_script(answers, 2);
    ck_assert_int_eq(client_open(&client, url, 60, &stop, &err), 0);
    stop = 1;
    ck_assert_int_eq(send_train("k"), -1);
    ck_assert_uint_eq(end_script(), 1);
    close_client();
}
END_TEST

START_TEST(a_problem_is_told_by_its_type_and_detail)
{
    static const char *const answers[] = {
        "HTTP/1.1 422 Unprocessable\r\nConnection: close\r\nContent-Length: 100\r\n\r\n"
        "{\"type\":\"urn:convd:problem:label-unknown\",\"detail\":\"no class \\\"x\\\"\",\"pointer\":\"/images/3\"}"
        "          ",
        "HTTP/1.1 500 Oh\r\nConnection: close\r\nContent-Length: 4\r\n\r\noops"};
    start_script(answers, 2);
    open_client(5);
    ck_assert_int_eq(send_train("k"), -1);
    ck_assert_int_eq(err.code, ERR_LABEL_UNKNOWN);
    ck_assert_str_eq(err.text, "no class \"x\" (/images/3)");
    ck_assert_int_eq(send_train("k"), -1);
    ck_assert_int_eq(err.code, ERR_NETWORK);
    ck_assert_ptr_nonnull(strstr(err.text, "status 500"));
    ck_assert_uint_eq(end_script(), 2);
    close_client();
}
END_TEST

START_TEST(an_answer_of_something_else_is_told)
{
    static const char *const answers[] = {OK_200};
    start_script(answers, 1);
    FAILS(4, "is the daemon a convd of this version?", "train", "--url", url, "images.idx", "labels.idx");
    end_script();
}
END_TEST

static void enter_with_images(void)
{
    enter_folder();
    write_idx("", 3, 1);
}

int main(int argc, char **argv)
{
    (void)argc;
    find_convd(argv[0]);
    Suite *suite = suite_create("cli_url");
    TCase *daemon = tcase_create("daemon");
    tcase_add_checked_fixture(daemon, enter_with_daemon, leave_with_daemon);
    tcase_set_timeout(daemon, 120);
    tcase_add_test(daemon, training_over_http_is_training_offline_bit_for_bit);
    tcase_add_test(daemon, later_passes_over_http_are_those_of_a_database_bit_for_bit);
    tcase_add_test(daemon, without_files_the_daemon_rehearses_what_it_has_learned);
    tcase_add_test(daemon, an_interrupt_cancels_the_rehearsal_in_the_daemon);
    tcase_add_test(daemon, evaluating_over_http_gives_the_figures_of_the_database);
    tcase_add_test(daemon, labels_with_commas_and_other_signs_arrive);
    tcase_add_test(daemon, a_rate_is_tuned_over_http);
    tcase_add_test(daemon, what_is_exported_over_http_is_what_the_database_exports);
    tcase_add_test(daemon, predicting_over_http_prints_what_predicting_offline_prints);
    tcase_add_test(daemon, snapshots_over_http_are_those_of_the_database);
    tcase_add_test(daemon, a_daemon_that_is_killed_and_started_again_costs_a_pause_and_nothing_twice);
    suite_add_tcase(suite, daemon);
    TCase *failing = tcase_create("failing server");
    tcase_add_checked_fixture(failing, enter_with_images, leave_folder);
    tcase_set_timeout(failing, 60);
    tcase_add_test(failing, a_request_arrives_as_it_was_asked_for);
    tcase_add_test(failing, busy_and_broken_are_asked_again_with_the_same_key);
    tcase_add_test(failing, without_a_key_a_change_is_asked_for_once);
    tcase_add_test(failing, patience_ends);
    tcase_add_test(failing, a_wish_to_stop_ends_the_waiting);
    tcase_add_test(failing, a_problem_is_told_by_its_type_and_detail);
    tcase_add_test(failing, an_answer_of_something_else_is_told);
    suite_add_tcase(suite, failing);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
