/* client.c - see cli/client.h */
#include "server/cli/client.h"

#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "core/core.h"
#include "server/access/auth.h"
#include "server/common/json.h"
#include "server/message/problem.h"

#define REPLY_BYTES_MAX     ((size_t)1200 << 20) /* a model of SHAPE_PARAMETERS_MAX floats and its header */
#define FIRST_WAIT_MS       100u
#define WAIT_MS_MAX         3200u
#define SLICE_MS            50u
#define CONNECT_SECONDS     10L
#define STALL_SECONDS       120L
#define RETRY_AFTER_SECONDS 30

struct client {
    CURL *curl;
    char *url;    /* without the last slash */
    char *socket; /* path of a UNIX socket, or NULL */
    unsigned patience_seconds;
    const volatile sig_atomic_t *stop;
    bool may_break; /* the request under way is safe: a wish to stop breaks it off at once */
    bool reached;   /* a response came once: later failures may be a restart */
    char curl_error[CURL_ERROR_SIZE];
};

struct received {
    char *bytes;
    size_t n, capacity;
    bool too_large;
    CURL *curl;
    const int *into; /* as of the request */
    int write_error; /* errno             */
};

/* client_access() */
static char authorization[sizeof "Authorization: Bearer " + TOKEN_BYTES_MAX];
static char ca_file[4096];

int client_access(const char *token, const char *ca, struct err *err)
{
    authorization[0] = ca_file[0] = '\0';
    if (token != NULL && token_check(token, "the token", err) != 0)
        return -1;
    if (ca != NULL && (strlen(ca) >= sizeof ca_file || access(ca, R_OK) != 0))
        return err_set(err, ERR_USAGE, "cannot read the certificates in %.120s: %s", ca, strerror(errno));
    if (token != NULL)
        (void)snprintf(authorization, sizeof authorization, "Authorization: Bearer %s", token);
    if (ca != NULL)
        (void)snprintf(ca_file, sizeof ca_file, "%s", ca);
    return 0;
}

int client_open(struct client **out, const char *url, unsigned patience_seconds, const volatile sig_atomic_t *stop,
                struct err *err)
{
    *out = NULL;
    const char *path = strncmp(url, "unix:", 5) == 0 ? url + 5 : NULL;
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0 && (path == NULL || path[0] == '\0'))
        return err_set(err, ERR_USAGE, "the URL is \"%.80s\", but must begin with http://, https:// or unix:/", url);
    struct client *client = calloc(1, sizeof *client);
    if (client == NULL)
        return err_memory(err, "a client");
    client->patience_seconds = patience_seconds;
    client->stop = stop;
    client->curl = curl_easy_init();
    client->url = strdup(path != NULL ? "http://localhost" : url);
    client->socket = path != NULL ? strdup(path) : NULL;
    if (client->curl == NULL || client->url == NULL || (path != NULL && client->socket == NULL)) {
        client_close(client);
        return err_memory(err, "a client");
    }
    for (size_t n = strlen(client->url); n > 0 && client->url[n - 1] == '/'; n--)
        client->url[n - 1] = '\0';
    *out = client;
    return 0;
}

void client_close(struct client *client)
{
    if (client == NULL)
        return;
    curl_easy_cleanup(client->curl);
    free(client->url);
    free(client->socket);
    free(client);
}

void client_reply_fini(struct client_reply *reply)
{
    free(reply->body);
    *reply = (struct client_reply){0};
}

static bool told_to_stop(const struct client *client)
{
    return client->stop != NULL && *client->stop != 0;
}

static size_t write_bytes(struct received *response, const char *bytes, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t put = write(*response->into, bytes + done, n - done);
        if (put < 0 && errno != EINTR) {
            response->write_error = errno;
            return 0; /* curl ends with CURLE_WRITE_ERROR */
        }
        done += put > 0 ? (size_t)put : 0;
    }
    return n;
}

static size_t take_bytes(char *bytes, size_t one, size_t n, void *context)
{
    struct received *response = context;
    long status = 0;
    (void)one; /* always 1 */
    if (response->into != NULL && curl_easy_getinfo(response->curl, CURLINFO_RESPONSE_CODE, &status) == CURLE_OK &&
        status >= 200 && status < 300)
        return write_bytes(response, bytes, n);
    if (n > REPLY_BYTES_MAX - response->n) {
        response->too_large = true;
        return 0;
    }
    if (response->n + n + 1 > response->capacity) {
        size_t capacity = 2 * (response->n + n + 1);
        char *larger = realloc(response->bytes, capacity);
        if (larger == NULL)
            return 0;
        response->bytes = larger;
        response->capacity = capacity;
    }
    memcpy(response->bytes + response->n, bytes, n);
    response->n += n;
    response->bytes[response->n] = '\0';
    return n;
}

