/* daemon.c - see daemon/daemon.h
 *
 * The main thread owns the signals: they are blocked in all threads, and taken here with sigtimedwait(). It starts
 * things in the order in which they depend on each other, then sits in serve(), looks round twice a second (watchdog, a failed disk),
 * and takes everything down in reverse.
 */
#include "server/daemon/daemon.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

#include "server/access/auth.h"
#include "server/common/clock.h"
#include "server/common/logger.h"
#include "server/common/offload.h"
#include "server/common/worker_team.h"
#include "server/daemon/descriptors.h"
#include "server/daemon/sandbox.h"
#include "server/daemon/signals.h"
#include "server/daemon/watchdog.h"
#include "server/http/acceptor.h"
#include "server/http/http.h"
#include "server/http/listen.h"
#include "server/http/tls.h"
#include "server/image/image.h"
#include "server/payload/oip.h"
#include "server/routes/feed.h"
#include "server/routes/routes.h"
#include "store/libc.h"
#include "store/shared.h"

/* At a stop, which takes no longer than five seconds whatever clients do. */
#define HEAVY_MS 1000 /* for requests in progress; then heavy ones are cancelled          */
#define DRAIN_MS 1500 /* for all others, beyond that                                      */
#define FLUSH_MS 1000 /* for the responses that the trainer's stop set free                 */
#define LOOK_MS  250  /* how often the main thread looks round */

struct daemon {
    const struct daemon_config *config;
    const struct arith *arith;
    struct store *store;
    struct learner *learner;
    struct events *events;
    struct team *team;     /* the trainer's; NULL: it works alone */
    struct shared *shared; /* NULL: no log is shared */
    char node[LOG_NODE_BYTES];
    struct err damage; /* code ERR_NONE: none; else training is off */
    struct trainer *trainer;
    struct routes *routes;
    struct offload *offload;
    struct http *http;
    struct auth *auth;
    struct tls tls;
    struct proxies proxies;
    struct listen_address addresses[ACCEPTOR_SOCKETS_MAX]; /* our own */
    unsigned n_addresses;
    int fds[ACCEPTOR_SOCKETS_MAX];
    unsigned n_fds;
    struct listen_place places[ACCEPTOR_SOCKETS_MAX]; /* what the descriptors are bound to */
    unsigned n_places;
    bool terminal; /* stderr was one at the start */
    struct watchdog watchdog;
    struct sandbox sandbox;
    enum logger_priority level; /* of the log, as configured */
    int64_t told_ms;            /* when recovery last told of its progress */
};

struct daemon_config daemon_config_default(void)
{
    return (struct daemon_config){
        .db = "convd.db",
        .listen = "127.0.0.1:8080",
        .socket_mode = "0660",
        .threads = 2,
        .connections = 256,
        .idle_seconds = 60,
        .request_seconds = 30,
        .event_readers = 16,
        .remember = 1000,
        .remember_seconds = 3600,
        .body_bytes = 16u << 20,
        .image_pixels = IMAGE_PIXELS_MAX_DEFAULT,
        .batch_images = 4096,
        .sandbox = SANDBOX,
        .log_level = "info",
        .trainer = trainer_config_default(),
    };
}

/* ---- the model ---- */

static int make_default_model(struct daemon *daemon, struct err *err)
{
    static const char labels[10][LABEL_BYTES_MAX + 1] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};
    struct event create = {.kind = EVENT_CREATE, .revision = 1, .created_us = store_now_us()};
    create.as.create.shape = shape_default();
    create.as.create.n_classes = 10;
    create.as.create.labels = labels;
    if (shape_check(&create.as.create.shape, create.as.create.n_classes, err) != 0)
        return -1;
    create.as.create.settings = settings_new(&create.as.create.shape);
    daemon->learner = learner_create(&create, daemon->arith, 0, err);
    if (daemon->learner == NULL || store_create(&daemon->store, daemon->config->db, &create, daemon->learner, err) != 0)
        return -1;
    logger_line(LOG_LINE_NOTICE, "created a default model in %s: 28 x 28 grey, classes 0 to 9", daemon->config->db);
    return 0;
}

