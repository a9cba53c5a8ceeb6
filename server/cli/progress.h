/* progress.h - how far long work is, on stderr.
 *
 * On a terminal one line is redrawn ten times a second, and only when the work takes longer than a third of a second:
 *
 *     training  [==========>         ]  52 %  31232/60000  41200/s  accuracy 90.1 %  0:01 left
 *
 * Elsewhere (a file, a pipe, a journal) a plain line every ten seconds. Nothing at all when quiet. An update reads
 * the clock (25 ns) and no more most of the time, so it may be called once per sample.
 */
#ifndef CONVD_SERVER_CLI_PROGRESS_H
#define CONVD_SERVER_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct progress {
    FILE *out;        /* NULL: quiet                        */
    bool terminal;    /* redraw one line, or write lines    */
    bool drawn;       /* a line stands on the terminal      */
    const char *what; /* "training"; borrowed               */
    uint64_t total, done;
    int64_t start_us, shown_us; /* monotonic                          */
};

/* progress_start - total 0: unknown. */
void progress_start(struct progress *progress, const char *what, uint64_t total, bool quiet);

/* progress_update - `note` is shown beside the figures ("accuracy 90.1 %"), or NULL. Cheap. */
void progress_update(struct progress *progress, uint64_t done, const char *note);

/* progress_finish - removes the line from the terminal; what is told in the end is the verb's result. Harmless twice. */
void progress_finish(struct progress *progress);

/* progress_seconds - since progress_start(). */
double progress_seconds(const struct progress *progress);

/* progress_line - the text itself, without line end; width of the bar in characters, 0 for none. Returns `line`. */
char *progress_line(char *line, size_t size, const struct progress *progress, double seconds, const char *note,
                    unsigned bar);

/* progress_duration - "0:07", "12:05", "3:04:05"; returns `text`. */
char *progress_duration(char *text, size_t size, double seconds);

#endif
