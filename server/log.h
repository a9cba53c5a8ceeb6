/* log.h - one line a time to stderr. Under journald (JOURNAL_STREAM names our stderr) a line begins with its priority,
 * "<4>"; elsewhere with nothing, since a person reads it. Any thread; a line is one write, so lines never mix. */
#ifndef CONVD_SERVER_LOG_H
#define CONVD_SERVER_LOG_H

enum log_priority { LOG_LINE_ERROR = 3, LOG_LINE_WARNING = 4, LOG_LINE_NOTICE = 5, LOG_LINE_INFO = 6 };

/* log_open - looks at JOURNAL_STREAM; call once, before threads. */
void log_open(void);

void log_line(enum log_priority priority, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
