/* guess.h - what a word that is none of a list was meant to be. */
#ifndef CONVD_SERVER_CLI_GUESS_H
#define CONVD_SERVER_CLI_GUESS_H

#include <stddef.h>

struct guess {
    const char *word; /* as it was typed; of it, n bytes    */
    size_t n;
    const char *name; /* the likeliest, NULL: none is near  */
    unsigned errors;  /* by which it differs                */
};

/* guess_look - takes `name` when it is nearer than what was looked at before: one that the word begins (from 3 letters on), or that one
 * or two letters wrong, missing, too many or swapped make of it (of a word of up to 4 letters, one). Borrows. */
void guess_look(struct guess *guess, const char *name);

/* guess_text - ": did you mean --quiet?", after "unknown flag --quite"; "" where none is near. mark: "--" or "". Returns `text`. */
char *guess_text(char *text, size_t size, const struct guess *guess, const char *mark);

#endif
