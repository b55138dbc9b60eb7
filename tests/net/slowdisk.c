/*
 * Plays a slow disk for the process that it is preloaded into: as long as the file SLOW_WHEN exists, each opening of a
 * definition or of a VM's log takes SLOW_MS milliseconds.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool is_slow(const char *path)
{
    const char *when = getenv("SLOW_WHEN");
    size_t length = strlen(path);
    bool ours = (length > 5 && strcmp(path + length - 5, ".json") == 0) ||
                (length > 4 && strcmp(path + length - 4, "/log") == 0);
    return ours && when && access(when, F_OK) == 0;
}

int openat(int folder, const char *path, int flags, ...)
{
    static int (*next)(int folder, const char *path, int flags, ...);
    const char *ms = getenv("SLOW_MS");
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    if (!next)
        next = (int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, "openat");
    if (is_slow(path)) {
        long wait = ms ? atol(ms) : 1000;
        nanosleep(&(struct timespec){wait / 1000, wait % 1000 * 1000000}, NULL);
    }
    return next(folder, path, flags, mode);
}
