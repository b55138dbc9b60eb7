/*
 * The user's view of files: see view.h. A child makes it, so that nothing of it stays where a part of it fails: it
 * takes a copy of each file's mount, enters a namespace, puts the copies in place, and looks whether the user gets what
 * it needs. What happened comes back through a pipe.
 */
#include "process/view.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* The C library's header that declares it cannot be included beside the kernel's. */
int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data);

struct file {
    char *path, *real; /* as it is called; without links */
    enum view_kind kind;
    int access;
    struct stat st;
};

struct view {
    u32 user, count, room;
    struct file *file;
};

struct view *view_new(u32 user)
{
    struct view *v = calloc(1, sizeof(*v));
    if (v)
        v->user = user;
    return v;
}

void view_free(struct view *v)
{
    for (u32 i = 0; v && i < v->count; i++) {
        free(v->file[i].path);
        free(v->file[i].real);
    }
    if (v)
        free(v->file);
    free(v);
}

int view_add(struct view *v, const char *path, enum view_kind kind, int access)
{
    struct file f = {.kind = kind, .access = access};
    if (stat(path, &f.st))
        return 0;
    if (v->count == v->room) {
        u32 room = v->room ? 2 * v->room : 16;
        struct file *bigger = realloc(v->file, room * sizeof(*bigger));
        if (!bigger)
            return -ENOMEM;
        v->file = bigger;
        v->room = room;
    }
    f.path = strdup(path);
    f.real = realpath(path, NULL);
    v->file[v->count++] = f; /* view_free finds what there is of it */
    return f.path && f.real ? 0 : -ENOMEM;
}

/* -- copies of mounts -- */

static int write_map(pid_t process, const char *which, u32 from, u32 to)
{
    char path[40], line[40];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)process, which);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int n = snprintf(line, sizeof(line), "%u %u 1", from, to);
    int e = fd < 0 || write(fd, line, (size_t)n) != n ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return e;
}

/* A user namespace in which an owner of files is the user; it lives on in the descriptor. */
static int owner_space(const struct stat *owner, u32 user)
{
    int ready[2], fd = -1;
    char path[40];
    bool is_there = false;
    if (pipe2(ready, O_CLOEXEC))
        return -errno;
    pid_t child = fork();
    if (child == 0) {
        is_there = !unshare(CLONE_NEWUSER);
        (void)!write(ready[1], &is_there, 1);
        for (;;)
            pause();
    }
    close(ready[1]);
    int e = child < 0 ? -errno : 0;
    /* It is killed below, whatever it does; the end of the pipe in it goes with it. */
    if (!e && (read(ready[0], &is_there, 1) != 1 || !is_there))
        e = -EPERM;
    close(ready[0]);
    if (!e)
        e = write_map(child, "uid_map", owner->st_uid, user);
    if (!e)
        e = write_map(child, "gid_map", owner->st_gid, user);
    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)child);
    if (!e && (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        e = -errno;
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
    }
    return e ? e : fd;
}

/* A node of its own for a device. */
static int device_tree(const struct stat *st, u32 user)
{
    int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC), all = -1, one = -1;
    if (fs >= 0 && !syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
        all = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    if (all >= 0 && !mknodat(all, "node", (st->st_mode & S_IFMT) | 0600, st->st_rdev) &&
        !fchownat(all, "node", user, user, 0))
        one = (int)syscall(SYS_open_tree, all, "node", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    int e = errno;
    if (fs >= 0)
        close(fs);
    if (all >= 0)
        close(all);
    return one < 0 ? -e : one;
}

static int copy_tree(const struct file *f, u32 user)
{
    if (f->kind == VIEW_OWN && (S_ISBLK(f->st.st_mode) || S_ISCHR(f->st.st_mode)))
        return device_tree(&f->st, user);
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, f->real, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
    if (tree < 0 || f->kind != VIEW_OWN)
        return tree < 0 ? -errno : tree;
    int space = owner_space(&f->st, user);
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP | (f->access & W_OK ? 0 : MOUNT_ATTR_RDONLY),
                              .userns_fd = (u64)(space < 0 ? 0 : space)};
    int e = space;
    if (space >= 0)
        e = syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) ? -errno : 0;
    if (space >= 0)
        close(space);
    if (!e || (f->access == R_OK && f->st.st_mode & S_IROTH)) /* which everybody may read needs no owner */
        return tree;
    close(tree);
    return e;
}

/* -- in the namespace -- */

static bool lets_through(const struct stat *st, u32 user)
{
    return st->st_mode & (st->st_uid == user ? S_IXUSR : S_IXOTH);
}

/* Makes the folders above a path such that the user comes through. */
static int open_way(const char *path, u32 user)
{
    char above[PATH_MAX];
    struct stat st;
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(above, sizeof(above), "%.*s", (int)(slash - path), path);
        if (stat(above, &st)) {
            if (errno != ENOENT || mkdir(above, 0711))
                return -errno;
        } else if (!lets_through(&st, user) &&
                   mount("nestbox", above, "tmpfs", 1 << 1 | 1 << 2, "mode=0711,size=1m")) { /* nosuid, nodev */
            return -errno;
        }
    }
    return 0;
}

