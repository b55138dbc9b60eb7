/*
 * Which file a piece of guest memory belongs to: found in what the kernel says of our own mappings and descriptors, so
 * that it works for memory of ours and for that of a program which uses the KVM API.
 */
#include "accel/direct_process.h"

#include <dirent.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

/* The descriptor of a file that is mapped: found by its inode. -1: it is not open, or not for writing. */
static int descriptor_find(u64 device, u64 inode)
{
    DIR *d = opendir("/proc/self/fd");
    int found = -1;
    for (struct dirent *e; d && found < 0 && (e = readdir(d));) {
        struct stat st;
        int fd = atoi(e->d_name);
        if (e->d_name[0] == '.' || fstat(fd, &st) || st.st_ino != inode || st.st_dev != device)
            continue;
        char path[64], text[256];
        snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
        FILE *info = fopen(path, "re");
        unsigned long flags = 0;
        while (info && fgets(text, sizeof text, info))
            if (sscanf(text, "flags: %lo", &flags) == 1)
                break;
        if (info)
            fclose(info);
        if ((flags & 3) == 2) /* O_RDWR */
            found = fd;
    }
    if (d)
        closedir(d);
    return found;
}

/* Can single pages of it be mapped, for executing them too? Not of large pages, nor of what is mounted "noexec". */
static bool is_fit(int fd)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) || fs.f_type == HUGETLBFS_MAGIC)
        return false;
    void *page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED)
        munmap(page, PAGE_SIZE);
    return page != MAP_FAILED;
}

/* The mapping that `host` lies in. False: there is none. */
static bool mapping_find(u64 host, struct direct_file *f)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512], rights[8];
    bool found = false;
    unsigned long start, end, offset, inode;
    unsigned of_major, of_minor;
    while (maps && !found && fgets(line, sizeof line, maps)) {
        if (sscanf(line, "%lx-%lx %4s %lx %x:%x %lu", &start, &end, rights, &offset, &of_major, &of_minor, &inode) != 7)
            continue;
        found = host >= start && host < end;
    }
    if (maps)
        fclose(maps);
    if (!found)
        return false;
    *f = (struct direct_file){.start = start, .end = end, .offset = offset, .fd = -1};
    if (rights[3] == 's' && rights[1] == 'w' && inode)
        f->fd = descriptor_find(makedev(of_major, of_minor), inode);
    if (f->fd >= 0 && !is_fit(f->fd))
        f->fd = -1;
    return true;
}

static const struct direct_file *file_find(struct direct_host *h, u64 host)
{
    for (u32 i = 0; i < h->files; i++)
        if (host - h->file[i].start < h->file[i].end - h->file[i].start)
            return &h->file[i];
    if (h->files == DIRECT_FILES)
        return NULL;
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    bool found = mapping_find(host, &h->file[h->files]);
    pthread_setcancelstate(state, &state);
    if (!found)
        return NULL;
    __atomic_store_n(&h->files, h->files + 1, __ATOMIC_RELEASE);
    return &h->file[h->files - 1];
}

KEEPS_VECTORS const struct direct_file *direct_file_known(const struct direct_host *h, u64 host, u64 size)
{
    u32 files = __atomic_load_n(&h->files, __ATOMIC_ACQUIRE);
    for (u32 i = 0; i < files; i++) {
        const struct direct_file *f = &h->file[i];
        if (f->fd >= 0 && host - f->start < f->end - f->start && size <= f->end - host)
            return f;
    }
    return NULL;
}

bool direct_file(void *opaque, const void *host, u32 *file, u64 *offset)
{
    struct direct_host *h = opaque;
    pthread_mutex_lock(&h->lock);
    const struct direct_file *f = file_find(h, (u64)host);
    bool found = f && f->fd >= 0;
    if (found) {
        *file = (u32)(f - h->file);
        *offset = (u64)host - f->start + f->offset;
    }
    pthread_mutex_unlock(&h->lock);
    return found;
}

void direct_files_forget(void *opaque)
{
    struct direct_host *h = opaque;
    pthread_mutex_lock(&h->lock);
    h->files = 0;
    pthread_mutex_unlock(&h->lock);
}
