/* flags.c - see cli/flags.h */
#include "server/cli/flags.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/settings.h"
#include "server/cli/guess.h"

/* getopt_long's val for the i-th flag: above every character, so that no short option can be meant. */
#define FLAG_VAL 256

char *cli_variable(char *variable, size_t size, const char *flag)
{
    int n = snprintf(variable, size, "CONVD_%s", flag);
    assert(n > 0 && (size_t)n < size);
    for (char *c = variable; *c != '\0'; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
    return variable;
}

const char *cli_flag_argument(const struct cli_flag *flag)
{
    static const char *const words[] = {
        [SETTING_FLOAT] = "X", [SETTING_U32] = "N", [SETTING_U64] = "N", [SETTING_WORD] = "WORD"};
    const bool told = flag->argument != NULL || flag->kind != CLI_SETTING;
    return told ? flag->argument : words[setting_table[settings_find(flag->name)].type];
}

const char *cli_flag_help(const struct cli_flag *flag)
{
    return flag->help != NULL ? flag->help : setting_table[settings_find(flag->name)].help;
}

/* `said` is how the person gave it: "--rate" or "CONVD_RATE". */
static int refuse_range(const struct cli_flag *flag, const char *said, const char *text, struct err *err)
{
    bool number = flag->kind == CLI_NUMBER;
    return err_set(err, ERR_USAGE, "%s is \"%.60s\", but must be a %snumber from %.15g to %.15g", said, text,
                   number ? "" : "whole ", flag->low, flag->high);
}

static int parse_count(struct cli_value *value, const struct cli_flag *flag, const char *said, const char *text,
                       struct err *err)
{
    char *end = NULL;
    errno = 0;
    /* strtoull would take "-1" and " 1" */
    unsigned long long count = isdigit((unsigned char)text[0]) ? strtoull(text, &end, 10) : 0;
    unsigned long long unit = 1;
    if (end != NULL && flag->kind == CLI_BYTES && *end != '\0') {
        static const char units[] = "KMG";
        const char *at = strchr(units, toupper((unsigned char)*end));
        if (at != NULL) {
            unit = 1ULL << (10 * (at - units + 1));
            end++;
        }
    }
    bool in_range = end != NULL && *end == '\0' && errno == 0 && count <= UINT64_MAX / unit &&
                    (double)(count * unit) >= flag->low && (double)(count * unit) <= flag->high;
    if (!in_range)
        return refuse_range(flag, said, text, err);
    value->count = count * unit;
    return 0;
}

static int parse_number(struct cli_value *value, const struct cli_flag *flag, const char *said, const char *text,
                        struct err *err)
{
    char *end = NULL;
    value->number = strtod(text, &end);
    bool in_range = end != text && *end == '\0' && value->number >= flag->low && value->number <= flag->high;
    return in_range ? 0 : refuse_range(flag, said, text, err); /* a NaN is not in range */
}

static int parse_switch(struct cli_value *value, const char *said, const char *text, struct err *err)
{
    static const char *const words[] = {"0", "false", "no", "off", "1", "true", "yes", "on"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (strcmp(words[i], text) == 0) {
            value->count = i >= 4;
            return 0;
        }
    }
    return err_set(err, ERR_USAGE, "%s is \"%.60s\", but must be 1 or 0 (or true, yes, on, false, no, off)", said,
                   text);
}

static int parse_value(struct cli_value *value, const struct cli_flag *flag, const char *said, const char *text,
                       struct err *err)
{
    value->text = text;
    switch (flag->kind) {
    case CLI_SWITCH:
        return parse_switch(value, said, text, err);
    case CLI_COUNT:
    case CLI_BYTES:
        return parse_count(value, flag, said, text, err);
    case CLI_NUMBER:
        return parse_number(value, flag, said, text, err);
    case CLI_SETTING: {
        struct settings scratch = settings_default();
        enum setting which = settings_find(flag->name);
        assert(which != SETTING_N);
        struct err why = {0};
        if (settings_set_text(&scratch, which, text, &why) != 0)
            return err_set(err, ERR_USAGE, "%s: %.200s", said, why.text);
        return 0;
    }
    case CLI_TEXT:
    case CLI_LIST:
        break;
    }
    return text[0] == '\0' ? err_set(err, ERR_USAGE, "%s is empty", said) : 0;
}

static int take_value(struct cli_args *out, int i, const char *said, const char *text, struct err *err)
{
    const struct cli_flag *flag = &out->flags[i];
    if (parse_value(&out->values[i], flag, said, text, err) != 0)
        return -1;
    if (flag->kind == CLI_LIST && out->n_list == CLI_LIST_MAX)
        return err_set(err, ERR_USAGE, "%s is given too often; the limit is %d times", said, CLI_LIST_MAX);
    if (flag->kind == CLI_LIST)
        out->list[out->n_list++] = text;
    return 0;
}

static int refuse_flag(const struct cli_flag *flags, int n_flags, int result, const char *given, struct err *err)
{
    if (optopt >= FLAG_VAL && optopt < FLAG_VAL + n_flags) {
        const struct cli_flag *flag = &flags[optopt - FLAG_VAL];
        if (result == ':')
            return err_set(err, ERR_USAGE, "--%s needs an argument: --%s %s", flag->name, flag->name,
                           cli_flag_argument(flag));
        return err_set(err, ERR_USAGE, "--%s takes no argument", flag->name);
    }
    if (optopt != 0)
        return err_set(err, ERR_USAGE, "unknown flag -%c", optopt);
    struct guess guess = {.word = given + 2, .n = strcspn(given + 2, "=")};
    char meant[64];
    for (int i = 0; i < n_flags; i++)
        guess_look(&guess, flags[i].name);
    guess_look(&guess, "help");
    return err_set(err, ERR_USAGE, "unknown flag %.80s%s", given, guess_text(meant, sizeof meant, &guess, "--"));
}

static int parse_environment(struct cli_args *out, const struct cli_flag *flags, int n_flags, struct err *err)
{
    for (int i = 0; i < n_flags; i++) {
        char variable[80];
        const char *text = getenv(cli_variable(variable, sizeof variable, flags[i].name));
        if (text == NULL || text[0] == '\0' || out->values[i].given)
            continue;
        if (take_value(out, i, variable, text, err) != 0)
            return -1;
        out->values[i].given = true;
    }
    return 0;
}

int cli_parse(struct cli_args *out, const struct cli_flag *flags, bool environment, int argc, char **argv,
              struct err *err)
{
    *out = (struct cli_args){.flags = flags};
    struct option options[CLI_FLAGS_MAX + 2] = {0};
    int n_flags = 0;
    for (; flags[n_flags].name != NULL; n_flags++) {
        assert(n_flags < CLI_FLAGS_MAX);
        options[n_flags] =
            (struct option){.name = flags[n_flags].name,
                            .has_arg = flags[n_flags].kind == CLI_SWITCH ? no_argument : required_argument,
                            .val = FLAG_VAL + n_flags};
    }
    options[n_flags] = (struct option){.name = "help", .has_arg = no_argument, .val = 'h'};

    optind = 0; /* forget an earlier vector */
    for (;;) {
        int result = getopt_long(argc, argv, ":h", options, NULL);
        if (result == -1)
            break;
        if (result == 'h') {
            out->help = true;
            return 0;
        }
        if (result < FLAG_VAL)
            return refuse_flag(flags, n_flags, result, argv[optind - 1], err);
        int i = result - FLAG_VAL;
        char said[64];
        (void)snprintf(said, sizeof said, "--%s", flags[i].name);
        out->values[i] = (struct cli_value){.given = true};
        if (take_value(out, i, said, flags[i].kind == CLI_SWITCH ? "1" : optarg, err) != 0)
            return -1;
    }
    out->operands = (const char *const *)&argv[optind];
    out->n_operands = (size_t)(argc - optind);

    if (environment && parse_environment(out, flags, n_flags, err) != 0)
        return -1;
    for (int i = 0; i < n_flags; i++) {
        if (out->values[i].given || flags[i].fallback == NULL)
            continue;
        int status = parse_value(&out->values[i], &flags[i], flags[i].name, flags[i].fallback, err);
        assert(status == 0);
        (void)status;
    }
    return 0;
}

static const struct cli_value *find(const struct cli_args *args, const char *name)
{
    for (int i = 0; args->flags[i].name != NULL; i++)
        if (strcmp(args->flags[i].name, name) == 0)
            return &args->values[i];
    abort(); /* a verb asks for a flag that its table lacks: tests/server/test_cli.c runs every verb */
}

bool cli_given(const struct cli_args *args, const char *name)
{
    return find(args, name)->given;
}

bool cli_on(const struct cli_args *args, const char *name)
{
    return find(args, name)->count != 0;
}

const char *cli_text(const struct cli_args *args, const char *name)
{
    return find(args, name)->text;
}

uint64_t cli_count(const struct cli_args *args, const char *name)
{
    return find(args, name)->count;
}

double cli_number(const struct cli_args *args, const char *name)
{
    return find(args, name)->number;
}

void cli_fill(void *into, const struct cli_args *args)
{
    for (size_t i = 0; args->flags[i].name != NULL; i++) {
        const struct cli_flag *flag = &args->flags[i];
        const struct cli_value *value = &args->values[i];
        const uint32_t word = (uint32_t)value->count;
        const bool on = value->count != 0;
        const void *from = &value->count;
        if (flag->bytes == 0 || !value->given)
            continue;
        if (flag->kind == CLI_TEXT)
            from = &value->text;
        else if (flag->kind == CLI_SWITCH)
            from = &on;
        else if (flag->bytes == sizeof word)
            from = &word;
        assert(from != &word || value->count <= UINT32_MAX);
        memcpy((char *)into + flag->at, from, flag->bytes);
    }
}

bool cli_default(char *text, size_t size, const struct cli_flag *flag, const void *from)
{
    const char *at = (const char *)from + flag->at, *string = NULL;
    uint32_t word = 0;
    uint64_t wide = 0;
    if (flag->bytes == 0 || flag->kind == CLI_SWITCH)
        return false;
    if (flag->kind == CLI_TEXT) {
        memcpy(&string, at, sizeof string);
        (void)snprintf(text, size, "%s", string != NULL ? string : "");
        return string != NULL;
    }
    if (flag->bytes == sizeof wide)
        memcpy(&wide, at, sizeof wide);
    else
        memcpy(&word, at, sizeof word);
    wide += word;
    (void)snprintf(text, size, "%llu", (unsigned long long)wide);
    return true;
}
