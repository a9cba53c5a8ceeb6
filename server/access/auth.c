/* auth.c - see access/auth.h */
#include "server/access/auth.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/memops.h>
#include <nettle/sha2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum which { READING, WRITING, N_TOKENS };

struct token {
    bool set;
    uint8_t digest[SHA256_DIGEST_SIZE];
};

struct auth {
    char *paths[N_TOKENS]; /* NULL: there is none, and will be none */
    bool on;
    pthread_rwlock_t lock; /* of tokens */
    struct token tokens[N_TOKENS];
};

static const char *const flags[N_TOKENS] = {"--read-token-file", "--write-token-file"};
static const char *const credentials[N_TOKENS] = {"convd-read-token", "convd-write-token"};

/* ---- a token from a file ---- */

/* b64token of RFC 6750, 2.1: 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=" */
static bool is_token(const char *text, size_t n)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/";
    size_t body = strspn(text, set);
    return body > 0 && body + strspn(text + body, "=") == n;
}

int token_check(const char *text, const char *where, struct err *err)
{
    size_t n = strlen(text);
    if (n < TOKEN_BYTES_MIN)
        return err_set(err, ERR_USAGE,
                       "%.120s: a token of %zu characters can be guessed; the minimum is %u: openssl rand -hex 32 "
                       "makes a good one",
                       where, n, TOKEN_BYTES_MIN);
    if (n > TOKEN_BYTES_MAX)
        return err_set(err, ERR_USAGE, "%.120s: the token is longer than %u characters", where, TOKEN_BYTES_MAX);
    if (!is_token(text, n))
        return err_set(err, ERR_USAGE,
                       "%.120s: a token can have letters, digits and - . _ ~ + / only (= at its end): openssl rand "
                       "-hex 32 makes a good one",
                       where);
    return 0;
}

int token_read(char token[TOKEN_BYTES_MAX + 1], const char *path, struct err *err)
{
    char line[TOKEN_BYTES_MAX + 3]; /* one more than allowed, so that too long is seen; CR */
    struct stat about;
    size_t n = 0;
    int status = -1, fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return err_set(err, ERR_USAGE, "cannot read the token in %.120s: %s", path, strerror(errno));
    if (fstat(fd, &about) != 0 || !S_ISREG(about.st_mode)) {
        err_set(err, ERR_USAGE, "%.120s is not a file with a token", path);
        goto out;
    }
    if ((about.st_mode & S_IRWXO) != 0) {
        err_set(err, ERR_USAGE, "%.120s can be read or changed by every user of this machine: chmod o= %.120s", path,
                path);
        goto out;
    }
    while (n < sizeof line - 1) {
        ssize_t got = read(fd, line + n, sizeof line - 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            err_set(err, ERR_USAGE, "cannot read the token in %.120s: %s", path, strerror(errno));
            goto out;
        }
        if (got == 0)
            break;
        n += (size_t)got;
    }
    const char *end = memchr(line, '\n', n);
    if (end != NULL)
        n = (size_t)(end - line);
    if (n > 0 && line[n - 1] == '\r')
        n--;
    line[n] = '\0';
    status = strlen(line) == n ? token_check(line, path, err)
                               : err_set(err, ERR_USAGE, "%.120s: the token has a zero byte in it", path);
    if (status == 0)
        memcpy(token, line, n + 1);
out:
    explicit_bzero(line, sizeof line);
    (void)close(fd);
    return status;
}

static void digest(uint8_t out[SHA256_DIGEST_SIZE], const char *bytes, size_t n)
{
    struct sha256_ctx sha;
    sha256_init(&sha);
    sha256_update(&sha, n, (const uint8_t *)bytes);
    sha256_digest(&sha, SHA256_DIGEST_SIZE, out);
}

static int read_tokens(struct token tokens[N_TOKENS], char *const paths[N_TOKENS], struct err *err)
{
    for (int i = 0; i < N_TOKENS; i++) {
        char token[TOKEN_BYTES_MAX + 1];
        tokens[i] = (struct token){0};
        if (paths[i] == NULL)
            continue;
        if (token_read(token, paths[i], err) != 0)
            return -1;
        digest(tokens[i].digest, token, strlen(token));
        tokens[i].set = true;
        explicit_bzero(token, sizeof token);
    }
    if (tokens[READING].set && tokens[WRITING].set &&
        memeql_sec(tokens[READING].digest, tokens[WRITING].digest, SHA256_DIGEST_SIZE))
        return err_set(err, ERR_USAGE,
                       "%.100s and %.100s hold the same token, so every reader could change the model: use two tokens, "
                       "or %s alone",
                       paths[READING], paths[WRITING], flags[WRITING]);
    return 0;
}

