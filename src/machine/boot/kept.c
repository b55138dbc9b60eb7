/*
 * Unpacked kernels in $XDG_CACHE_HOME/nestbox/kernels (or below ~/.cache). A file has the packed bytes, which are
 * compared whole, so that no file can pass for another one; then what they unpack to as a zstd frame with its check
 * sum. It gets its name when it is complete. A folder or file that others can write to, or that is another user's, does
 * not count. The folder takes KEPT_MAX files, of which the one that was used least recently goes first, and a file at
 * most 1/KEPT_SHARE of the free space: none on the small file systems in memory of initial RAM disks.
 */
#include "machine/boot/kept.h"

#include "base/pages.h"
#include "base/write.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <zlib.h>
#include <zstd.h>

#define KEPT_MAX 8
#define KEPT_SHARE 64
#define KEPT_LEVEL 1 /* of zstd: 4.5 to 1 in 0.2 s */
#define NAME_MAX_LENGTH 40

static bool is_own(int fd, mode_t others)
{
    struct stat st;
    return !fstat(fd, &st) && st.st_uid == geteuid() && !(st.st_mode & others);
}

/* Returns a descriptor, or -1. `make`: folders that are missing are made, in the user's own. */
static int folder(bool make)
{
    static const char *const below[] = {".cache", "nestbox", "kernels"};
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    bool given = cache && *cache == '/';
    if (given && make)
        (void)!mkdir(cache, 0700);
    int fd = given || (home && *home == '/') ? open(given ? cache : home, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    for (size_t i = given; fd >= 0 && i < ARRAY_LEN(below); i++) {
        if (make && is_own(fd, 0))
            (void)!mkdirat(fd, below[i], 0700);
        int next = openat(fd, below[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        close(fd);
        fd = next;
    }
    if (fd < 0 || is_own(fd, S_IWGRP | S_IWOTH))
        return fd;
    close(fd);
    return -1;
}

static void name_of(const struct payload *p, char *name)
{
    unsigned long sum = crc32_z(0, p->packed.data, p->packed.size);
    snprintf(name, NAME_MAX_LENGTH, "%08lx-%llx", sum, (unsigned long long)p->packed.size);
}

static bool read_exactly(int fd, u8 *to, u64 size)
{
    for (u64 done = 0; done < size;) {
        ssize_t n = read(fd, to + done, size - done);
        if (n <= 0 && !(n < 0 && errno == EINTR))
            return false;
        done += n > 0 ? (u64)n : 0;
    }
    return true;
}

/* Reads the whole file into *kept, whose size is known. */
static bool read_kept(int fd, u64 least, u64 most, struct boot_file *kept)
{
    struct stat st;
    if (!is_own(fd, S_IWGRP | S_IWOTH) || fstat(fd, &st) || !S_ISREG(st.st_mode) || (u64)st.st_size <= least ||
        (u64)st.st_size > most)
        return false;
    u8 *data = boot_file_make(kept, (u64)st.st_size);
    if (!data)
        return false;
    if (read_exactly(fd, data, kept->size))
        return true;
    boot_file_close(kept);
    return false;
}

static bool unpack(const struct boot_file *kept, const struct payload *p, struct boot_file *unpacked)
{
    u64 size = p->packed.size;
    if (memcmp(kept->data, p->packed.data, size) != 0)
        return false;
    u8 *to = boot_file_make(unpacked, p->room);
    if (!to)
        return false;
    if (ZSTD_decompress(to, p->room, kept->data + size, kept->size - size) == p->room)
        return true;
    boot_file_close(unpacked);
    return false;
}

bool kept_find(const struct payload *p, struct boot_file *unpacked)
{
    char name[NAME_MAX_LENGTH];
    struct boot_file kept;
    int dir = folder(false);
    if (dir < 0)
        return false;
    name_of(p, name);
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    close(dir);
    if (fd < 0)
        return false;
    bool found = read_kept(fd, p->packed.size, p->packed.size + ZSTD_compressBound(p->room), &kept);
    if (found) {
        found = unpack(&kept, p, unpacked);
        boot_file_close(&kept);
    }
    if (found)
        (void)futimens(fd, NULL); /* it was used now */
    close(fd);
    return found;
}

/* Removes what was used least recently, until there is room for one more. */
static void make_room(int dir)
{
    for (;;) {
        char oldest[NAME_MAX_LENGTH] = "";
        struct timespec when = {0};
        unsigned count = 0;
        int again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *list = again < 0 ? NULL : fdopendir(again);
        for (struct dirent *entry; list && (entry = readdir(list));) {
            struct stat st;
            if (*entry->d_name == '.' || strlen(entry->d_name) >= sizeof(oldest) ||
                fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW))
                continue;
            if (!count++ || st.st_mtim.tv_sec < when.tv_sec ||
                (st.st_mtim.tv_sec == when.tv_sec && st.st_mtim.tv_nsec < when.tv_nsec)) {
                strcpy(oldest, entry->d_name);
                when = st.st_mtim;
            }
        }
        if (list)
            closedir(list);
        if (count < KEPT_MAX || unlinkat(dir, oldest, 0) < 0)
            return;
    }
}

/* Returns the size of the frame in `to`, or 0. */
static size_t pack(const struct boot_file *unpacked, u8 *to, size_t room)
{
    ZSTD_CCtx *context = ZSTD_createCCtx();
    if (!context)
        return 0;
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, KEPT_LEVEL);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
    size_t size = ZSTD_compress2(context, to, room, unpacked->data, unpacked->size);
    ZSTD_freeCCtx(context);
    return ZSTD_isError(size) ? 0 : size;
}

static bool write_file(int dir, const char *name, const struct boot_file *packed, const u8 *frame, size_t frame_size)
{
    struct statvfs free;
    if (fstatvfs(dir, &free) || packed->size + frame_size > (u64)free.f_bavail * free.f_frsize / KEPT_SHARE)
        return false;
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    bool whole = !write_all(fd, packed->data, packed->size) && !write_all(fd, frame, frame_size);
    return !close(fd) && whole;
}

static void add(const struct payload *p, const struct boot_file *unpacked)
{
    char name[NAME_MAX_LENGTH], unfinished[NAME_MAX_LENGTH];
    size_t room = ZSTD_compressBound(unpacked->size), frame_size;
    int dir = folder(true);
    u8 *frame = dir < 0 ? NULL : pages_map(room, PROT_READ | PROT_WRITE, true);
    if (frame && (frame_size = pack(unpacked, frame, room)) > 0) {
        name_of(p, name);
        snprintf(unfinished, sizeof(unfinished), "new-%d", getpid());
        make_room(dir);
        unlinkat(dir, unfinished, 0); /* of an earlier process with this number */
        if (!write_file(dir, unfinished, &p->packed, frame, frame_size) || renameat(dir, unfinished, dir, name) < 0)
            unlinkat(dir, unfinished, 0);
    }
    if (frame)
        munmap(frame, room);
    if (dir >= 0)
        close(dir);
}

static void *keep(void *opaque)
{
    struct keeper *k = opaque;
    add(&k->payload, &k->unpacked);
    payload_close(&k->payload);
    boot_file_close(&k->unpacked);
    return NULL;
}

void keeper_start(struct keeper *k, const struct payload *p, const struct boot_file *unpacked)
{
    sigset_t all, before;
    keeper_end(k);
    k->payload = *p;
    k->unpacked = *unpacked;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    k->runs = !pthread_create(&k->thread, NULL, keep, k);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!k->runs)
        keep(k);
}

void keeper_end(struct keeper *k)
{
    if (k->runs)
        pthread_join(k->thread, NULL);
    k->runs = false;
}