/* Told by the store while it replays. A long replay must neither outlast systemd's patience nor be deaf to SIGTERM. */
static int recovering(void *context, uint64_t done, uint64_t total)
{
    struct daemon *daemon = context;
    int64_t now = now_ms();
    if (now - daemon->told_ms < 1000)
        return 0;
    daemon->told_ms = now;
    (void)sd_notifyf(0, "EXTEND_TIMEOUT_USEC=30000000\nSTATUS=Replaying the log: %llu of %llu",
                     (unsigned long long)done, (unsigned long long)total);
    return signals_stop_came() ? 1 : 0;
}

/* A damaged log stops training, not predicting: what can be proved of it is served, and the file stays as it is. */
static int salvage(struct daemon *daemon, struct store_recovery *report, struct err *err)
{
    daemon->damage = *err;
    store_close(daemon->store);
    daemon->store = NULL;
    if (store_salvage(&daemon->store, daemon->config->db, daemon->arith, recovering, daemon, &daemon->learner, report,
                      err) != 0)
        return -1;
    logger_line(LOG_LINE_ERROR, "the log is damaged: %s", daemon->damage.text);
    logger_line(LOG_LINE_ERROR, "training is off; predictions are of revision %llu, the last that can be proved",
                (unsigned long long)daemon->learner->revision);
    return 0;
}

/* Tokens are read again at SIGHUP; what a UNIX socket is bound to goes when we stop. What the kernel refuses is told, and no reason not
 * to serve. */
static void close_files(struct daemon *daemon)
{
    const struct daemon_config *config = daemon->config;
    struct sandbox_path paths[4 + ACCEPTOR_SOCKETS_MAX] = {{config->db, SANDBOX_CHANGE},
                                                           {config->read_token_file, SANDBOX_READ},
                                                           {config->write_token_file, SANDBOX_READ}};
    size_t n = 3;
    char credential[PATH_MAX];
    struct err err;
    const char *credentials = getenv("CREDENTIALS_DIRECTORY");
    if (credentials != NULL)
        (void)snprintf(credential, sizeof credential, "%s/any", credentials);
    paths[n++] = (struct sandbox_path){credentials != NULL ? credential : NULL, SANDBOX_READ};
    for (unsigned i = 0; i < daemon->n_addresses; i++)
        paths[n++] = (struct sandbox_path){listen_path(&daemon->addresses[i]), SANDBOX_LISTEN};
    daemon->sandbox.connects = config->log != NULL;
    if (sandbox_files(&daemon->sandbox, paths, n, &err) != 0)
        logger_line(LOG_LINE_WARNING, "sandbox: %s", err.text);
}

static void close_calls(struct daemon *daemon)
{
    char text[160];
    struct err err;
    if (sandbox_calls(&daemon->sandbox, &err) != 0)
        logger_line(LOG_LINE_WARNING, "sandbox: %s", err.text);
    sandbox_text(text, sizeof text, &daemon->sandbox);
    logger_line(LOG_LINE_INFO, "sandbox: %s", text);
}

/* A new file, made of the shared log. */
static int join_log(struct daemon *daemon, struct err *err)
{
    const struct daemon_config *config = daemon->config;
    if (shared_join(&daemon->store, config->db, config->log, daemon->arith, err) != 0)
        return -1;
    logger_line(LOG_LINE_NOTICE, "%s is new, and a copy of the shared log from now on", config->db);
    return 0;
}

/* What cannot be begun with is made by the fold. */
static int begin_from_log(struct daemon *daemon, struct err *err)
{
    struct err why;
    const int status = shared_begin(daemon->store, daemon->config->log, daemon->arith, recovering, daemon, &why);
    if (status == 1)
        logger_line(LOG_LINE_NOTICE, "begun from a snapshot of the shared log");
    if (status < 0 && why.code == ERR_STOPPING) {
        *err = why;
        return -1;
    }
    if (status <= 0 && why.code != ERR_NONE && why.code != ERR_LOG)
        logger_line(LOG_LINE_WARNING, "not begun from a snapshot of the shared log: %s", why.text);
    return 0;
}

