/*
 * Data go from file to file within the kernel where that is possible; where a file system can share them, nothing is
 * copied at all.
 */
#include "manager/bulk.h"

#include "process/task.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define CHUNK (4u << 20)

void bulk_begin(struct bulk *bulk, const struct progress *progress, const char *what)
{
    *bulk = (struct bulk){.progress = progress, .what = what};
    task_hold_signals(&bulk->before);
}

void bulk_end(const struct bulk *bulk, int e)
{
    task_end_signals(&bulk->before, e);
}

static int move(int in, int out, off_t at, size_t bytes, char *buffer)
{
    loff_t from = at, to = at;
    ssize_t n = copy_file_range(in, &from, out, &to, bytes, 0);
    if (n > 0)
        return (int)n;
    n = pread(in, buffer, bytes, at);
    if (n <= 0)
        return n ? -errno : -ENODATA; /* it got shorter */
    for (ssize_t done = 0; done < n;) {
        ssize_t m = pwrite(out, buffer + done, (size_t)(n - done), at + done);
        if (m < 0 && errno != EINTR)
            return -errno;
        done += m > 0 ? m : 0;
    }
    return (int)n;
}

static void report(struct bulk *bulk)
{
    if (bulk->progress)
        bulk->progress->report(bulk->progress, bulk->what, bulk->done < bulk->total ? bulk->done : bulk->total,
                               bulk->total);
}

/* Between holes. */
static int copy_data(struct bulk *bulk, int in, int out, off_t size, char *buffer, struct error *error)
{
    for (off_t at = 0; at < size;) {
        at = lseek(in, at, SEEK_DATA);
        if (at < 0)
            return errno == ENXIO ? 0 : -errno;
        off_t end = lseek(in, at, SEEK_HOLE);
        if (end < 0)
            return -errno;
        while (at < end) {
            int n = move(in, out, at, end - at > CHUNK ? CHUNK : (size_t)(end - at), buffer);
            if (n == -ENODATA)
                break;
            if (n < 0)
                return n;
            at += n;
            bulk->done += (u64)n;
            report(bulk);
            if (task_cancelled(error))
                return -ECANCELED;
        }
    }
    return 0;
}

static int copy(struct bulk *bulk, int in, int out, struct error *error)
{
    struct stat st;
    if (fstat(in, &st))
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if (!ioctl(out, FICLONE, in)) {
        bulk->done += (u64)st.st_blocks * 512;
        return 0;
    }
    if (ftruncate(out, st.st_size))
        return -errno;
    char *buffer = malloc(CHUNK);
    int e = buffer ? copy_data(bulk, in, out, st.st_size, buffer, error) : -ENOMEM;
    free(buffer);
    return e;
}

int bulk_copy(struct bulk *bulk, const char *from, const char *to, struct error *error)
{
    int in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (in < 0)
        return error_path(error, -errno, from);
    int out = open(to, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int e = out < 0 ? -errno : copy(bulk, in, out, error);
    if (!e && fsync(out))
        e = -errno;
    close(in);
    if (out >= 0)
        close(out);
    return e && e != -ECANCELED ? error_path(error, e, e == -EINVAL ? from : to) : e;
}

int bulk_room(const char *folder, u64 bytes, struct error *error)
{
    struct statvfs fs;
    if (statvfs(folder, &fs))
        return error_path(error, -errno, folder);
    u64 room = (u64)fs.f_bavail * fs.f_frsize;
    if (room >= bytes)
        return 0;
    return error_set(error, -ENOSPC, "%.200s: no space left: %llu MiB are needed, and %llu MiB are free", folder,
                     (unsigned long long)(bytes >> 20) + 1, (unsigned long long)room >> 20);
}

int bulk_flush(const char *folder, struct error *error)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int e = fd < 0 || fsync(fd) ? error_path(error, -errno, folder) : 0;
    if (fd >= 0)
        close(fd);
    return e;
}