/* The flag's file, else the credential where there is one; *out stays NULL where there is neither. */
static int find_file(char **out, enum which which, const char *flag, struct err *err)
{
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    char path[4096];
    *out = NULL;
    if (flag == NULL) {
        if (directory == NULL || directory[0] == '\0')
            return 0;
        int n = snprintf(path, sizeof path, "%s/%s", directory, credentials[which]);
        if (n < 0 || (size_t)n >= sizeof path || (access(path, F_OK) != 0 && errno == ENOENT))
            return 0;
        flag = path;
    }
    *out = strdup(flag);
    return *out != NULL ? 0 : err_memory(err, "the tokens");
}

/* ---- from start to stop ---- */

int auth_open(struct auth **out, const char *read_file, const char *write_file, struct err *err)
{
    struct auth *auth = calloc(1, sizeof *auth);
    *out = NULL;
    if (auth == NULL)
        return err_memory(err, "the tokens");
    pthread_rwlock_init(&auth->lock, NULL);
    if (find_file(&auth->paths[READING], READING, read_file, err) != 0 ||
        find_file(&auth->paths[WRITING], WRITING, write_file, err) != 0 ||
        read_tokens(auth->tokens, auth->paths, err) != 0) {
        auth_close(auth);
        return -1;
    }
    auth->on = auth->tokens[READING].set || auth->tokens[WRITING].set;
    *out = auth;
    return 0;
}

void auth_close(struct auth *auth)
{
    if (auth == NULL)
        return;
    pthread_rwlock_destroy(&auth->lock);
    for (int i = 0; i < N_TOKENS; i++)
        free(auth->paths[i]);
    free(auth);
}

bool auth_on(const struct auth *auth)
{
    return auth->on;
}

int auth_reload(struct auth *auth, struct err *err)
{
    struct token tokens[N_TOKENS];
    if (read_tokens(tokens, auth->paths, err) != 0)
        return -1;
    pthread_rwlock_wrlock(&auth->lock);
    memcpy(auth->tokens, tokens, sizeof tokens);
    pthread_rwlock_unlock(&auth->lock);
    return 0;
}

/* ---- a request ---- */

/* The token of "Bearer TOKEN"; NULL for another scheme or none. */
static const char *bearer(const char *authorization)
{
    static const char scheme[] = "Bearer ";
    if (authorization == NULL || strncasecmp(authorization, scheme, sizeof scheme - 1) != 0)
        return NULL;
    const char *token = authorization + sizeof scheme - 1;
    return token + strspn(token, " ");
}

enum access auth_grant(struct auth *auth, const char *authorization)
{
    if (!auth->on)
        return ACCESS_WRITE;
    const char *token = bearer(authorization);
    if (token == NULL)
        return ACCESS_NONE;
    uint8_t given[SHA256_DIGEST_SIZE];
    digest(given, token, strlen(token));
    pthread_rwlock_rdlock(&auth->lock);
    const struct token *reading = &auth->tokens[READING], *writing = &auth->tokens[WRITING];
    int reads = memeql_sec(given, reading->digest, sizeof given) & (int)reading->set;
    int writes = memeql_sec(given, writing->digest, sizeof given) & (int)writing->set;
    pthread_rwlock_unlock(&auth->lock);
    return writes ? ACCESS_WRITE : reads ? ACCESS_READ : ACCESS_NONE;
}

int auth_check(struct auth *auth, enum access needed, struct request *request, struct response *response)
{
    static const struct problem too_little = {ERR_FORBIDDEN, 403, "Writing token needed", NULL};
    struct err err;
    request->granted = auth_grant(auth, request->authorization);
    if (request->granted >= needed)
        return 0;
    if (request->granted == ACCESS_READ) {
        err_set(&err, ERR_FORBIDDEN, "this token is for reading; %s %.80s needs the writing token",
                method_name(request->method), request->path);
        response_problem_row(response, &too_little, &err);
        response->challenge = "Bearer realm=\"convd\", error=\"insufficient_scope\"";
    } else if (request->authorization == NULL) {
        response_error(response, ERR_UNAUTHORIZED, "a token is needed: send it as \"Authorization: Bearer TOKEN\"");
        response->challenge = "Bearer realm=\"convd\"";
    } else {
        response_error(response, ERR_UNAUTHORIZED,
                       bearer(request->authorization) == NULL
                           ? "a bearer token is needed: send it as \"Authorization: Bearer TOKEN\""
                           : "the token is not valid");
        response->challenge = "Bearer realm=\"convd\", error=\"invalid_token\"";
    }
    return -1;
}
