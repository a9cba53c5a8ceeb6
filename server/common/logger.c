/* logger.c - see common/logger.h */
#include "server/common/logger.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool under_journald;
static atomic_int lowest = LOG_LINE_INFO;

void logger_open(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat status;
    unsigned long long device = 0, inode = 0;
    /* The variable is inherited by children whose stderr was redirected: systemd says to compare. */
    under_journald = stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
                     fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

void logger_set_level(enum logger_priority level)
{
    atomic_store_explicit(&lowest, (int)level, memory_order_relaxed);
}

bool logger_takes(enum logger_priority priority)
{
    return (int)priority <= atomic_load_explicit(&lowest, memory_order_relaxed);
}

int logger_level_parse(enum logger_priority *level, const char *word, struct err *err)
{
    static const char *const words[] = {"error", "warning", "notice", "info", "debug"};
    for (int i = 0; i < 5; i++) {
        if (strcmp(words[i], word) == 0) {
            *level = (enum logger_priority)(LOG_LINE_ERROR + i);
            return 0;
        }
    }
    return err_set(err, ERR_USAGE, "--log-level is \"%.40s\", but must be error, warning, notice, info or debug", word);
}

void logger_line(enum logger_priority priority, const char *format, ...)
{
    char line[1024];
    size_t used = 0;
    if (!logger_takes(priority))
        return;
    if (under_journald)
        used = (size_t)snprintf(line, sizeof line, "<%d>", (int)priority);
    else
        used = (size_t)snprintf(line, sizeof line, "convd: ");
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line + used, sizeof line - used - 1, format, args);
    va_end(args);
    if (n < 0)
        return;
    size_t room = sizeof line - used - 2;
    used += (size_t)n < room ? (size_t)n : room;
    line[used] = '\0';
    one_line(line);
    used = strlen(line);
    line[used++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, used);
    (void)ignored;
}
