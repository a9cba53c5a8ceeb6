/* serve.c - convd serve: flags into a struct daemon_config, and nothing more. */
#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "server/common/worker_team.h"
#include "server/daemon/daemon.h"
#include "server/verbs/verbs.h"

/* Where each flag goes. The defaults are daemon_config_default()'s: --help reads them from there too. */
enum width { TEXT, SWITCH, WIDE, WORD, PLAIN }; /* const char *, bool, uint64_t, uint32_t, unsigned */

static const struct field {
    const char *flag;
    enum width width;
    size_t offset;
} fields[] = {
    {"db", TEXT, offsetof(struct daemon_config, db)},
    {"listen", TEXT, offsetof(struct daemon_config, listen)},
    {"listen-anywhere", SWITCH, offsetof(struct daemon_config, listen_anywhere)},
    {"socket-mode", TEXT, offsetof(struct daemon_config, socket_mode)},
    {"read-token-file", TEXT, offsetof(struct daemon_config, read_token_file)},
    {"write-token-file", TEXT, offsetof(struct daemon_config, write_token_file)},
    {"tls-cert", TEXT, offsetof(struct daemon_config, tls_cert)},
    {"tls-key", TEXT, offsetof(struct daemon_config, tls_key)},
    {"threads", PLAIN, offsetof(struct daemon_config, threads)},
    {"train-threads", PLAIN, offsetof(struct daemon_config, train_threads)},
    {"connections", PLAIN, offsetof(struct daemon_config, connections)},
    {"idle-seconds", PLAIN, offsetof(struct daemon_config, idle_seconds)},
    {"request-seconds", PLAIN, offsetof(struct daemon_config, request_seconds)},
    {"body-bytes", WIDE, offsetof(struct daemon_config, body_bytes)},
    {"image-pixels", WIDE, offsetof(struct daemon_config, image_pixels)},
    {"request-pixels", WIDE, offsetof(struct daemon_config, request_pixels)},
    {"batch-images", WORD, offsetof(struct daemon_config, batch_images)},
    {"queue-samples", WIDE, offsetof(struct daemon_config, trainer.queue_samples)},
    {"queue-bytes", WIDE, offsetof(struct daemon_config, trainer.queue_bytes)},
    {"snapshot-samples", WIDE, offsetof(struct daemon_config, trainer.snapshot_samples)},
    {"snapshot-seconds", PLAIN, offsetof(struct daemon_config, trainer.snapshot_seconds)},
    {"keep-snapshots", PLAIN, offsetof(struct daemon_config, trainer.keep_snapshots)},
    {"key-seconds", PLAIN, offsetof(struct daemon_config, trainer.key_seconds)},
    {"event-readers", PLAIN, offsetof(struct daemon_config, event_readers)},
    {"remember", WORD, offsetof(struct daemon_config, remember)},
    {"remember-seconds", PLAIN, offsetof(struct daemon_config, remember_seconds)},
    {"arith", TEXT, offsetof(struct daemon_config, arith)},
    {"log-level", TEXT, offsetof(struct daemon_config, log_level)},
};

#define N_FIELDS    (sizeof fields / sizeof *fields)
#define SECONDS_MAX (366.0 * 24 * 3600)
#define BYTES_MAX   (1024.0 * 1024 * 1024 * 1024)
#define COUNT(a_name, a_argument, a_low, a_high, a_help)                                                               \
    {                                                                                                                  \
        .name = a_name, .kind = CLI_COUNT, .argument = a_argument, .low = a_low, .high = a_high, .help = a_help        \
    }
#define BYTES(a_name, a_low, a_help)                                                                                   \
    {                                                                                                                  \
        .name = a_name, .kind = CLI_BYTES, .argument = "N", .low = a_low, .high = BYTES_MAX, .help = a_help            \
    }

