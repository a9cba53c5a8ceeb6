/* cli.c - see cli/cli.h */
#include "server/cli/cli.h"

#include <stdio.h>
#include <string.h>

#include "server/cli/io.h"

static void print_flag(FILE *out, const struct cli_verb *verb, const struct cli_flag *flag, int width)
{
    char left[64];
    const char *argument = cli_flag_argument(flag);
    (void)snprintf(left, sizeof left, "--%s%s%s", flag->name, argument != NULL ? " " : "",
                   argument != NULL ? argument : "");
    cli_say(out, "  %-*s  %s", width, left, cli_flag_help(flag));
    char text[128];
    if (flag->fallback != NULL)
        cli_say(out, " (default %s)", flag->fallback);
    else if (verb->fallback != NULL && verb->fallback(flag, text, sizeof text))
        cli_say(out, " (default %s)", text);
    (void)fputc('\n', out);
}

void cli_print_help(FILE *out, const struct cli_verb *verb)
{
    cli_say(out, "convd %s: %s\n", verb->name, verb->purpose);
    (void)fputc('\n', out);
    cli_say(out, "usage: convd %s [FLAGS]%s%s\n", verb->name, verb->operands[0] != '\0' ? " " : "", verb->operands);
    if (verb->details != NULL) {
        (void)fputc('\n', out);
        (void)fputs(verb->details, out);
    }
    int width = (int)strlen("--help");
    for (const struct cli_flag *flag = verb->flags; flag->name != NULL; flag++) {
        const char *argument = cli_flag_argument(flag);
        size_t n = strlen("--") + strlen(flag->name) + (argument != NULL ? 1 + strlen(argument) : 0);
        width = (int)n > width ? (int)n : width;
    }
    (void)fputs("\nflags:\n", out);
    for (const struct cli_flag *flag = verb->flags; flag->name != NULL; flag++)
        print_flag(out, verb, flag, width);
    cli_say(out, "  %-*s  print this help\n", width, "--help");
    if (verb->environment)
        (void)fputs("\nEvery flag can be given in the environment too: --queue-samples N as CONVD_QUEUE_SAMPLES=N, a\n"
                    "flag without argument as CONVD_...=1. The command line wins.\n",
                    out);
    (void)fputs("\nexamples:\n", out);
    (void)fputs(verb->examples, out);
    (void)fputc('\n', out);
    (void)fputs(cli_exit_codes, out);
}

void cli_report(const char *verb, const struct err *err)
{
    const char *gap = verb != NULL ? " " : "";
    verb = verb != NULL ? verb : "";
    cli_say(stderr, "convd%s%s: %s\n", gap, verb, err->text);
    if (err->code == ERR_USAGE)
        cli_say(stderr, "see: convd%s%s --help\n", gap, verb);
}

int cli_run(const struct cli_verb *verb, int argc, char **argv)
{
    struct err err = {0};
    struct cli_args args;
    int status = cli_parse(&args, verb->flags, verb->environment, argc, argv, &err);
    if (status == 0 && args.help) {
        cli_print_help(stdout, verb);
        return CLI_OK;
    }
    if (status == 0 && args.n_operands > verb->operands_max)
        status = err_set(&err, ERR_USAGE, "unexpected operand \"%.80s\": usage is convd %s [FLAGS]%s%s",
                         args.operands[verb->operands_max], verb->name, verb->operands[0] != '\0' ? " " : "",
                         verb->operands);
    if (status == 0 && args.n_operands < verb->operands_min)
        status = err_set(&err, ERR_USAGE, "%s is missing: usage is convd %s [FLAGS] %s",
                         args.n_operands == 0 ? "the input" : "an operand", verb->name, verb->operands);
    if (status == 0)
        status = verb->run(&args, &err);
    if (status >= 0)
        return status;
    cli_report(verb->name, &err);
    return (int)cli_exit_code(err.code);
}
