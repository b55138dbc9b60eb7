/*
 * Descriptors and what they stand for: see descriptor.h. A table of two levels, indexed by descriptor. System calls are
 * made without libc's functions, which are ours.
 */
#include "kvmapi/descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LEAF 1024
#define LEAVES 1024 /* descriptors up to 2^20 */

struct leaf {
    struct api_file *file[LEAF]; /* [a] */
};

static struct leaf *leaves[LEAVES]; /* [a] */
static struct api_file *spare;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int owner; /* process whose descriptors these are: a child of vfork shares our memory, not our descriptors */

static struct api_file **place(int fd)
{
    if (fd < 0 || fd >= LEAF * LEAVES)
        return NULL;
    struct leaf *l = __atomic_load_n(&leaves[fd / LEAF], __ATOMIC_ACQUIRE);
    return l ? &l->file[fd % LEAF] : NULL;
}

static struct api_file **place_make(int fd)
{
    if (fd < 0 || fd >= LEAF * LEAVES)
        return NULL;
    if (!leaves[fd / LEAF]) {
        struct leaf *l = calloc(1, sizeof(*l));
        if (!l)
            return NULL;
        __atomic_store_n(&leaves[fd / LEAF], l, __ATOMIC_RELEASE);
    }
    return place(fd);
}

bool file_is_ours(int fd)
{
    struct api_file **p = place(fd);
    return p && __atomic_load_n(p, __ATOMIC_ACQUIRE) && owner == (int)syscall(SYS_getpid);
}

struct api_file *file_get(int fd)
{
    struct api_file **p = place(fd);
    for (;;) {
        struct api_file *f = p ? __atomic_load_n(p, __ATOMIC_ACQUIRE) : NULL;
        if (!f)
            return NULL;
        u32 refs = __atomic_load_n(&f->refs, __ATOMIC_ACQUIRE);
        while (refs &&
               !__atomic_compare_exchange_n(&f->refs, &refs, refs + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            ;
        if (!refs)
            continue; /* closed meanwhile */
        if (__atomic_load_n(p, __ATOMIC_ACQUIRE) == f)
            return f;
        file_put(f);
    }
}

void file_put(struct api_file *f)
{
    if (__atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL))
        return;
    if (f->release && f->pid == (int)syscall(SYS_getpid))
        f->release(f->object);
    pthread_mutex_lock(&lock);
    f->kind = FILE_FREE;
    f->next_free = spare;
    spare = f;
    pthread_mutex_unlock(&lock);
}

/* Called in the child of a fork. */
static void forked(void)
{
    pthread_mutex_init(&lock, NULL);
    owner = (int)syscall(SYS_getpid);
}

static void begin(void)
{
    owner = (int)syscall(SYS_getpid);
    pthread_atfork(NULL, NULL, forked);
}

static u64 inode_of(int fd)
{
    struct stat s;
    return syscall(SYS_fstat, fd, &s) || !S_ISREG(s.st_mode) ? 0 : s.st_ino;
}

int file_add(int fd, enum file_kind kind, void *object, void (*release)(void *object), struct api_file **file)
{
    if (fd < 0)
        return -errno;
    pthread_once(&once, begin);
    pthread_mutex_lock(&lock);
    struct api_file **p = place_make(fd), *f = spare;
    if (p && !f)
        f = calloc(1, sizeof(*f));
    else if (p)
        spare = f->next_free;
    if (p && f) {
        f->kind = kind;
        f->inode = inode_of(fd);
        f->pid = owner;
        f->object = object;
        f->release = release;
        __atomic_store_n(&f->refs, 1, __ATOMIC_RELEASE);
        if (file)
            *file = f;
        /* A file that is there was closed past us, and so were its VM's own descriptors, perhaps: it stays, unseen. */
        __atomic_store_n(p, f, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&lock);
    if (p && f)
        return fd;
    close_raw(fd);
    return -ENOMEM;
}

struct api_file *file_take(int fd)
{
    struct api_file **p = place(fd);
    return p && file_is_ours(fd) ? __atomic_exchange_n(p, NULL, __ATOMIC_ACQ_REL) : NULL;
}

int file_next(int fd)
{
    for (; fd >= 0 && fd < LEAF * LEAVES; fd++) {
        struct api_file **p = place(fd);
        if (!p)
            fd |= LEAF - 1;
        else if (__atomic_load_n(p, __ATOMIC_ACQUIRE))
            return fd;
    }
    return -1;
}

void file_copied(int fd, int copy)
{
    struct api_file *f = file_is_ours(fd) ? file_get(fd) : NULL;
    if (!f)
        return;
    pthread_mutex_lock(&lock);
    struct api_file **p = place_make(copy), *before = p ? __atomic_exchange_n(p, f, __ATOMIC_ACQ_REL) : f;
    pthread_mutex_unlock(&lock);
    if (before)
        file_put(before);
}

bool file_find(int fd)
{
    u64 inode = inode_of(fd);
    for (int own = inode ? file_next(0) : -1; own >= 0; own = file_next(own + 1)) {
        struct api_file *f = file_get(own);
        bool same = f && f->inode == inode && f->kind != FILE_HIDDEN && inode_of(own) == inode;
        if (f)
            file_put(f);
        if (!same)
            continue;
        file_copied(own, fd);
        return true;
    }
    return false;
}

/* -- hidden -- */

#define HIDDEN_FROM 768

/* Above what programs number by themselves, but below what is 1024 for most. */
static int move_away(int fd)
{
    struct rlimit r = {0};
    int from = getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur >= 1024 ? HIDDEN_FROM : (int)r.rlim_cur * 3 / 4;
    int moved = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, from);
    if (moved < 0)
        return fd; /* it stays where it is */
    close_raw(fd);
    return moved;
}

int file_hide(int fd)
{
    return fd < 0 ? -errno : file_add(move_away(fd), FILE_HIDDEN, NULL, NULL, NULL);
}

bool file_is_hidden(int fd)
{
    struct api_file **p = place(fd), *f = p ? __atomic_load_n(p, __ATOMIC_ACQUIRE) : NULL;
    return f && f->kind == FILE_HIDDEN && f->pid == owner && file_is_ours(fd);
}

void file_hidden_close(int fd)
{
    struct api_file *f = file_take(fd);
    if (fd >= 0)
        close_raw(fd);
    if (f)
        file_put(f);
}

bool file_is_foreign(const struct api_file *f)
{
    return f->pid != owner;
}