/* curl calls this about once a second. A request that changes something is left to end, so that what it did is known. */
static int look_for_stop(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    const struct client *client = context;
    return client->may_break && told_to_stop(client) ? 1 : 0;
}

static bool add_header(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    if (longer == NULL)
        return false;
    *list = longer;
    return true;
}

/* One attempt. Returns curl's code; *status and *wait_ms (what Retry-After asks for, 0: nothing) where a response came. */
static CURLcode attempt(struct client *client, const struct client_request *request, const char *url,
                        struct received *response, long *status, unsigned *wait_ms)
{
    CURL *curl = client->curl;
    struct curl_slist *headers = NULL;
    CURLcode code = CURLE_OUT_OF_MEMORY;
    char type[160];
    char key[300];
    (void)snprintf(type, sizeof type, "Content-Type: %s", request->type != NULL ? request->type : "");
    (void)snprintf(key, sizeof key, "Idempotency-Key: %s", request->key != NULL ? request->key : "");
    /* "Expect:" and "Content-Type:" without a value keep curl from sending its own */
    if (!add_header(&headers, "Expect:") || !add_header(&headers, request->type != NULL ? type : "Content-Type:") ||
        (request->key != NULL && !add_header(&headers, key)) ||
        (authorization[0] != '\0' && !add_header(&headers, authorization)))
        goto out;

    curl_easy_reset(curl); /* keeps the connection */
    client->curl_error[0] = '\0';
    client->may_break = request->safe;
    bool body = request->body != NULL || strcmp(request->method, "POST") == 0;
    (void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->curl_error);
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (client->socket != NULL)
        (void)curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->socket);
    if (ca_file[0] != '\0')
        (void)curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "convd/" CONVD_VERSION);
    (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, CONNECT_SECONDS);
    (void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, STALL_SECONDS);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, response);
    (void)curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_for_stop);
    (void)curl_easy_setopt(curl, CURLOPT_XFERINFODATA, client);
    if (body) {
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->n_body);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request->body != NULL ? request->body : "");
    }
    (void)curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method);

    code = curl_easy_perform(curl);
    if (code == CURLE_OK) {
        curl_off_t after = 0;
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
        (void)curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &after);
        *wait_ms = (unsigned)(after < 0 ? 0 : after > RETRY_AFTER_SECONDS ? RETRY_AFTER_SECONDS : after) * 1000;
    }
out:
    curl_slist_free_all(headers);
    return code;
}

static enum err_code code_of_problem(const struct json *problem, long status)
{
    const char *type = json_string(json_get(problem, "type"));
    const char *word =
        type != NULL && strncmp(type, PROBLEM_URN, strlen(PROBLEM_URN)) == 0 ? type + strlen(PROBLEM_URN) : "";
    for (int code = ERR_NONE + 1; code < ERR_N; code++)
        if (strcmp(err_code_name((enum err_code)code), word) == 0)
            return (enum err_code)code;
    return status >= 500 ? ERR_NETWORK : ERR_VALUE;
}

/* The daemon's response as our error; what is not a problem document is told by its status alone. */
static int set_problem(const struct received *response, const struct client_request *request, long status,
                       struct err *err)
{
    struct json *root = response->n > 0 ? json_parse(response->bytes, response->n, NULL) : NULL;
    if (root == NULL || json_type(root) != JSON_OBJECT) {
        json_free(root);
        return err_set(err, status >= 500 ? ERR_NETWORK : ERR_VALUE, "%s %.60s: status %ld", request->method,
                       request->path, status);
    }
    const char *title = json_string(json_get(root, "title"));
    const char *detail = json_string(json_get(root, "detail"));
    const char *pointer = json_string(json_get(root, "pointer"));
    enum err_code code = code_of_problem(root, status);
    if (code == ERR_STOPPING)
        code = ERR_BUSY; /* it is the daemon that stops, not us */
    err_set(err, code, "%.220s%s%.80s%s",
            detail != NULL  ? detail
            : title != NULL ? title
                            : "no reason was given",
            pointer != NULL ? " (" : "", pointer != NULL ? pointer : "", pointer != NULL ? ")" : "");
    json_free(root);
    return -1;
}