static int open_model(struct daemon *daemon, struct err *err)
{
    const char *db = daemon->config->db;
    const char *log = daemon->config->log;
    const bool is_new = access(db, F_OK) != 0 && errno == ENOENT;
    if (is_new && log == NULL)
        return make_default_model(daemon, err);
    struct store_recovery report = {0};
    int status = is_new ? join_log(daemon, err) : store_open(&daemon->store, db, false, err);
    if (status == 0 && log != NULL)
        status = begin_from_log(daemon, err);
    if (status == 0)
        status = store_recover(daemon->store, daemon->arith, recovering, daemon, &daemon->learner, &report, err);
    if (status != 0 && err->code == ERR_DB_CORRUPT)
        status = salvage(daemon, &report, err);
    if (status != 0)
        return -1;
    if (report.skipped > 0)
        logger_line(LOG_LINE_WARNING, "skipped %u damaged snapshot%s: %s", report.skipped,
                    report.skipped == 1 ? "" : "s", report.warning);
    if (report.before[0] != '\0')
        logger_line(LOG_LINE_NOTICE,
                    "the log is of arithmetic %s, and this convd has " ARITHMETIC_VERSION
                    ": the snapshot of revision %llu is its baseline. All samples are learned, but the log before "
                    "revision %llu no longer replays to the same bits",
                    report.before, (unsigned long long)report.snapshot_revision,
                    (unsigned long long)store_baseline(daemon->store).revision);
    logger_line(LOG_LINE_INFO, "%s: revision %llu, step %llu; replayed %llu events, %llu samples", db,
                (unsigned long long)daemon->learner->revision, (unsigned long long)daemon->learner->step,
                (unsigned long long)report.events, (unsigned long long)report.samples);
    return 0;
}

/* ---- start ---- */

/* systemd's sockets where it passed some, else our own. */
static int open_sockets(struct daemon *daemon, struct err *err)
{
    mode_t mode = 0;
    int n = sd_listen_fds(1);
    if (n < 0)
        return err_set(err, ERR_NETWORK, "the sockets passed by systemd cannot be used: %s", strerror(-n));
    if (n > (int)ACCEPTOR_SOCKETS_MAX)
        return err_set(err, ERR_NETWORK, "systemd passed %d sockets; the limit is %u", n, ACCEPTOR_SOCKETS_MAX);
    for (int i = 0; i < n; i++) {
        int fd = SD_LISTEN_FDS_START + i;
        if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0)
            return err_set(err, ERR_NETWORK, "descriptor %d passed by systemd is not a listening stream socket", fd);
        daemon->fds[daemon->n_fds++] = fd;
    }
    if (n == 0 && listen_parse_mode(&mode, daemon->config->socket_mode, err) != 0)
        return -1;
    for (unsigned i = 0; i < daemon->n_addresses && n == 0; i++) {
        if (listen_open(&daemon->fds[i], &daemon->addresses[i], mode, err) != 0)
            return -1;
        daemon->n_fds++;
    }
    return 0;
}

/* What the sockets are, and so what http's guard must look at: one guard for all, the strictest that is true of each. */
static int look_at_sockets(struct daemon *daemon, struct guard *guard, struct err *err)
{
    const bool tls = daemon->tls.certificate != NULL;
    bool clear = false;
    *guard = (struct guard){.loopback_only = true, .hosts = daemon->config->hosts};
    for (unsigned i = 0; i < daemon->n_fds; i++) {
        struct listen_place *place = &daemon->places[i];
        if (listen_describe(place, daemon->fds[i], tls, daemon->config->listen_anywhere || auth_on(daemon->auth),
                            err) != 0)
            return -1;
        guard->loopback_only = guard->loopback_only && place->loopback;
        clear = clear || (!place->loopback && !tls);
        daemon->n_places++;
    }
    if (clear && auth_on(daemon->auth))
        logger_line(
            LOG_LINE_WARNING,
            "tokens and pictures leave this machine unencrypted: use --tls-cert and --tls-key, or a proxy with TLS");
    return 0;
}

