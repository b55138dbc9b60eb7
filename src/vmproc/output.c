/*
 * A file of output is opened as it is, looked at, and only then made empty. What it is decides, not its name, so that
 * links and other spellings of a path do not matter. Called by the owner of the VM before vCPUs run.
 */
#include "vmproc/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int fail(struct error *error, const char *setting, const char *path, int code, const char *why)
{
    return error_set(error, code, SETTING("%s") " %s: %s", setting, path, why);
}

static bool same_file(const struct stat *st, const char *path)
{
    struct stat other;
    return path && stat(path, &other) == 0 && other.st_dev == st->st_dev && other.st_ino == st->st_ino;
}

/* A module's file ends at the first space, if it has arguments. */
static bool same_module(const struct stat *st, const char *given)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s", given);
    if (same_file(st, path))
        return true;
    path[strcspn(path, " ")] = 0;
    return same_file(st, path);
}

/* Returns the setting that names this file already, or NULL. */
static const char *taken_by(const struct outputs *o, const struct stat *st)
{
    const struct run_settings *s = o->settings;
    if (same_file(st, s->kernel))
        return "kernel";
    for (u32 i = 0; i < s->initrd.count; i++)
        if (same_module(st, s->initrd.item[i]))
            return "initrd";
    for (unsigned i = 0; i < o->count; i++)
        if (o->open[i].dev == st->st_dev && o->open[i].ino == st->st_ino)
            return o->open[i].setting;
    return NULL;
}

static int check(const struct outputs *o, const char *setting, const char *path, int fd, const struct stat *st,
                 struct error *error)
{
    char why[128];
    if (S_ISBLK(st->st_mode)) {
        fail(error, setting, path, -EINVAL, "is a disk, which is not written");
        return error_hint(error, "name a plain file");
    }
    const char *by = S_ISCHR(st->st_mode) ? NULL : taken_by(o, st);
    if (by) {
        snprintf(why, sizeof(why), "is the file of " SETTING("%s") ", which is left as it is", by);
        fail(error, setting, path, -EINVAL, why);
        return error_hint(error, "name another file");
    }
    if (S_ISREG(st->st_mode) && st->st_size && ftruncate(fd, 0) < 0)
        return fail(error, setting, path, -errno, strerror(errno));
    return 0;
}

/* A named pipe without a reader refuses to open, and nothing says when there is one: opening is tried again. */
static int open_patiently(const struct outputs *o, const char *path, struct error *error)
{
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY;
    char what[300];
    snprintf(what, sizeof(what), "a reader of %.256s", path);
    for (;;) {
        int fd = open(path, flags | (o->patience ? O_NONBLOCK : 0), 0666);
        if (fd >= 0 && o->patience)
            fcntl(fd, F_SETFL, 0);
        if (fd >= 0 || errno != ENXIO || !o->patience)
            return fd >= 0 ? fd : -errno;
        int over = o->patience->wait(o->patience->opaque, -1, 0, what, error);
        if (over)
            return over;
    }
}

int output_open(struct outputs *o, const char *setting, const char *path, struct error *error)
{
    struct stat st;
    if (stat(path, &st) == 0 && S_ISBLK(st.st_mode))
        return check(o, setting, path, -1, &st, error);
    int fd = open_patiently(o, path, error);
    if (fd == -ECANCELED)
        return fd;
    if (fd < 0)
        return fail(error, setting, path, fd, strerror(-fd));
    int e = fstat(fd, &st) < 0 ? fail(error, setting, path, -errno, strerror(errno))
                               : check(o, setting, path, fd, &st, error);
    if (e) {
        close(fd);
        return e;
    }
    if (o->count < OUTPUTS_MAX) {
        o->open[o->count].dev = st.st_dev;
        o->open[o->count].ino = st.st_ino;
        o->open[o->count++].setting = setting;
    }
    return fd;
}
