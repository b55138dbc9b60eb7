/*
 * The one line that changes: see status_line.h. Used by the main thread only.
 */
#include "cli/status_line.h"

#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define TEXT_MAX 512

static bool shown;

unsigned terminal_width(int fd, unsigned otherwise)
{
    struct winsize size;
    return isatty(fd) && !ioctl(fd, TIOCGWINSZ, &size) && size.ws_col ? size.ws_col : otherwise;
}

bool status_line_there(void)
{
    return isatty(STDERR_FILENO);
}

/* The number of bytes that are at most that many characters of UTF-8. */
static int bytes_of(const char *text, unsigned characters)
{
    int n = 0;
    for (; text[n]; n++)
        if ((text[n] & 0xc0) != 0x80 && !characters--)
            break;
    return n;
}

void status_line_show(const char *format, ...)
{
    char text[TEXT_MAX], plain[TEXT_MAX];
    va_list args;
    if (!status_line_there())
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    error_plain(text, plain, sizeof(plain));
    fprintf(stderr, "\r%.*s\033[K", bytes_of(plain, terminal_width(STDERR_FILENO, 80) - 1), plain);
    shown = true;
}

void status_line_clear(void)
{
    if (shown)
        fputs("\r\033[K", stderr);
    shown = false;
}
