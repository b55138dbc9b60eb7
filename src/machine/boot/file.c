/*
 * Boot files. The mapping of a plain file is private and read-only, and its pages are given back after each use: a big
 * initrd must not count twice, in the file and in guest memory.
 */
#include "machine/boot/file.h"

#include "base/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define BOOT_FILE_MAX (1ull << 30) /* of a pipe or a gzip file: neither says beforehand how much will come */
#define CHUNK_MIN (1ull << 20)
#define GZIP_MAGIC 0x8b1f

/* Bytes that grow in anonymous memory, so that what was read can be given back whole. */
struct grow {
    u8 *data;
    u64 size, room;
};

static int grow_more(struct grow *g)
{
    u64 room = g->room ? g->room * 2 : CHUNK_MIN;
    if (room > BOOT_FILE_MAX)
        return -EFBIG;
    u8 *data = realloc(g->data, room);
    if (!data)
        return -ENOMEM;
    g->data = data;
    g->room = room;
    return 0;
}

static int wait_for_writer(int fd, const char *path, const struct patience *patience, struct error *error)
{
    char what[300];
    snprintf(what, sizeof(what), "a writer of %.256s", path);
    return patience->wait(patience->opaque, fd, POLLIN, what, error);
}

/* Without patience reads wait; with it a pipe that nobody has opened yet looks like one at its end. -ECANCELED: the
 * error says why. */
static int read_all(int fd, const char *path, struct grow *g, const struct patience *patience, struct error *error)
{
    bool waited = !patience;
    for (;;) {
        int e = g->size == g->room ? grow_more(g) : 0;
        if (e)
            return e;
        ssize_t n = read(fd, g->data + g->size, g->room - g->size);
        if (n > 0) {
            g->size += (u64)n;
            continue;
        }
        if (n == 0 && (g->size || waited))
            return 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno != EAGAIN || !patience))
            return -errno;
        e = wait_for_writer(fd, path, patience, error);
        if (e)
            return e;
        waited = true;
    }
}

/* -EBADMSG: the gzip stream is damaged or cut short. */
static int inflate_all(const struct boot_file *from, struct grow *g)
{
    z_stream z = {0};
    if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        return -ENOMEM;
    u64 used = 0;
    int result = 0;
    for (;;) {
        if (g->size == g->room) {
            result = grow_more(g);
            if (result)
                break;
        }
        u64 left = from->size - used, room = g->room - g->size;
        uInt in = left > CHUNK_MIN ? CHUNK_MIN : (uInt)left;
        uInt out = room > CHUNK_MIN ? CHUNK_MIN : (uInt)room;
        z.next_in = (Bytef *)(uintptr_t)(from->data + used);
        z.avail_in = in;
        z.next_out = g->data + g->size;
        z.avail_out = out;
        int r = inflate(&z, Z_NO_FLUSH);
        used += in - z.avail_in;
        g->size += out - z.avail_out;
        if (r == Z_STREAM_END)
            break;
        if (r != Z_OK || (in == z.avail_in && out == z.avail_out)) {
            result = -EBADMSG;
            break;
        }
    }
    inflateEnd(&z);
    return result;
}

static int fail(struct error *error, const char *path, int code)
{
    switch (code) {
    case -ENODATA: return error_set(error, code, "%s: is empty", path);
    case -EISDIR: return error_set(error, code, "%s: is a directory, not a file to boot", path);
    case -ENODEV: return error_set(error, code, "%s: is a device, not a file to boot", path);
    case -EBADMSG: return error_set(error, code, "%s: is a damaged or truncated gzip file", path);
    case -EFBIG:
        error_set(error, code, "%s: is more than 1024 MiB, the most from a pipe or a gzip file", path);
        return error_hint(error, "unpack it into a plain file");
    default: return error_set(error, code, "%s: %s", path, strerror(-code));
    }
}

static int open_data(struct boot_file *file, const char *path, int fd, const struct patience *patience,
                     struct error *error)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (S_ISCHR(st.st_mode))
        return -ENODEV;
    if (S_ISREG(st.st_mode)) {
        if (st.st_size == 0)
            return -ENODATA;
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p != MAP_FAILED) {
            *file = (struct boot_file){p, (u64)st.st_size, true};
            return 0;
        }
    }
    struct grow g = {0};
    int e = read_all(fd, path, &g, patience, error);
    if (!e && !g.size)
        e = -ENODATA;
    if (e) {
        free(g.data);
        return e;
    }
    *file = (struct boot_file){g.data, g.size, false};
    return 0;
}

int boot_file_open(struct boot_file *file, const char *path, bool gunzip, const struct patience *patience,
                   struct error *error)
{
    *file = (struct boot_file){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | (patience ? O_NONBLOCK : 0)); /* a pipe opens without a writer */
    if (fd < 0)
        return fail(error, path, -errno);
    int e = open_data(file, path, fd, patience, error);
    close(fd);
    if (e == -ECANCELED)
        return e;
    if (e)
        return fail(error, path, e);
    if (!gunzip || boot_file_u16(file, 0) != GZIP_MAGIC)
        return 0;

    struct grow g = {0};
    e = inflate_all(file, &g);
    boot_file_close(file);
    if (e) {
        free(g.data);
        return fail(error, path, e);
    }
    *file = (struct boot_file){g.data, g.size, false};
    return 0;
}

u8 *boot_file_make(struct boot_file *file, u64 size)
{
    u8 *data = pages_map(size, PROT_READ | PROT_WRITE, true);
    if (data)
        *file = (struct boot_file){data, size, true};
    return data;
}

void boot_file_close(struct boot_file *file)
{
    if (file->mapped)
        munmap((void *)(uintptr_t)file->data, file->size);
    else
        free((void *)(uintptr_t)file->data);
    *file = (struct boot_file){0};
}

void boot_file_release(const struct boot_file *file)
{
    if (file->mapped)
        madvise((void *)(uintptr_t)file->data, file->size, MADV_DONTNEED);
}

static u64 get(const struct boot_file *file, u64 offset, unsigned size)
{
    u64 value = 0;
    if (boot_file_has(file, offset, size))
        memcpy(&value, file->data + offset, size);
    return value;
}

u16 boot_file_u16(const struct boot_file *file, u64 offset)
{
    return (u16)get(file, offset, 2);
}

u32 boot_file_u32(const struct boot_file *file, u64 offset)
{
    return (u32)get(file, offset, 4);
}

u64 boot_file_u64(const struct boot_file *file, u64 offset)
{
    return get(file, offset, 8);
}
