/*
 * Descriptors and what they stand for: see descriptor.h. A table of two levels, indexed by descriptor.
 */
#include "kvmapi/descriptor.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
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
static int owner; /* process whose descriptors these are: a child of vfork shares our memory and not its descriptors */

static int close_raw(int fd)
{
    return (int)syscall(SYS_close, fd);
}

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

/* In the child of a fork. */
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
        f->pid = owner;
        f->object = object;
        f->release = release;
        __atomic_store_n(&f->refs, 1, __ATOMIC_RELEASE);
        if (file)
            *file = f;
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

bool file_is_foreign(const struct api_file *f)
{
    return f->pid != owner;
}