static int wait_ms_or_stop(const struct client *client, unsigned ms)
{
    for (unsigned waited = 0; waited < ms && !told_to_stop(client); waited += SLICE_MS) {
        struct timespec slice = {.tv_nsec = (long)SLICE_MS * 1000000};
        (void)nanosleep(&slice, NULL);
    }
    return told_to_stop(client) ? -1 : 0;
}

static double now_seconds(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* A full queue or a daemon that drains; and a key whose first request is still being worked on, where the daemon says
 * when to ask again. */
static bool wants_again(long status, unsigned asked_ms)
{
    return status == 503 || (status == 409 && asked_ms > 0);
}

static int send_to(struct client *client, const struct client_request *request, const char *url,
                   struct client_reply *out, struct err *err)
{
    bool repeatable = request->safe || request->key != NULL;
    double deadline = now_seconds() + client->patience_seconds;
    unsigned pause_ms = FIRST_WAIT_MS;
    const off_t begin = request->into != NULL ? lseek(*request->into, 0, SEEK_CUR) : 0;
    for (;;) {
        struct received response = {.curl = client->curl, .into = request->into};
        if (request->into != NULL &&
            (ftruncate(*request->into, begin) != 0 || lseek(*request->into, begin, SEEK_SET) < 0))
            return err_set(err, ERR_FILE, "cannot write the response: %s", strerror(errno));
        long status = 0;
        unsigned asked_ms = 0;
        CURLcode code = attempt(client, request, url, &response, &status, &asked_ms);
        client->reached = client->reached || code == CURLE_OK;
        if (code == CURLE_OK && status >= 200 && status < 300) {
            /* an empty response gets its zero too */
            if (response.bytes == NULL && (response.bytes = calloc(1, 1)) == NULL)
                return err_memory(err, "the response");
            *out = (struct client_reply){.status = (int)status, .body = response.bytes, .n_body = response.n};
            return 0;
        }
        bool again = repeatable && client->reached && (code != CURLE_OK || wants_again(status, asked_ms)) &&
                     code != CURLE_OUT_OF_MEMORY && code != CURLE_WRITE_ERROR && code != CURLE_URL_MALFORMAT;
        if (code == CURLE_OK)
            set_problem(&response, request, status, err);
        else if (told_to_stop(client))
            err_set(err, ERR_STOPPING, "stopped");
        else if (response.write_error != 0)
            err_set(err, response.write_error == ENOSPC ? ERR_STORAGE_FULL : ERR_FILE, "cannot write the response: %s",
                    strerror(response.write_error));
        else if (response.too_large)
            err_set(err, ERR_NETWORK, "%.120s: the response is larger than %zu bytes", url, REPLY_BYTES_MAX);
        else
            err_set(err, ERR_NETWORK, "%.120s: %.160s", url,
                    client->curl_error[0] != '\0' ? client->curl_error : curl_easy_strerror(code));
        free(response.bytes);

        unsigned wait_ms = asked_ms > pause_ms ? asked_ms : pause_ms;
        if (!again || told_to_stop(client) || now_seconds() + wait_ms / 1e3 > deadline)
            return -1;
        if (wait_ms_or_stop(client, wait_ms) != 0)
            return err_set(err, ERR_STOPPING, "stopped");
        pause_ms = pause_ms * 2 > WAIT_MS_MAX ? WAIT_MS_MAX : pause_ms * 2;
    }
}

int client_send(struct client *client, const struct client_request *request, struct client_reply *out, struct err *err)
{
    assert(request->path[0] == '/');
    *out = (struct client_reply){0};
    size_t size = strlen(client->url) + strlen(request->path) + 1;
    char *url = malloc(size);
    if (url == NULL)
        return err_memory(err, "a request");
    (void)snprintf(url, size, "%s%s", client->url, request->path);
    int status = send_to(client, request, url, out, err);
    free(url);
    return status;
}

int client_escape(char *out, size_t size, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    size_t start = strlen(out);
    size_t n = start;
    for (const char *c = text; *c != '\0'; c++) {
        bool is_plain = strchr(plain, *c) != NULL;
        if (n + (is_plain ? 1 : 3) >= size) {
            out[start] = '\0';
            return -1;
        }
        if (is_plain)
            out[n++] = *c;
        else
            n += (size_t)snprintf(out + n, 4, "%%%02X", (unsigned)(unsigned char)*c);
    }
    out[n] = '\0';
    return 0;
}

int client_key(char key[33], struct err *err)
{
    uint8_t random[16];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return err_set(err, ERR_INTERNAL, "no random numbers: %s", strerror(errno));
    for (size_t i = 0; i < sizeof random; i++)
        (void)snprintf(key + 2 * i, 3, "%02x", random[i]);
    return 0;
}