/* As many connections as were asked for, as far as descriptors go. */
static int share_descriptors(const struct daemon_config *config, struct http_config *http, struct err *err)
{
    http->connections = config->connections;
    if (descriptors_share(&http->connections, &http->spare, config->threads, err) != 0)
        return -1;
    if (http->connections < config->connections)
        logger_line(
            LOG_LINE_WARNING,
            "the limit of connections is %u, not %u, because of the limit of open files: raise that (ulimit -n, "
            "LimitNOFILE=)",
            http->connections, config->connections);
    else
        logger_line(LOG_LINE_INFO, "the limit of connections is %u; libmicrohttpd %s", http->connections,
                    http_library());
    return 0;
}

/* --node, or "HOST/STEM". */
static void name_node(struct daemon *daemon)
{
    char host[LOG_NODE_BYTES] = "node";
    const char *base = strrchr(daemon->config->db, '/');
    base = base != NULL ? base + 1 : daemon->config->db;
    (void)gethostname(host, sizeof host - 1);
    if (daemon->config->node != NULL)
        (void)snprintf(daemon->node, sizeof daemon->node, "%s", daemon->config->node);
    else
        (void)snprintf(daemon->node, sizeof daemon->node, "%.40s/%.*s", host, (int)strcspn(base, "."), base);
}

static int start(struct daemon *daemon, struct err *err)
{
    const struct daemon_config *config = daemon->config;
    if (open_model(daemon, err) != 0)
        return -1;
    struct trainer_config trainer = config->trainer;
    if (config->log != NULL && daemon->damage.code == ERR_NONE) {
        name_node(daemon);
        if (shared_open(&daemon->shared, daemon->store, config->log, daemon->node, err) != 0)
            return -1;
        trainer.shared = daemon->shared;
        trainer.log = config->log;
    }
    daemon->events = events_create(config->event_readers, err);
    if (daemon->events == NULL)
        return -1;
    trainer.notify = events_notify;
    trainer.notify_context = daemon->events;
    trainer.training_off = daemon->damage.code == ERR_NONE ? NULL : daemon->damage.text;
    struct learner *learner = daemon->learner;
    if (team_create_for(&daemon->team, &learner->shape, learner->n_classes, config->train_threads, err) != 0)
        return -1;
    workspace_share(learner->ws, daemon->team, TEAM_LEAST);
    trainer.threads = config->threads + (daemon->team != NULL ? daemon->team->n : 1);
    daemon->trainer = trainer_create(daemon->store, daemon->learner, &trainer, err);
    if (daemon->trainer == NULL)
        return -1;
    jobs_listen(trainer_jobs(daemon->trainer), events_job, daemon->events);
    daemon->store = NULL; /* the trainer's now */
    daemon->shared = NULL;
    daemon->learner = NULL;
    daemon->routes = routes_create(daemon->trainer, daemon->auth, config->image_pixels, config->batch_images, err);
    if (daemon->routes == NULL)
        return -1;
    daemon->routes->node = config->log != NULL ? daemon->node : NULL;
    daemon->offload = offload_create(config->threads + 1, err);
    if (daemon->offload == NULL)
        return -1;
    daemon->routes->offload = daemon->offload;
    if (config->request_pixels > 0)
        daemon->routes->request_pixels = config->request_pixels;
    daemon->routes->wait_seconds = config->request_seconds * 9 / 10;
    daemon->routes->events = daemon->events;
    daemon->routes->prediction_cache = prediction_cache_create(config->remember, config->remember_seconds, err);
    if (daemon->routes->prediction_cache == NULL)
        return -1;
    v2_name(daemon->routes->v2, config->name, config->db);
    struct guard guard;
    if (open_sockets(daemon, err) != 0 || look_at_sockets(daemon, &guard, err) != 0)
        return -1;
    struct http_config http = {
        .listen_fds = daemon->fds,
        .n_listen_fds = daemon->n_fds,
        .threads = config->threads,
        .tokens = auth_on(daemon->auth),
        .idle_seconds = config->idle_seconds,
        .request_seconds = config->request_seconds,
        .body_bytes = config->body_bytes,
        .guard = guard,
        .proxies = daemon->proxies,
        .certificate = daemon->tls.certificate,
        .key = daemon->tls.key,
        .oip = oip_owns,
        .context = daemon->routes,
        .authorize = routes_authorize,
        .handle = routes_handle,
        .completed = routes_completed,
        .tick = routes_tick,
    };
    if (share_descriptors(config, &http, err) != 0 || http_start(&daemon->http, &http, err) != 0)
        return -1;
    daemon->n_fds = 0; /* http's now */
    atomic_store(&daemon->routes->http, daemon->http);
    return 0;
}

