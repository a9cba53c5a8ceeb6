/* serve.c - convd serve: flags into a struct daemon_config, and nothing more. */
#include <limits.h>
#include <stdio.h>

#include "server/common/worker_team.h"
#include "server/daemon/daemon.h"
#include "server/verbs/verbs.h"

/* Each flag is a member of struct daemon_config. The defaults are daemon_config_default()'s: --help reads them from there too. */
#define SECONDS_MAX    (366.0 * 24 * 3600)
#define BYTES_MAX      (1024.0 * 1024 * 1024 * 1024)
#define INTO(a_member) FLAG_INTO(struct daemon_config, a_member)

static const struct cli_flag flags[] = {
    {FLAG_TEXT("db", "FILE", "convd.db", "database file; if it does not exist, a default model is created")},
    {INTO(log),
     FLAG_TEXT(
         "log", "URL", NULL,
         "share the log of this PostgreSQL, postgresql://HOST,HOST/NAME, with other machines; the database file is "
         "this node's copy")},
    {INTO(node), FLAG_TEXT("node", "NAME", NULL, "with --log: this node's name, else that of its host and file")},
    {INTO(name),
     FLAG_TEXT("name", "NAME", NULL, "the model's name under /v2; else that of the database file, without its suffix")},
    {INTO(listen),
     FLAG_TEXT("listen", "ADDRESS:PORT", NULL,
               "or unix:/PATH, or several with commas; port 0 picks a free one; not used when systemd passes sockets")},
    {INTO(listen_anywhere),
     FLAG_SWITCH("listen-anywhere",
                 "listen without tokens on an address that others can reach: nothing protects the model from them")},
    {FLAG_LIST(
        "host", "NAME",
        "answer to this name, too, as a reverse proxy passes it on; again for each, or with commas; *: to any, with "
        "tokens")},
    {INTO(trusted_proxies),
     FLAG_TEXT("trusted-proxy", "ADDRESS", NULL,
               "believe X-Forwarded-Host, -Proto and -For from this IP address or network, or from UNIX sockets "
               "(unix); several with commas")},
    {INTO(socket_mode), FLAG_TEXT("socket-mode", "MODE", NULL, "permissions of UNIX sockets, in octal")},
    {INTO(read_token_file),
     FLAG_TEXT("read-token-file", "FILE", NULL,
               "file with the token to read and predict, in its first line; else the credential convd-read-token")},
    {INTO(write_token_file),
     FLAG_TEXT("write-token-file", "FILE", NULL,
               "file with the token to train and change the model, too; else the credential convd-write-token")},
    {INTO(tls_cert),
     FLAG_TEXT("tls-cert", "FILE", NULL, "certificate in PEM form, its issuers after it: TCP speaks TLS")},
    {INTO(tls_key), FLAG_TEXT("tls-key", "FILE", NULL, "private key of the certificate, not encrypted")},
    {INTO(threads), FLAG_COUNT("threads", "N", NULL, 1, 256, "threads that serve HTTP")},
    {INTO(train_threads), FLAG_COUNT("train-threads", "N", NULL, 0, TEAM_MEMBERS_MAX,
                                     "threads that share the steps of a large model; 0: all processors")},
    {INTO(connections),
     FLAG_COUNT("connections", "N", NULL, 1, 100000,
                "limit of open connections; at the limit, idle and unfinished ones are closed for new ones")},
    {INTO(idle_seconds),
     FLAG_COUNT("idle-seconds", "N", NULL, 1, SECONDS_MAX, "a connection without activity is closed after this time")},
    {INTO(request_seconds),
     FLAG_COUNT("request-seconds", "N", NULL, 1, SECONDS_MAX, "a request must have arrived after this time")},
    {INTO(body_bytes),
     FLAG_BYTES("body-bytes", "N", NULL, 1, BYTES_MAX, "largest request body; K, M and G can follow the number")},
    {INTO(image_pixels), FLAG_COUNT("image-pixels", "N", NULL, 1, UINT_MAX, "largest picture, decoded")},
    {INTO(request_pixels), FLAG_COUNT("request-pixels", "N", NULL, 0, BYTES_MAX,
                                      "all pictures of one request, decoded; 0: four times --image-pixels")},
    {INTO(batch_images), FLAG_COUNT("batch-images", "N", NULL, 1, 1000000, "most images or samples in one request")},
    {INTO(trainer.queue_samples),
     FLAG_COUNT("queue-samples", "N", NULL, 1, 1e12, "limit of the training queue in samples; at the limit, 503")},
    {INTO(trainer.queue_bytes),
     FLAG_BYTES("queue-bytes", "N", NULL, 1, BYTES_MAX, "limit of the training queue in memory")},
    {INTO(trainer.snapshot_samples),
     FLAG_COUNT("snapshot-samples", "N", NULL, 0, 1e12, "take a snapshot every N samples; 0: never")},
    {INTO(trainer.snapshot_seconds),
     FLAG_COUNT("snapshot-seconds", "N", NULL, 0, SECONDS_MAX, "and after N seconds with changes; 0: never")},
    {INTO(trainer.keep_snapshots),
     FLAG_COUNT("keep-snapshots", "N", NULL, 1, 1000000, "retention: the newest N snapshots are never pruned")},
    {INTO(trainer.keep_samples),
     FLAG_COUNT(
         "keep-samples", "N", NULL, 0, 1e12,
         "retention: the newest N samples stay in the log, at least; what the model learned from older ones stays "
         "in it; 0: all")},
    {INTO(trainer.key_seconds),
     FLAG_COUNT("key-seconds", "N", NULL, 0, SECONDS_MAX, "how long an Idempotency-Key is kept, while convd runs")},
    {INTO(event_readers), FLAG_COUNT("event-readers", "N", NULL, 0, 10000, "limit of clients that read GET /events")},
    {INTO(remember), FLAG_COUNT("remember", "N", NULL, 0, PREDICTION_CACHE_NUMBER_MAX,
                                "remembered predictions, for a later label; the oldest are dropped first")},
    {INTO(remember_seconds),
     FLAG_COUNT("remember-seconds", "N", NULL, 1, SECONDS_MAX, "how long predictions are remembered")},
    CLI_FLAG_ARITH,
    {INTO(sandbox),
     FLAG_TEXT("sandbox", "WORD", NULL,
               "on: only the model's folder is open, and no call of the kernel that is not needed; off")},
    {INTO(log_level), FLAG_TEXT("log-level", "WORD", NULL,
                                "log level: error, warning, notice, info or debug; debug has a line for each request")},
    CLI_FLAG_END,
};

