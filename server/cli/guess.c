/* guess.c - see cli/guess.h */
#include "server/cli/guess.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LETTERS_MAX  31u
#define LETTERS_FEW  4u
#define LETTERS_STEM 3u

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: each letter is replaced, left out or put in once, or swapped with the next. */
static unsigned distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
    unsigned d[LETTERS_MAX + 1][LETTERS_MAX + 1];
    for (unsigned i = 0; i <= n_a; i++)
        d[i][0] = i;
    for (unsigned j = 0; j <= n_b; j++)
        d[0][j] = j;
    for (size_t i = 1; i <= n_a; i++)
        for (size_t j = 1; j <= n_b; j++) {
            d[i][j] = least(d[i - 1][j - 1] + (a[i - 1] != b[j - 1]), least(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[n_a][n_b];
}

void guess_look(struct guess *guess, const char *name)
{
    const size_t n_name = strlen(name);
    if (guess->n > LETTERS_MAX || n_name > LETTERS_MAX)
        return;
    const bool begins = guess->n >= LETTERS_STEM && strncmp(name, guess->word, guess->n) == 0;
    const unsigned errors = begins ? 1 : distance(guess->word, guess->n, name, n_name);
    if (errors > (guess->n <= LETTERS_FEW ? 1 : 2) || (guess->name != NULL && errors >= guess->errors))
        return;
    guess->name = name;
    guess->errors = errors;
}

char *guess_text(char *text, size_t size, const struct guess *guess, const char *mark)
{
    if (guess->name != NULL)
        (void)snprintf(text, size, ": did you mean %s%s?", mark, guess->name);
    else
        text[0] = '\0';
    return text;
}