/* ---- between start and stop ---- */

/* SIGHUP: the tokens again. systemd is told, so that `systemctl reload` ends when this has. */
static void reload(struct daemon *daemon)
{
    struct err err = {0};
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld%06ld", (long long)now.tv_sec, now.tv_nsec / 1000);
    if (!auth_on(daemon->auth))
        logger_line(LOG_LINE_NOTICE, "SIGHUP: there are no tokens to reload; restart convd to set some");
    else if (auth_reload(daemon->auth, &err) == 0)
        logger_line(LOG_LINE_NOTICE, "SIGHUP: tokens reloaded");
    else
        logger_line(LOG_LINE_ERROR, "SIGHUP: tokens not reloaded, the old ones stay: %s", err.text);
    (void)sd_notify(0, "READY=1");
}

/* Said at both levels, so that a person sees that the signal came. */
static void change_level(enum logger_priority level)
{
    const bool more = level == LOG_LINE_DEBUG;
    if (!more)
        logger_line(LOG_LINE_NOTICE, "SIGUSR2: logging as configured");
    logger_set_level(level);
    if (more)
        logger_line(LOG_LINE_NOTICE, "SIGUSR1: logging each request, until SIGUSR2");
}

static int serve(struct daemon *daemon, struct err *err)
{
    for (unsigned i = 0; i < daemon->n_places; i++)
        (void)printf("listening on %s\n", daemon->places[i].url);
    (void)fflush(stdout);
    (void)sd_notifyf(0, "READY=1\nSTATUS=Serving %s", daemon->places[0].url);
    watchdog_init(&daemon->watchdog, daemon->http, daemon->trainer, daemon->config->threads,
                  daemon->tls.certificate != NULL);
    int signal = 0, status = 0;
    while (signal == 0 && status == 0) {
        uint64_t quarter_ms = daemon->watchdog.interval_us / 4000;
        bool soon = quarter_ms > 0 && quarter_ms < LOOK_MS;
        signal = signals_wait(soon ? (int)quarter_ms : LOOK_MS, true);
        if (signal == SIGHUP && !(daemon->terminal && !isatty(STDERR_FILENO))) {
            reload(daemon);
            signal = 0;
        } else if (signal == SIGUSR1 || signal == SIGUSR2) {
            change_level(signal == SIGUSR1 ? LOG_LINE_DEBUG : daemon->level);
            signal = 0;
        }
        (void)watchdog_tick(&daemon->watchdog, now_ms());
        /* After a failed sync the kernel may have dropped what was not yet on the disk: only a restart, which reads what is
         * really there, tells. */
        if (trainer_stats(daemon->trainer).storage_failed)
            status = err_set(err, ERR_STORAGE,
                             "a write to the disk failed: stopping, so that the next start reads what is on the disk");
    }
    if (signal != 0)
        logger_line(LOG_LINE_NOTICE, "%s: stopping",
                    signal == SIGTERM  ? "SIGTERM"
                    : signal == SIGHUP ? "SIGHUP"
                                       : "SIGINT");
    return status;
}

