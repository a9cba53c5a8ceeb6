/* progress.c - see cli/progress.h */
#include "server/cli/progress.h"

#include <assert.h>
#include <unistd.h>

#include "server/cli/io.h"
#include "server/common/clock.h"

#define TERMINAL_DELAY_US  300000
#define TERMINAL_PERIOD_US 100000
#define LINE_PERIOD_US     10000000
#define BAR_MAX            60u

void progress_start(struct progress *p, const char *what, uint64_t total, bool quiet)
{
    int64_t now_us = (int64_t)clock_us();
    *p = (struct progress){
        .out = quiet ? NULL : stderr,
        .terminal = isatty(STDERR_FILENO) == 1,
        .what = what,
        .total = total,
        .start_us = now_us,
        .shown_us = now_us,
    };
}

double progress_seconds(const struct progress *p)
{
    return (double)((int64_t)clock_us() - p->start_us) / 1e6;
}

char *progress_duration(char *text, size_t size, double seconds)
{
    double bounded = seconds < 0 ? 0 : seconds > 3.6e8 ? 3.6e8 : seconds; /* also of a NaN: 3.6e8 is not reached */
    unsigned long long s = (unsigned long long)(bounded + 0.5);
    if (s >= 3600)
        (void)snprintf(text, size, "%llu:%02llu:%02llu", s / 3600, s / 60 % 60, s % 60);
    else
        (void)snprintf(text, size, "%llu:%02llu", s / 60, s % 60);
    return text;
}

/* [=====>    ] */
static void draw_bar(char *bar, unsigned width, double share)
{
    assert(width <= BAR_MAX);
    unsigned full = (unsigned)(share * width);
    *bar++ = '[';
    for (unsigned i = 0; i < width; i++)
        *bar++ = i < full ? '=' : i == full ? '>' : ' ';
    *bar++ = ']';
    *bar = '\0';
}

char *progress_line(char *line, size_t size, const struct progress *p, double seconds, const char *note, unsigned bar)
{
    double rate = seconds > 0 ? (double)p->done / seconds : 0;
    const char *gap = note != NULL ? "  " : "";
    note = note != NULL ? note : "";
    if (p->total == 0) {
        (void)snprintf(line, size, "%s  %llu  %.0f/s%s%s", p->what, (unsigned long long)p->done, rate, gap, note);
        return line;
    }
    double share = p->done < p->total ? (double)p->done / (double)p->total : 1.0;
    char picture[BAR_MAX + 4] = "";
    if (bar > 0)
        draw_bar(picture, bar, share);
    char left[32] = "";
    if (rate > 0)
        (void)progress_duration(left, sizeof left,
                                (double)(p->total - (p->done < p->total ? p->done : p->total)) / rate);
    (void)snprintf(line, size, "%s  %s%s%3.0f %%  %llu/%llu  %.0f/s%s%s%s%s%s", p->what, picture, bar > 0 ? " " : "",
                   100 * share, (unsigned long long)p->done, (unsigned long long)p->total, rate, gap, note,
                   left[0] != '\0' ? "  " : "", left, left[0] != '\0' ? " left" : "");
    return line;
}

void progress_update(struct progress *p, uint64_t done, const char *note)
{
    p->done = done;
    if (p->out == NULL)
        return;
    int64_t now_us = (int64_t)clock_us();
    if (now_us - p->shown_us < (!p->terminal ? LINE_PERIOD_US : p->drawn ? TERMINAL_PERIOD_US : TERMINAL_DELAY_US))
        return;
    p->shown_us = now_us;
    char line[256];
    (void)progress_line(line, sizeof line, p, (double)(now_us - p->start_us) / 1e6, note, p->terminal ? 20 : 0);
    if (p->terminal)
        (void)fputc('\r', p->out);
    cli_say(p->out, "%s", line);
    (void)fputs(p->terminal ? "\033[K" : "\n", p->out); /* ESC [K: clear to the end of the line */
    (void)fflush(p->out);
    p->drawn = true;
}

void progress_finish(struct progress *p)
{
    if (p->out != NULL && p->terminal && p->drawn) {
        (void)fputs("\r\033[K", p->out);
        (void)fflush(p->out);
    }
    p->out = NULL;
}
