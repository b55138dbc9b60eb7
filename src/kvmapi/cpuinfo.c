/*
 * /proc/cpuinfo: see cpuinfo.h. System calls are made without libc's functions, which are ours here.
 */
#include "kvmapi/cpuinfo.h"

#include "base/write.h"
#include "kvmapi/descriptor.h"
#include "kvmapi/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILE_NAME "/proc/cpuinfo"

bool cpuinfo_is_asked(const char *path, int flags)
{
    return path && path[0] == '/' && !strcmp(path, FILE_NAME) && (flags & O_ACCMODE) == O_RDONLY &&
           api_settings()->serve && api_settings()->nested;
}

/* Does the line have that word? */
static bool has_word(const char *line, size_t size, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 1; i + n <= size; i++)
        if (line[i - 1] == ' ' && !memcmp(line + i, word, n) && (i + n == size || line[i + n] == ' '))
            return true;
    return false;
}

int cpuinfo_write(int fd, const char *text, size_t size, const char *flag)
{
    int e = 0;
    while (size && !e) {
        const char *end = memchr(text, '\n', size);
        size_t line = end ? (size_t)(end - text) : size, whole = line + !!end;
        bool add = line > 6 && !memcmp(text, "flags\t", 6) && !has_word(text, line, flag);
        e = write_all(fd, text, line);
        if (!e && add)
            e = write_all(fd, " ", 1);
        if (!e && add)
            e = write_all(fd, flag, strlen(flag));
        if (!e && end)
            e = write_all(fd, "\n", 1);
        text += whole;
        size -= whole;
    }
    return e;
}

/* Returns the whole text of the host's file, to be freed; or NULL, and errno says why. */
static char *read_host(size_t *size)
{
    size_t room = 65536;
    char *text = NULL;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, FILE_NAME, O_RDONLY | O_CLOEXEC);
    ssize_t n = -1;
    *size = 0;
    while (fd >= 0) {
        char *more = realloc(text, room);
        if (!more)
            break;
        text = more;
        n = read(fd, text + *size, room - *size);
        if (n <= 0)
            break;
        *size += (size_t)n;
        if (*size == room)
            room *= 2;
    }
    if (fd >= 0)
        close_raw(fd);
    if (n < 0) {
        free(text);
        return NULL;
    }
    return text;
}

int cpuinfo_open(int flags)
{
    size_t size;
    char *text = read_host(&size);
    if (!text)
        return errno ? -errno : -ENOMEM;
    int fd = memfd_create("cpuinfo", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);
    int e = fd < 0 ? -errno : cpuinfo_write(fd, text, size, api_settings()->amd ? "svm" : "vmx");
    free(text);
    if (!e && lseek(fd, 0, SEEK_SET) < 0)
        e = -errno;
    if (e && fd >= 0)
        close_raw(fd);
    return e ? e : fd;
}