/* Takes down whatever start() brought up. Returns -1 where the last snapshot failed. */
static int stop(struct daemon *daemon, struct err *err)
{
    int status = 0;
    (void)sd_notify(0, "STOPPING=1\nSTATUS=Stopping");
    watchdog_fini(&daemon->watchdog);
    if (daemon->routes != NULL)
        atomic_store(&daemon->routes->stopping, true);
    if (daemon->trainer != NULL)
        trainer_quiesce(daemon->trainer);
    const bool hurried = daemon->http != NULL && http_drain(daemon->http, HEAVY_MS, signals_stop_came);
    if (daemon->offload != NULL)
        offload_stop(daemon->offload);
    if (daemon->http != NULL && !hurried)
        (void)http_drain(daemon->http, DRAIN_MS, signals_stop_came);
    if (daemon->trainer != NULL && trainer_stop(daemon->trainer, err) != 0)
        status = -1;
    if (daemon->http != NULL) {
        (void)http_drain(daemon->http, FLUSH_MS, signals_stop_came);
        if (daemon->routes != NULL)
            atomic_store(&daemon->routes->http, NULL);
        http_stop(daemon->http);
    }
    offload_free(daemon->offload);
    routes_free(daemon->routes);
    trainer_free(daemon->trainer);
    events_free(daemon->events);
    team_free(daemon->team);
    for (unsigned i = 0; i < daemon->n_fds; i++)
        close(daemon->fds[i]);
    for (unsigned i = 0; i < daemon->n_addresses; i++)
        listen_remove(&daemon->addresses[i]);
    learner_free(daemon->learner);
    shared_close(daemon->shared);
    store_close(daemon->store);
    auth_close(daemon->auth);
    tls_close(&daemon->tls);
    return status;
}

/* What is known to be wrong before anything is opened. */
static int prepare(struct daemon *daemon, struct err *err)
{
    const struct daemon_config *config = daemon->config;
    mode_t mode;
    daemon->arith = arith_choose(config->arith);
    if (daemon->arith == NULL)
        return err_set(err, ERR_USAGE, "this processor has no arithmetic \"%.40s\"", config->arith);
    if (auth_open(&daemon->auth, config->read_token_file, config->write_token_file, err) != 0 ||
        tls_open(&daemon->tls, config->tls_cert, config->tls_key, err) != 0 ||
        listen_parse_mode(&mode, config->socket_mode, err) != 0 ||
        (config->name != NULL && oip_check_name(config->name, err) != 0) ||
        proxies_parse(&daemon->proxies, config->trusted_proxies, err) != 0 ||
        (config->hosts != NULL && guard_hosts_check(config->hosts, err) != 0))
        return -1;
    if (strcmp(config->sandbox, "on") != 0 && strcmp(config->sandbox, "off") != 0)
        return err_set(err, ERR_USAGE, "--sandbox is \"%.40s\", but must be on or off", config->sandbox);
    if (config->hosts != NULL && strcmp(config->hosts, "*") == 0 && !auth_on(daemon->auth))
        return err_set(err, ERR_USAGE,
                       "--host * is for a daemon with tokens (--write-token-file): without them, name the hosts");
    descriptors_raise(config->connections);
    return listen_parse(daemon->addresses, &daemon->n_addresses, ACCEPTOR_SOCKETS_MAX, config->listen,
                        config->listen_anywhere || auth_on(daemon->auth), err);
}

int daemon_run(const struct daemon_config *config, struct err *err)
{
    struct daemon daemon = {.config = config};
    if (logger_level_parse(&daemon.level, config->log_level, err) != 0)
        return -1;
    logger_open();
    libc_few_arenas();
    sigset_t before;
    signals_block(&before);

    logger_set_level(daemon.level);
    watchdog_clear(&daemon.watchdog);
    daemon.terminal = isatty(STDERR_FILENO) != 0;
    int status = prepare(&daemon, err);
    const bool sandboxed = strcmp(config->sandbox, "off") != 0;
    if (status == 0 && sandboxed)
        close_files(&daemon);
    if (status == 0)
        status = start(&daemon, err);
    if (status == 0 && sandboxed)
        close_calls(&daemon);
    else if (status == 0)
        logger_line(LOG_LINE_NOTICE, "sandbox: off");
    if (status == 0)
        status = serve(&daemon, err);
    struct err stop_err = {0};
    if (stop(&daemon, &stop_err) != 0) {
        logger_line(LOG_LINE_WARNING, "the snapshot at shutdown failed (the log is complete): %s", stop_err.text);
        if (status == 0 && err != NULL)
            *err = stop_err;
        status = -1;
    }
    signals_restore(&before);
    return status;
}
