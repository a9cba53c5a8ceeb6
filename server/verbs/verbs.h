/* verbs.h - the table of verbs, and what main() does with it. A verb is one struct in a file of its own (verbs/train.c), on what
 * server/cli/ has for all of them (cli/cli.h). */
#ifndef CONVD_SERVER_VERBS_VERBS_H
#define CONVD_SERVER_VERBS_VERBS_H

#include <stddef.h>

#include "server/cli/cli.h"

extern const struct cli_verb cli_serve, cli_init, cli_train, cli_predict, cli_evaluate, cli_export, cli_samples,
    cli_snapshots, cli_verify, cli_backup;

/* cli_main - everything that main() does. Returns the exit code. */
int cli_main(int argc, char **argv);

/* cli_verb_find - the verb with that name, or NULL; cli_verb_nth - the n-th in the order of --help, NULL past the end. */
const struct cli_verb *cli_verb_find(const char *name);
const struct cli_verb *cli_verb_nth(size_t n);

#endif