static int put_tree(const struct file *f, int tree, u32 user)
{
    struct stat st;
    int e = open_way(f->real, user);
    bool there = !e && !stat(f->real, &st);
    if (!e && !there && (S_ISDIR(f->st.st_mode) ? mkdir(f->real, 0700) : mknod(f->real, S_IFREG | 0600, 0)))
        e = -errno;
    if (!e && !(there && f->kind == VIEW_REACHED) &&
        syscall(SYS_move_mount, tree, "", AT_FDCWD, f->real, MOVE_MOUNT_F_EMPTY_PATH))
        e = -errno;
    if (!e)
        e = open_way(f->path, user);
    if (!e && stat(f->path, &st) && symlink(f->real, f->path)) /* a link that an empty folder hides */
        e = -errno;
    return e;
}

static int become(u32 user)
{
    return setgroups(0, NULL) || setresgid(user, user, user) || setresuid(user, user, user) ? -errno : 0;
}

static int enter_space(int space)
{
    if (space >= 0)
        return setns(space, CLONE_NEWNS) ? -errno : 0;
    /* What the host unmounts goes here, too; nothing goes the other way. */
    return unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) ? -errno : 0;
}

static int failed(const struct file *f, int e, struct error *error)
{
    return error_set(error, e, "%.200s: %s", f->path,
                     e == -EINVAL ? "its file system cannot show other owners" : strerror(-e));
}

static int build(const struct view *v, int space, struct error *error)
{
    int *tree = calloc(v->count + 1, sizeof(*tree));
    if (!tree)
        return error_memory(error);
    umask(0);
    for (u32 i = 0; i < v->count; i++) {
        tree[i] = copy_tree(&v->file[i], v->user);
        if (tree[i] < 0)
            return failed(&v->file[i], tree[i], error);
    }
    int e = enter_space(space);
    if (e)
        return error_set(error, e, "no namespace: %s", strerror(-e));
    for (u32 i = 0; i < v->count; i++)
        if ((e = put_tree(&v->file[i], tree[i], v->user)))
            return failed(&v->file[i], e, error);
    return 0;
}

/* What it must be able to do, it can. */
static int check(const struct view *v, struct error *error)
{
    int e = become(v->user);
    if (e)
        return error_set(error, e, "no other users: %s", strerror(-e));
    for (u32 i = 0; i < v->count; i++)
        if (access(v->file[i].path, v->file[i].access))
            return failed(&v->file[i], -errno, error);
    return 0;
}

/* -- from outside -- */

/* Has a child build it. Returns the namespace, if that is a new one. */
static int have_built(const struct view *v, int space, struct error *error)
{
    int said[2], held[2], made = 0;
    char path[40];
    if (pipe2(said, O_CLOEXEC))
        return error_set(error, -errno, "no pipe: %s", strerror(errno));
    if (pipe2(held, O_CLOEXEC)) {
        close(said[0]);
        close(said[1]);
        return error_set(error, -EMFILE, "no pipe");
    }
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct error verdict = {0};
        close(held[1]);
        if (!build(v, space, &verdict)) {
            pid_t user = fork(); /* this one stays root, so that its namespace can be looked at */
            if (user == 0) {
                (void)!check(v, &verdict);
                _exit(write(said[1], &verdict, sizeof(verdict)) != sizeof(verdict));
            }
            if (user < 0)
                error_set(&verdict, -errno, "no process: %s", strerror(errno));
            while (user > 0 && waitpid(user, NULL, 0) < 0 && errno == EINTR)
                ;
        }
        if (verdict.code)
            (void)!write(said[1], &verdict, sizeof(verdict));
        (void)!read(held[0], path, 1); /* until it has been looked at */
        _exit(0);
    }
    close(said[1]);
    close(held[0]);
    struct error verdict = {0};
    if (child < 0)
        error_set(&verdict, -errno, "no process: %s", strerror(errno));
    else if (read(said[0], &verdict, sizeof(verdict)) != sizeof(verdict))
        error_set(&verdict, -EIO, "no answer");
    snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)child);
    if (!verdict.code && space < 0 && (made = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        error_set(&verdict, -errno, "no namespace: %s", strerror(errno));
    close(said[0]);
    close(held[1]);
    while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
        ;
    if (verdict.code)
        *error = verdict;
    return verdict.code ? verdict.code : made;
}

int view_make(const struct view *v, struct error *error)
{
    return have_built(v, -1, error);
}

int view_extend(const struct view *v, pid_t process, struct error *error)
{
    char path[40];
    struct stat own, its;
    snprintf(path, sizeof(path), "/proc/%d/ns/mnt", (int)process);
    int space = open(path, O_RDONLY | O_CLOEXEC);
    if (space < 0)
        return error_set(error, -errno, "no namespace: %s", strerror(errno));
    int e = stat("/proc/self/ns/mnt", &own) || fstat(space, &its) ? -errno : own.st_ino == its.st_ino ? -EEXIST : 0;
    e = e ? error_set(error, e, "no namespace: %s", strerror(-e)) : have_built(v, space, error);
    close(space);
    return e;
}

int view_enter(int space, u32 user)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    if (setns(space, CLONE_NEWNS))
        return -errno;
    prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    int e = become(user);
    if (e)
        return e;
    if (syscall(SYS_capget, &header, data))
        return -errno;
    data[0].effective = data[0].permitted;
    data[1].effective = data[1].permitted;
    return syscall(SYS_capset, &header, data) ? -errno : 0;
}
