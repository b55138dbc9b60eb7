/*
 * The receiver's side of tree.h. Names have no slash and are not "..", and nothing is created by way of a link, so
 * nothing gets out of the folder that the user named.
 */
#include "agent/frame.h"
#include "agent/tree.h"
#include "base/write.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 410
#define CHUNK 65536
#define NOWHERE (-1) /* a folder that could not be made: what is in it is left out */

struct entry {
    enum tree_kind kind;
    u32 mode;
    struct timespec time;
    u64 size;
    char name[NAME_MAX + 1], target[PATH_MAX];
};

struct receiver {
    struct tree *tree;
    int from;
    const char *top;       /* what the first entry is called here; NULL: as it is there */
    u32 depth;             /* folders that are open */
    int folder[DEPTH_MAX]; /* [0] is where the first entry goes */
    size_t length[DEPTH_MAX];
    bool made[DEPTH_MAX]; /* by us: it gets the mode and the time that the other has */
    u32 serial;           /* of names of files that are not complete */
    char path[2 * PATH_MAX];
    struct entry entry;
    u8 chunk[CHUNK];
};

static void complain(struct receiver *r, const char *reason)
{
    r->tree->complaints++;
    r->tree->complain(r->tree, r->path, reason);
}

static int get(struct receiver *r, void *to, size_t length)
{
    u8 *at = to;
    while (length) {
        ssize_t n = read(r->from, at, length);
        if (n == 0)
            return -EPIPE;
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            at += n;
            length -= (size_t)n;
        }
    }
    return 0;
}

static int get_text(struct receiver *r, char *to, size_t size, u32 length)
{
    if (length >= size)
        return -EPROTO;
    to[length] = 0;
    int e = get(r, to, length);
    return e ? e : strlen(to) == length ? 0 : -EPROTO;
}

static bool name_good(const struct receiver *r, const struct entry *e)
{
    if (e->kind == TREE_UP || e->kind == TREE_END)
        return !*e->name;
    if (!*e->name) /* the contents of a folder that has no name */
        return !r->depth && e->kind == TREE_FOLDER;
    return !strchr(e->name, '/') && strcmp(e->name, ".") && strcmp(e->name, "..");
}

static int get_entry(struct receiver *r)
{
    u8 head[TREE_HEAD];
    struct entry *e = &r->entry;
    int status = get(r, head, sizeof(head));
    if (status)
        return status;
    e->kind = head[0];
    e->mode = (u32)get_number(head + 8, 4) & 01777;
    e->time = (struct timespec){(time_t)get_number(head + 16, 8), (long)get_number(head + 12, 4)};
    e->size = get_number(head + 24, 8);
    status = get_text(r, e->name, sizeof(e->name), (u32)get_number(head + 2, 2));
    if (!status)
        status = get_text(r, e->target, sizeof(e->target), (u32)get_number(head + 4, 2));
    if (!status && (!name_good(r, e) || e->time.tv_nsec > 999999999 || e->size > INT64_MAX))
        status = -EPROTO;
    return status;
}

/* -- files -- */

/* Takes the bytes of a file, to `fd` as long as that takes them. *failed: errno of the file. */
static int get_content(struct receiver *r, int fd, int *failed)
{
    u8 bad = 0;
    int e = 0;
    for (u64 left = r->entry.size; left && !e;) {
        size_t n = left < CHUNK ? (size_t)left : CHUNK;
        e = get(r, r->chunk, n);
        if (!e && !*failed)
            *failed = -write_all(fd, r->chunk, n);
        left -= n;
        r->tree->bytes += n;
    }
    if (!e)
        e = get(r, &bad, 1);
    if (!e && bad && !*failed)
        *failed = EIO; /* the sender complains */
    return e;
}

static int receive_file(struct receiver *r, int within, const char *name)
{
    char part[48];
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, r->entry.time};
    snprintf(part, sizeof(part), ".nestbox-%d-%u", getpid(), ++r->serial);
    int fd = within == NOWHERE ? -1 : openat(within, part, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int failed = fd < 0 ? errno : 0;
    int e = get_content(r, fd, &failed);
    if (within == NOWHERE)
        return e;
    if (!e && !failed && (fchmod(fd, r->entry.mode & 0777) || futimens(fd, times) || close(fd)))
        failed = errno;
    else if (fd >= 0 && (e || failed))
        close(fd);
    if (!e && !failed && renameat(within, part, within, name))
        failed = errno;
    if (fd >= 0 && (e || failed))
        unlinkat(within, part, 0);
    if (!e && failed)
        complain(r, strerror(failed));
    return e;
}

