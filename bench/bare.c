/* bare.c - the yardstick for POST /predict: what libmicrohttpd gives when the handler does nothing.
 *
 *     bare ANSWER N_BODY MEMORY
 *
 * It runs with the settings that `convd serve` has by default (epoll, the same number of threads, the same limits), reads
 * bodies of exactly N_BODY bytes and answers each with the same bytes: those of ANSWER, a whole HTTP answer as convd sent
 * it, from status line to body. MEMORY is libmicrohttpd's memory for a connection, which it clears for each request. Headers that libmicrohttpd writes by itself (Date, Content-Length, Connection) are left to it. Any
 * other body gets 400, so that a load that is not what it should be shows up as errors.
 *
 * Prints "listening on http://127.0.0.1:PORT" and ends on SIGTERM.
 */
#include <microhttpd.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "server/daemon/daemon.h"

#define ANSWER_BYTES_MAX 65536

struct bare {
    size_t n_body, memory_bytes;
    struct MHD_Response *answer, *refusal;
};

/* *request_context counts, without any memory: 0 before the first call, then 1 + the bytes of the body so far. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *mhd, const char *url, const char *method,
                                  const char *version, const char *bytes, size_t *n_bytes, void **request_context)
{
    (void)url, (void)method, (void)version, (void)bytes;
    const struct bare *bare = context;
    const uintptr_t count = (uintptr_t)*request_context;
    if (count == 0 || *n_bytes != 0) {
        *request_context = (void *)(count == 0 ? 1 : count + *n_bytes);
        *n_bytes = 0;
        return MHD_YES;
    }
    return count == 1 + bare->n_body ? MHD_queue_response(mhd, 200, bare->answer)
                                     : MHD_queue_response(mhd, 400, bare->refusal);
}

static bool is_automatic(const char *name)
{
    return strcasecmp(name, "Date") == 0 || strcasecmp(name, "Content-Length") == 0 ||
           strcasecmp(name, "Connection") == 0;
}

/* The answer in `text` (which is cut up and must live on) as a response; NULL where it is none. */
static struct MHD_Response *parse_answer(char *text, size_t n)
{
    static const char end[] = "\r\n\r\n";
    char *body = memmem(text, n, end, strlen(end));
    if (strncmp(text, "HTTP/1.1 200 ", 13) != 0 || body == NULL)
        return NULL;
    body += strlen(end);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(n - (size_t)(body - text), body, MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return NULL;
    char *line = strstr(text, "\r\n") + 2;
    while (strncmp(line, "\r\n", 2) != 0) {
        char *next = strstr(line, "\r\n"), *colon = strstr(line, ": ");
        if (next == NULL || colon == NULL || colon > next)
            goto fail;
        *next = *colon = '\0';
        if (!is_automatic(line) && MHD_add_response_header(response, line, colon + 2) != MHD_YES)
            goto fail;
        line = next + 2;
    }
    return response;
fail:
    MHD_destroy_response(response);
    return NULL;
}

static struct MHD_Daemon *start(struct bare *bare)
{
    const struct daemon_config config = daemon_config_default();
    const unsigned pool = config.threads > 1 ? config.threads : 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_CONNECTION_LIMIT, (intptr_t)(config.connections * pool), NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)config.idle_seconds, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)bare->memory_bytes, NULL},
        {MHD_OPTION_SOCK_ADDR, 0, &address},
        {MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)pool, NULL},
        {MHD_OPTION_END, 0, NULL},
    };
    if (pool == 1)
        options[4] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    return MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_request, bare, MHD_OPTION_ARRAY, options,
                            MHD_OPTION_END);
}

int main(int argc, char **argv)
{
    static char text[ANSWER_BYTES_MAX + 1];
    struct bare bare = {0};
    struct MHD_Daemon *daemon = NULL;
    const union MHD_DaemonInfo *info = NULL;
    sigset_t stop;
    int status = EXIT_FAILURE, caught = 0;
    if (argc != 4) {
        (void)fputs("usage: bare ANSWER N_BODY MEMORY\n", stderr);
        return 2;
    }
    FILE *file = fopen(argv[1], "rb");
    size_t n = file != NULL ? fread(text, 1, ANSWER_BYTES_MAX, file) : 0;
    bare.n_body = strtoul(argv[2], NULL, 10);
    bare.memory_bytes = strtoul(argv[3], NULL, 10);
    bare.answer = parse_answer(text, n);
    bare.refusal = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    if (bare.answer == NULL || bare.refusal == NULL) {
        (void)fprintf(stderr, "bare: %s is no answer of HTTP/1.1 with status 200\n", argv[1]);
        goto out;
    }
    /* before the pool's threads exist, so that they inherit it */
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &stop, NULL);
    daemon = start(&bare);
    info = daemon != NULL ? MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (info == NULL) {
        (void)fputs("bare: cannot listen\n", stderr);
        goto out;
    }
    (void)printf("listening on http://127.0.0.1:%u\n", info->port);
    (void)fflush(stdout);
    (void)sigwait(&stop, &caught);
    status = EXIT_SUCCESS;
out:
    if (daemon != NULL)
        MHD_stop_daemon(daemon);
    if (bare.answer != NULL)
        MHD_destroy_response(bare.answer);
    if (bare.refusal != NULL)
        MHD_destroy_response(bare.refusal);
    if (file != NULL)
        (void)fclose(file);
    return status;
}