static bool fallback(const struct cli_flag *flag, char *text, size_t size)
{
    struct daemon_config config = daemon_config_default();
    return cli_default(text, size, flag, &config);
}

/* All that --host gave, with commas; NULL: none. */
static int take_hosts(const char **out, const struct cli_args *args, struct err *err)
{
    static char hosts[4096];
    size_t n = 0;
    for (size_t i = 0; i < args->n_list && n < sizeof hosts; i++)
        n += (size_t)snprintf(hosts + n, sizeof hosts - n, "%s%s", i > 0 ? "," : "", args->list[i]);
    if (n >= sizeof hosts)
        return err_set(err, ERR_USAGE, "--host: the names have more than %zu bytes", sizeof hosts - 1);
    *out = n > 0 ? hosts : NULL;
    return 0;
}

static int run(const struct cli_args *args, struct err *err)
{
    struct daemon_config config = daemon_config_default();
    config.db = cli_text(args, "db"); /* the one with a default of its own */
    config.arith = cli_text(args, "arith");
    cli_fill(&config, args);
    if (take_hosts(&config.hosts, args, err) != 0)
        return -1;
    if (config.log != NULL && config.trainer.keep_samples > 0)
        return err_set(err, ERR_USAGE,
                       "--keep-samples is for a log that this machine has alone: with --log all of it is kept");
    if (config.trainer.keep_samples > 0 && config.trainer.snapshot_samples == 0 && config.trainer.snapshot_seconds == 0)
        return err_set(err, ERR_USAGE,
                       "--keep-samples needs snapshots, after which samples can go: --snapshot-samples or "
                       "--snapshot-seconds above 0");
    if (config.arith != NULL && arith_choose(config.arith) == NULL)
        return err_set(err, ERR_USAGE, "--arith is \"%.40s\", which this machine cannot run", config.arith);
    return daemon_run(&config, err);
}

const struct cli_verb cli_serve = {
    .name = "serve",
    .purpose = "run the daemon: predict and learn over HTTP",
    .operands = "",
    .details = "Prints \"listening on http://ADDRESS:PORT\" when ready. A response to POST /train comes after the "
               "samples are on\n"
               "the disk. SIGTERM or SIGINT: no new connections; queued requests are answered, and a snapshot is "
               "taken. SIGHUP:\n"
               "the token files are reloaded. SIGUSR1: each request is logged, until SIGUSR2.\n",
    .examples = "  convd serve --db digits.db\n"
                "  CONVD_LISTEN=127.0.0.1:0 convd serve --db digits.db --threads 2\n",
    .flags = flags,
    .environment = true,
    .fallback = fallback,
    .run = run,
};
