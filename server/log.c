/* log.c - see log.h */
#include "server/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool under_journald;

void log_open(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat status;
    unsigned long long device = 0, inode = 0;
    /* The variable is inherited by children whose stderr was redirected: systemd says to compare. */
    under_journald = stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
                     fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

void log_line(enum log_priority priority, const char *format, ...)
{
    char line[1024];
    size_t used = 0;
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
    for (size_t i = 0; i < used; i++)
        if (line[i] == '\n' || line[i] == '\r')
            line[i] = ' '; /* what a client sent must not look like a second line */
    line[used++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, used);
    (void)ignored;
}