static const struct cli_flag flags[] = {
    {.name = "db",
     .kind = CLI_TEXT,
     .argument = "FILE",
     .fallback = "convd.db",
     .help = "database file; a default model is made where it does not exist"},
    {.name = "listen",
     .kind = CLI_TEXT,
     .argument = "ADDRESS:PORT",
     .help = "or unix:/PATH, or several with commas; port 0 picks a free one; not used when systemd passes sockets"},
    {.name = "listen-anywhere",
     .kind = CLI_SWITCH,
     .help = "allow an address that others can reach without tokens: nothing protects the daemon from them"},
    {.name = "socket-mode", .kind = CLI_TEXT, .argument = "MODE", .help = "permissions of UNIX sockets, in octal"},
    {.name = "read-token-file",
     .kind = CLI_TEXT,
     .argument = "FILE",
     .help = "its first line is the token that lets clients read and predict; else the credential convd-read-token"},
    {.name = "write-token-file",
     .kind = CLI_TEXT,
     .argument = "FILE",
     .help = "the token that lets them train and change the model too; else the credential convd-write-token"},
    {.name = "tls-cert",
     .kind = CLI_TEXT,
     .argument = "FILE",
     .help = "certificate in PEM form, its issuers after it: TCP speaks TLS"},
    {.name = "tls-key", .kind = CLI_TEXT, .argument = "FILE", .help = "its private key, not encrypted"},
    COUNT("threads", "N", 1, 256, "threads that serve HTTP"),
    COUNT("train-threads", "N", 0, TEAM_MEMBERS_MAX,
          "threads that share the steps of a large model; 0: all processors"),
    COUNT("connections", "N", 1, 100000, "open connections, at most; beyond that, idle and unfinished ones give way"),
    COUNT("idle-seconds", "N", 1, SECONDS_MAX, "a connection without activity is closed after this time"),
    COUNT("request-seconds", "N", 1, SECONDS_MAX, "a request must have arrived after this time"),
    BYTES("body-bytes", 1, "largest request body; K, M and G can follow the number"),
    COUNT("image-pixels", "N", 1, UINT_MAX, "largest picture, decoded"),
    COUNT("request-pixels", "N", 0, BYTES_MAX, "of all pictures of one request, decoded; 0: four times --image-pixels"),
    COUNT("batch-images", "N", 1, 1000000, "most images or samples in one request"),
    COUNT("queue-samples", "N", 1, 1e12, "samples that may wait to be learned; beyond that, 503"),
    BYTES("queue-bytes", 1, "memory of what may wait to be learned"),
    COUNT("snapshot-samples", "N", 0, 1e12, "take a snapshot every so many samples; 0: never"),
    COUNT("snapshot-seconds", "N", 0, SECONDS_MAX, "and after so many seconds with changes; 0: never"),
    COUNT("keep-snapshots", "N", 1, 1000000, "newest snapshots that are never thinned out"),
    COUNT("key-seconds", "N", 0, SECONDS_MAX, "how long an Idempotency-Key is remembered, while it runs"),
    COUNT("event-readers", "N", 0, 10000, "readers of GET /events at once, at most"),
    COUNT("remember", "N", 0, REMEMBER_NUMBER_MAX,
          "predictions that may be given their label later; the oldest leave first"),
    COUNT("remember-seconds", "N", 1, SECONDS_MAX, "and for how long"),
    CLI_FLAG_ARITH,
    {.name = "log-level",
     .kind = CLI_TEXT,
     .argument = "WORD",
     .help = "the least that is logged: error, warning, notice, info or debug; debug has a line for each request"},
    CLI_FLAG_END,
};

static const struct field *field_find(const char *flag)
{
    for (size_t i = 0; i < N_FIELDS; i++)
        if (strcmp(fields[i].flag, flag) == 0)
            return &fields[i];
    return NULL;
}

static bool fallback(const char *flag, char *text, size_t size)
{
    const struct field *field = field_find(flag);
    struct daemon_config config = daemon_config_default();
    if (field == NULL)
        return false;
    const char *at = (const char *)&config + field->offset;
    const char *string = NULL;
    uint64_t wide = 0;
    uint32_t word = 0;
    unsigned plain = 0;
    switch (field->width) {
    case TEXT:
        memcpy(&string, at, sizeof string);
        (void)snprintf(text, size, "%s", string != NULL ? string : "");
        return string != NULL;
    case SWITCH:
        return false;
    case WIDE:
        memcpy(&wide, at, sizeof wide);
        break;
    case WORD:
        memcpy(&word, at, sizeof word);
        wide = word;
        break;
    case PLAIN:
        memcpy(&plain, at, sizeof plain);
        wide = plain;
        break;
    }
    (void)snprintf(text, size, "%llu", (unsigned long long)wide);
    return true;
}

static void fill(struct daemon_config *config, const struct field *field, const struct cli_args *args)
{
    char *at = (char *)config + field->offset;
    if (field->width == TEXT) {
        const char *text = cli_text(args, field->flag);
        memcpy(at, &text, sizeof text);
        return;
    }
    uint64_t wide = cli_count(args, field->flag);
    bool on = wide != 0;
    assert(field->width == WIDE || wide <= UINT_MAX);
    uint32_t word = (uint32_t)wide;
    unsigned plain = (unsigned)wide;
    if (field->width == SWITCH)
        memcpy(at, &on, sizeof on);
    else if (field->width == WIDE)
        memcpy(at, &wide, sizeof wide);
    else if (field->width == WORD)
        memcpy(at, &word, sizeof word);
    else
        memcpy(at, &plain, sizeof plain);
}

static int run(const struct cli_args *args, struct err *err)
{
    struct daemon_config config = daemon_config_default();
    config.db = cli_text(args, "db");
    for (size_t i = 0; i < N_FIELDS; i++)
        if (cli_given(args, fields[i].flag))
            fill(&config, &fields[i], args);
    if (config.arith != NULL && arith_choose(config.arith) == NULL)
        return err_set(err, ERR_USAGE, "--arith is \"%.40s\", which this machine cannot run", config.arith);
    return daemon_run(&config, err);
}

const struct cli_verb cli_serve = {
    .name = "serve",
    .purpose = "run the daemon: predict and learn over HTTP",
    .operands = "",
    .details =
        "Prints \"listening on http://ADDRESS:PORT\" when it is ready. SIGTERM or SIGINT: no new connections, what is\n"
        "queued is learned and answered, a snapshot is taken. Every answer to POST /train comes after the samples\n"
        "are on the disk. SIGHUP: the token files are read again. SIGUSR1: each request is logged, until SIGUSR2.\n",
    .examples = "  convd serve --db digits.db\n"
                "  CONVD_LISTEN=127.0.0.1:0 convd serve --db digits.db --threads 2\n",
    .flags = flags,
    .environment = true,
    .fallback = fallback,
    .run = run,
};
