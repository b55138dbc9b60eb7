/*
 * Writes, reads and removes one JSON file. A new file is written beside the old one, flushed, and takes its name; then
 * the folder is flushed. The name for writing is fixed, so what a killed command left is overwritten by the next one:
 * only the holder of the store's lock writes.
 */
#include "store/file.h"

#include "base/write.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Splits a path below the home folder into that of its folder and its name. */
static const char *split(const char *path, char folder[static PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    snprintf(folder, PATH_MAX, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    return slash ? slash + 1 : path;
}

/* Reads less than `size` bytes; returns their number or -errno. */
static ssize_t read_all(int fd, char *to, size_t size)
{
    size_t used = 0;
    while (used < size) {
        ssize_t n = read(fd, to + used, size - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : (ssize_t)used;
        used += (size_t)n;
    }
    return -EFBIG;
}

/* How much room the text needs: what a file has, and one more, so that its end is seen. */
static size_t room_for(int fd)
{
    struct stat st;
    return !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size < FILE_MAX ? (size_t)st.st_size + 1 : FILE_MAX;
}

int file_read_text(int folder, const char *path, char **text, struct error *error)
{
    *text = NULL;
    int fd = openat(folder, path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return error_path(error, -errno, path);
    const size_t room = room_for(fd);
    char *bytes = malloc(room + 1);
    ssize_t length = bytes ? read_all(fd, bytes, room) : -ENOMEM;
    close(fd);
    if (length < 0) {
        free(bytes);
        return error_path(error, (int)length, path);
    }
    bytes[length] = 0;
    if (strlen(bytes) != (size_t)length) {
        free(bytes);
        error_set(error, -EBADMSG, "%s: it is damaged: it has zero bytes", path);
        return error_hint(error, "mend the file or remove it; nothing was changed");
    }
    *text = bytes;
    return 0;
}

int file_read(int folder, const char *path, json_t **object, struct error *error)
{
    json_error_t why;
    char *text;
    *object = NULL;
    int e = file_read_text(folder, path, &text, error);
    if (e)
        return e;
    *object = json_loads(text, JSON_REJECT_DUPLICATES, &why);
    free(text);
    if (!json_is_object(*object)) {
        if (*object)
            error_set(error, -EBADMSG, "%s: it is damaged: not an object", path);
        else
            error_set(error, -EBADMSG, "%s: it is damaged: line %d: %.100s", path, why.line, why.text);
        json_decref(*object);
        *object = NULL;
        return error_hint(error, "mend the file or remove it; nothing was changed");
    }
    return 0;
}

static int flush_folder(int folder, const char *path)
{
    int fd = openat(folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int e = fd < 0 || fsync(fd) ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return e;
}

static int replace(int folder, const char *parent, const char *name, const char *path, const char *text)
{
    char draft[PATH_MAX];
    if (snprintf(draft, sizeof(draft), "%s/.%s.new", parent, name) >= (int)sizeof(draft))
        return -ENAMETOOLONG;
    int fd = openat(folder, draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int e = write_all(fd, text, strlen(text));
    if (!e && fsync(fd))
        e = -errno;
    if (close(fd) && !e)
        e = -errno;
    if (!e && renameat(folder, draft, folder, path))
        e = -errno;
    if (e)
        unlinkat(folder, draft, 0);
    return e ? e : flush_folder(folder, parent);
}

int file_write_text(int folder, const char *path, const char *text, struct error *error)
{
    char parent[PATH_MAX];
    const char *name = split(path, parent);
    int e = 0;
    if (mkdirat(folder, parent, 0700) == 0) {
        char above[PATH_MAX];
        split(parent, above);
        e = flush_folder(folder, above);
    }
    if (!e)
        e = replace(folder, parent, name, path, text);
    return e ? error_path(error, e, path) : 0;
}

int file_write(int folder, const char *path, const json_t *object, struct error *error)
{
    char *text = json_dumps(object, JSON_INDENT(4));
    int e = text ? file_write_text(folder, path, text, error) : error_path(error, -ENOMEM, path);
    free(text);
    return e;
}

int file_remove(int folder, const char *path, struct error *error)
{
    char parent[PATH_MAX];
    split(path, parent);
    if (unlinkat(folder, path, 0))
        return errno == ENOENT ? 0 : error_path(error, -errno, path);
    int e = flush_folder(folder, parent);
    return e ? error_path(error, e, path) : 0;
}

int file_copy(const char *from, const char *to, struct error *error)
{
    char draft[PATH_MAX + 8], *bytes = malloc(1 << 20);
    snprintf(draft, sizeof(draft), "%s.new", to);
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int e = !bytes ? -ENOMEM : in < 0 || out < 0 ? -errno : 0;
    for (ssize_t n = 1; !e && n > 0;) {
        n = read(in, bytes, 1 << 20);
        if (n < 0 || (n > 0 && write(out, bytes, (size_t)n) != n))
            e = errno ? -errno : -EIO;
    }
    if (!e && (fsync(out) || rename(draft, to)))
        e = -errno;
    free(bytes);
    for (int i = 0; i < 2; i++)
        if ((int[]){in, out}[i] >= 0)
            close((int[]){in, out}[i]);
    return e ? error_path(error, e, in < 0 ? from : to) : 0;
}

static int remove_tree(int at, const char *name, unsigned depth)
{
    if (!unlinkat(at, name, 0) || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), e = 0;
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    if (!dir) {
        e = -errno;
        if (fd >= 0)
            close(fd);
        return e;
    }
    while (!e && (entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            e = depth ? remove_tree(fd, entry->d_name, depth - 1) : -ELOOP;
    closedir(dir);
    return e ? e : unlinkat(at, name, AT_REMOVEDIR) && errno != ENOENT ? -errno : 0;
}

int folder_remove(int at, const char *path)
{
    return remove_tree(at, path, FOLDER_DEPTH);
}
