/*
 * Shares are rows of a definition; virtiofsd is the worker's.
 */
#include "manager/share.h"

#include "manager/vm.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct share_def *find(struct vm_def *def, const char *tag)
{
    for (u32 i = 0; i < def->shares; i++)
        if (strcmp(def->share[i].tag, tag) == 0)
            return &def->share[i];
    return NULL;
}

/* Completes a share by what is on the host. */
static int complete(const struct share_def *share, struct share_def *whole, char path[static PATH_MAX],
                    struct error *error)
{
    struct stat st;
    *whole = *share;
    if (!share->path || !realpath(share->path, path) || stat(path, &st))
        return error_set(error, share->path ? -errno : -EINVAL, "%.200s: %s", share->path ? share->path : "a share",
                         share->path ? strerror(errno) : "it needs a folder");
    if (!S_ISDIR(st.st_mode))
        return error_set(error, -ENOTDIR, "%.200s is no folder", path);
    whole->path = path;
    if (!whole->tag[0] && !path[1]) {
        error_set(error, -EINVAL, "the folder / has no name for a share");
        return error_hint(error, SETTING("tag") " gives it one");
    }
    if (!whole->tag[0])
        snprintf(whole->tag, sizeof(whole->tag), "%.36s", strrchr(path, '/') + 1);
    return share_check(whole, error);
}

int share_add(struct store *store, const char *vm, const struct share_def *share, struct error *error)
{
    char path[PATH_MAX];
    struct share_def whole;
    struct vm_open open;
    int e = complete(share, &whole, path, error);
    if (!e)
        e = vm_open_off(store, vm, "share", &open, error);
    if (e)
        return e;
    struct vm_def changed = open.def;
    if (find(&changed, whole.tag))
        e = error_set(error, -EEXIST, "VM %s has a share %s already", open.def.name, whole.tag);
    else if (changed.shares == VM_SHARES_MAX)
        e = error_set(error, -ENOSPC, "VM %s has %u shares, and no more are possible", open.def.name, VM_SHARES_MAX);
    else
        changed.share[changed.shares++] = whole;
    if (!e)
        e = store_vm_put(store, &changed, error);
    vm_close(&open);
    return e;
}

int share_remove(struct store *store, const char *vm, const char *tag, struct error *error)
{
    struct vm_open open;
    int e = vm_open_off(store, vm, "share", &open, error);
    if (e)
        return e;
    struct vm_def changed = open.def;
    struct share_def *share = find(&changed, tag);
    if (share) {
        memmove(share, share + 1, (size_t)(&changed.share[--changed.shares] - share) * sizeof(*share));
        e = store_vm_put(store, &changed, error);
    } else {
        e = error_set(error, -ENOENT, "VM %s has no share %.40s", open.def.name, tag);
    }
    vm_close(&open);
    return e;
}
