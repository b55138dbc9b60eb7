/*
 * The sender's side of tree.h. Folders are opened one below the other, so what is renamed or replaced by a link while
 * it is copied does not lead elsewhere.
 */
#include "agent/frame.h"
#include "agent/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 400 /* each level has a descriptor */
#define CHUNK 65536

struct sender {
    struct tree *tree;
    int to, broken; /* -errno of the stream */
    u32 depth;
    char path[2 * PATH_MAX]; /* of what is being sent, for complaints */
    u8 chunk[CHUNK];
};

static void complain(struct sender *s, const char *reason)
{
    s->tree->complaints++;
    s->tree->complain(s->tree, s->path, reason);
}

static void put(struct sender *s, const void *bytes, size_t length)
{
    const u8 *at = bytes;
    while (length && !s->broken) {
        ssize_t n = write(s->to, at, length);
        if (n > 0) {
            at += n;
            length -= (size_t)n;
        } else if (n < 0 && errno != EINTR) {
            s->broken = -errno;
        }
    }
}

static void put_entry(struct sender *s, enum tree_kind kind, const struct stat *st, const char *name,
                      const char *target)
{
    u8 head[TREE_HEAD] = {(u8)kind};
    put_number(head + 2, strlen(name), 2);
    put_number(head + 4, strlen(target), 2);
    if (st) {
        put_number(head + 8, st->st_mode & 01777, 4);
        put_number(head + 12, (u64)st->st_mtim.tv_nsec, 4);
        put_number(head + 16, (u64)st->st_mtim.tv_sec, 8);
        put_number(head + 24, kind == TREE_FILE ? (u64)st->st_size : 0, 8);
    }
    put(s, head, sizeof(head));
    put(s, name, strlen(name));
    put(s, target, strlen(target));
}

/* Sends as many bytes as were announced, whatever becomes of the file meanwhile. */
static void put_content(struct sender *s, int fd, u64 left)
{
    u8 bad = 0;
    while (left && !s->broken) {
        size_t wanted = left < CHUNK ? (size_t)left : CHUNK;
        ssize_t n = bad ? 0 : read(fd, s->chunk, wanted);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (!bad)
                complain(s, n < 0 ? strerror(errno) : "the file became shorter while it was read");
            bad = 1;
            memset(s->chunk, 0, wanted);
            n = (ssize_t)wanted;
        }
        put(s, s->chunk, (size_t)n);
        left -= (u64)n;
        s->tree->bytes += (u64)n;
    }
    put(s, &bad, 1);
}

static void send_entry(struct sender *s, int within, const char *file, const char *name);

static void send_folder(struct sender *s, int fd, const struct stat *st, const char *name)
{
    size_t length = strlen(s->path);
    DIR *dir = fdopendir(fd);
    if (!dir) {
        complain(s, strerror(errno));
        close(fd);
        return;
    }
    put_entry(s, TREE_FOLDER, st, name, "");
    s->depth++;
    errno = 0;
    for (struct dirent *e; !s->broken && (e = readdir(dir)); errno = 0) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        const char *slash = length && s->path[length - 1] == '/' ? "" : "/";
        snprintf(s->path + length, sizeof(s->path) - length, "%s%s", slash, e->d_name);
        send_entry(s, dirfd(dir), e->d_name, e->d_name);
        s->path[length] = 0;
    }
    if (errno)
        complain(s, strerror(errno));
    s->depth--;
    put_entry(s, TREE_UP, st, "", "");
    closedir(dir);
}

static void send_link(struct sender *s, int within, const char *file, const struct stat *st, const char *name)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(within, file, target, sizeof(target) - 1);
    if (n < 0) {
        complain(s, strerror(errno));
        return;
    }
    target[n] = 0;
    put_entry(s, TREE_LINK, st, name, target);
}

/* `file`: how it is opened; `name`: what the receiver calls it. The first file may be reached by a link. */
static void send_entry(struct sender *s, int within, const char *file, const char *name)
{
    struct stat st;
    int follow = s->depth ? AT_SYMLINK_NOFOLLOW : 0;
    if (fstatat(within, file, &st, follow)) {
        complain(s, strerror(errno));
        return;
    }
    if (S_ISLNK(st.st_mode)) {
        send_link(s, within, file, &st, name);
        return;
    }
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) {
        complain(s, "neither a file nor a folder: left out");
        return;
    }
    if (S_ISDIR(st.st_mode) && (!s->tree->recursive || s->depth == DEPTH_MAX)) {
        complain(s, s->depth ? "too many folders in one another" : "it is a folder, and only files were asked for");
        return;
    }
    int fd = openat(within, file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (follow ? O_NOFOLLOW : 0));
    struct stat opened;
    if (fd < 0 || fstat(fd, &opened) || (opened.st_mode & S_IFMT) != (st.st_mode & S_IFMT)) {
        complain(s, fd < 0 ? strerror(errno) : "it was replaced while it was read");
        if (fd >= 0)
            close(fd);
        return;
    }
    if (S_ISDIR(opened.st_mode)) {
        send_folder(s, fd, &opened, name);
        return;
    }
    put_entry(s, TREE_FILE, &opened, name, "");
    put_content(s, fd, (u64)opened.st_size);
    close(fd);
}

int tree_send(struct tree *tree, const char *path, int to)
{
    size_t length = strlen(path);
    struct sender *s = length < PATH_MAX ? calloc(1, sizeof(*s)) : NULL;
    if (!s)
        return length < PATH_MAX ? -ENOMEM : -ENAMETOOLONG;
    s->tree = tree;
    s->to = to;
    strcpy(s->path, path);
    while (length > 1 && s->path[length - 1] == '/')
        s->path[--length] = 0;
    const char *slash = strrchr(s->path, '/');
    const char *last = slash ? slash + 1 : s->path;
    bool named = strcmp(last, ".") && strcmp(last, "..") && strlen(last) <= NAME_MAX;
    /* These, and "/", have no name: what is in them is copied. The copy, because the path gets longer. */
    char *name = strdup(named ? last : "");
    if (name)
        send_entry(s, AT_FDCWD, path, name);
    else
        s->broken = -ENOMEM;
    free(name);
    put_entry(s, TREE_END, NULL, "", "");
    int broken = s->broken;
    free(s);
    return broken;
}