static void receive_link(struct receiver *r, int within, const char *name)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, r->entry.time};
    if (within == NOWHERE)
        return;
    int e = symlinkat(r->entry.target, within, name);
    if (e && errno == EEXIST && unlinkat(within, name, 0) == 0)
        e = symlinkat(r->entry.target, within, name);
    if (e)
        complain(r, strerror(errno));
    else
        utimensat(within, name, times, AT_SYMLINK_NOFOLLOW);
}

/* -- folders -- */

static int receive_folder(struct receiver *r, int within, const char *name)
{
    if (r->depth == DEPTH_MAX - 1)
        return -EPROTO;
    int fd = NOWHERE;
    bool made = false;
    if (within != NOWHERE && !*name) {
        fd = fcntl(within, F_DUPFD_CLOEXEC, 3);
    } else if (within != NOWHERE) {
        made = mkdirat(within, name, 0700) == 0;
        if (made || errno == EEXIST)
            fd = openat(within, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (fd < 0 && within != NOWHERE)
        complain(r, strerror(errno));
    r->folder[++r->depth] = fd;
    r->length[r->depth] = strlen(r->path);
    r->made[r->depth] = made;
    return 0;
}

static int leave_folder(struct receiver *r)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, r->entry.time};
    if (!r->depth)
        return -EPROTO;
    bool made = r->made[r->depth];
    int fd = r->folder[r->depth--];
    if (fd == NOWHERE)
        return 0;
    if (made && (fchmod(fd, r->entry.mode) || futimens(fd, times)))
        complain(r, strerror(errno));
    close(fd);
    return 0;
}

static int receive(struct receiver *r)
{
    bool first = true;
    for (;;) {
        size_t length = r->length[r->depth];
        r->path[length] = 0;
        int e = get_entry(r), within = r->folder[r->depth];
        if (e)
            return e;
        if (r->entry.kind == TREE_END)
            return r->depth ? -EPROTO : 0;
        if (r->entry.kind == TREE_UP) {
            e = leave_folder(r);
            if (e)
                return e;
            continue;
        }
        if (!r->depth && !first)
            return -EPROTO; /* there is one at the top */
        const char *name = first && r->top ? r->top : r->entry.name;
        first = false;
        if (*name)
            snprintf(r->path + length, sizeof(r->path) - length, "%s%s",
                     length && r->path[length - 1] != '/' ? "/" : "", name);
        switch (r->entry.kind) {
        case TREE_FILE: e = receive_file(r, within, name); break;
        case TREE_FOLDER: e = receive_folder(r, within, name); break;
        case TREE_LINK: receive_link(r, within, name); break;
        default: e = -EPROTO;
        }
        if (e)
            return e;
    }
}

/* Finds where the first entry goes. */
static int open_top(struct receiver *r, const char *path, char *copy)
{
    struct stat st;
    const char *folder = copy;
    strcpy(copy, path);
    if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
        char *slash = strrchr(copy, '/');
        r->top = slash ? slash + 1 : copy;
        if (slash == copy) {
            folder = "/";
            r->top = path + 1;
        } else if (slash) {
            *slash = 0;
        } else {
            folder = ".";
            r->top = path;
        }
        if (!*r->top || !strcmp(r->top, ".") || !strcmp(r->top, ".."))
            return -ENOENT;
    }
    strcpy(r->path, r->top && !strchr(path, '/') ? "" : folder);
    r->length[0] = strlen(r->path);
    r->folder[0] = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return r->folder[0] < 0 ? -errno : 0;
}

int tree_receive(struct tree *tree, int from, const char *path)
{
    char copy[PATH_MAX];
    struct receiver *r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    r->tree = tree;
    r->from = from;
    int e = strlen(path) < sizeof(copy) ? open_top(r, path, copy) : -ENAMETOOLONG;
    if (e) {
        strcpy(r->path, strlen(path) < sizeof(copy) ? path : "");
        complain(r, strerror(-e));
    } else {
        e = receive(r);
        for (u32 i = 0; i <= r->depth; i++)
            if (r->folder[i] != NOWHERE)
                close(r->folder[i]);
    }
    free(r);
    return e;
}
