/* train_passes.c - what verbs/train_db.c and verbs/train_url.c share: what is rehearsed after the files, and how progress is told; see
 * verbs/train.h */
#include <math.h>
#include <stdio.h>

#include "server/verbs/train.h"

char *train_note(char text[40], const struct training *t)
{
    double accuracy = t->samples > 0 ? (double)t->correct / (double)t->samples : 0;
    (void)snprintf(text, 40, "accuracy %.1f %%", 100 * accuracy);
    return text;
}

char *train_what(char text[TRAIN_WHAT_BYTES], uint64_t pass, uint64_t passes)
{
    (void)snprintf(text, TRAIN_WHAT_BYTES, "pass %llu of %llu", (unsigned long long)pass, (unsigned long long)passes);
    return text;
}

bool train_ask(struct rehearse_ask *ask, const struct training *t, const struct cli_args *args,
               const struct settings *settings, uint64_t step)
{
    const uint64_t passes = cli_count(args, "passes");
    const float rate = settings_rate(settings, step);
    *ask = rehearse_ask_default();
    ask->decay = cli_number(args, "decay");
    if (cli_given(args, "jitter"))
        ask->jitter = cli_number(args, "jitter");
    if (cli_given(args, "rotation"))
        ask->rotation = cli_number(args, "rotation");
    if (args->n_operands == 0) {
        ask->passes = passes;
        ask->rate = ask->decay < 1 ? (double)rate : (double)NAN;
        return true;
    }
    /* the files' own pass was the first */
    ask->passes = passes - 1;
    ask->rate = ask->decay < 1 ? (double)(float)((double)rate * ask->decay) : (double)NAN;
    ask->first_id = t->first_id;
    ask->last_id = t->last_id;
    return passes > 1 && t->samples > 0;
}
