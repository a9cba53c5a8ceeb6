/* logger.h - one line a time to stderr. Under journald (JOURNAL_STREAM names our stderr) a line begins with its priority,
 * "<4>"; elsewhere with nothing, since a person reads it. Any thread; a line is one write, so lines never mix. Control characters
 * become question marks: what a client sent can neither look like a line of ours nor reach a terminal.
 *
 * What is less important than the level is not written, and costs one comparison. The level can be changed while others log. */
#ifndef CONVD_SERVER_COMMON_LOGGER_H
#define CONVD_SERVER_COMMON_LOGGER_H

#include <stdbool.h>

#include "core/err.h"

/* syslog's numbers: less is more important. DEBUG has one line for each request. */
enum logger_priority {
    LOG_LINE_ERROR = 3,
    LOG_LINE_WARNING = 4,
    LOG_LINE_NOTICE = 5,
    LOG_LINE_INFO = 6,
    LOG_LINE_DEBUG = 7
};

/* logger_open - looks at JOURNAL_STREAM; call once, before threads. */
void logger_open(void);

/* logger_set_level - the least important priority that is still written; LOG_LINE_INFO before. logger_takes - whether one is. */
void logger_set_level(enum logger_priority level);
bool logger_takes(enum logger_priority priority);

/* logger_level_parse - "error", "warning", "notice", "info" or "debug". Errors: ERR_USAGE, which lists them. */
int logger_level_parse(enum logger_priority *level, const char *word, struct err *err);

void logger_line(enum logger_priority priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
