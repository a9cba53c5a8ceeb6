/* verbs.h - the table of verbs, and what main() does with it. A verb is one struct in a file of its own (verbs/train.c), on what
 * server/cli/ has for all of them (cli/cli.h).
 *
 * In reading order:
 *   verbs.c         the table
 *   serve.c         the daemon
 *   init.c          a database with a new model
 *   train.{h,c}     what is asked for, and what is told of it
 *   train_run.c     the order of things, on a database and through a daemon
 *   train_db.c      on a database
 *   train_url.c     through a daemon
 *   predict.c       pictures in, labels out
 *   evaluate.c      how well the model knows images that it does not learn from
 *   export.c        the model as a file
 *   samples.{h,c}   listed, shown, forgotten, relabelled
 *   samples_db.c    the same on a database
 *   snapshots.c     list, take, pin, drop, go back to, compare
 *   diff.{h,c}      two snapshots, in words
 *   verify.c        is what the database holds what was learned?
 *   backup.c        a copy of the database
 *   cluster.c       a log that several machines share
 */
#ifndef CONVD_SERVER_VERBS_VERBS_H
#define CONVD_SERVER_VERBS_VERBS_H

#include "server/cli/cli.h"

extern const struct cli_verb cli_serve, cli_init, cli_train, cli_predict, cli_evaluate, cli_export, cli_samples,
    cli_snapshots, cli_verify, cli_backup, cli_cluster;

/* cli_main - everything that main() does. Returns the exit code. */
int cli_main(int argc, char **argv);

/* All of them in the order of --help; NULL ends. cli_verb_find - the one with that name, or NULL. */
extern const struct cli_verb *const cli_verbs[];
const struct cli_verb *cli_verb_find(const char *name);

#endif
