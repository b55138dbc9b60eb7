/*
 * Images that others stand on: a disk may be a file that has only what differs from another one, and that one from a
 * third. Who changes or removes a file below a disk destroys it.
 */
#include "manager/disk.h"
#include "store/qcow2.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHAIN_MAX 64u

/* What is asked about: a folder whose files count, except for the VM that has it, or one file. */
struct subject {
    const char *vm;
    char folder[PATH_MAX], file[PATH_MAX];
    char disks[PATH_MAX]; /* of a folder that was imported in place: where its images are */
};

static bool is_in(const char *folder, const char *path)
{
    size_t length = strlen(folder);
    return length && strncmp(path, folder, length) == 0 && path[length] == '/';
}

static bool concerns(const struct subject *subject, const char *path)
{
    return subject->vm ? is_in(subject->folder, path) || is_in(subject->disks, path) : strcmp(path, subject->file) == 0;
}

static bool stands_on(const struct store *store, const struct vm_def *def, const struct disk_def *disk,
                      const struct subject *subject)
{
    char path[PATH_MAX];
    struct error ignored;
    if (!disk->path || store_disk_path(store, def, disk, path, sizeof(path), &ignored))
        return false;
    for (unsigned i = 0; i < CHAIN_MAX && qcow2_go_below(path, sizeof(path)); i++)
        if (concerns(subject, path))
            return true;
    return false;
}

static int describe(struct subject *subject, struct store *store, const char *vm, const char *path, struct error *error)
{
    char folder[PATH_MAX];
    subject->vm = vm;
    if (!vm) {
        snprintf(subject->file, sizeof(subject->file), "%s", path);
        return 0;
    }
    int e = store_vm_path(store, vm, "", folder, sizeof(folder), error);
    if (!e && !realpath(folder, subject->folder))
        snprintf(subject->folder, sizeof(subject->folder), "%s", folder);
    if (!e)
        e = store_vm_path(store, vm, "disks", folder, sizeof(folder), error);
    if (!e && !realpath(folder, subject->disks))
        subject->disks[0] = 0;
    return e;
}

static int refuse(const struct subject *subject, const char *what, const char *users, struct error *error)
{
    if (subject->vm)
        error_set(error, -EBUSY, "VM %s cannot be %s: disks of others stand on its images: %s", subject->vm, what,
                  users);
    else
        error_set(error, -EBUSY, "%.120s cannot be %s: disks stand on it: %s", subject->file, what, users);
    return error_hint(error, "`nestbox clone` makes a VM whose disks stand alone; delete those that do not");
}

bool disk_stands_on(const struct store *store, const struct vm_def *def, const char *path)
{
    struct subject subject = {0};
    if (!realpath(path, subject.file))
        return false;
    for (u32 i = 0; i < def->disks; i++)
        if (stands_on(store, def, &def->disk[i], &subject))
            return true;
    return false;
}

int disk_refuse_bases(struct store *store, const char *vm, const char *path, const char *what, struct error *error)
{
    struct subject subject;
    struct vm_def *list;
    u32 count;
    char users[160] = "";
    size_t used = 0;
    int e = describe(&subject, store, vm, path, error);
    if (e)
        return e;
    e = store_vms_some(store, &list, &count, NULL, error);
    for (u32 v = 0; v < count; v++)
        for (u32 d = 0; d < list[v].disks && !(vm && name_equal(vm, list[v].name)); d++)
            if (used + 2 < sizeof(users) && stands_on(store, &list[v], &list[v].disk[d], &subject))
                used += (size_t)snprintf(users + used, sizeof(users) - used, "%s%s/%s", used ? ", " : "", list[v].name,
                                         list[v].disk[d].id);
    vm_defs_free(list, count);
    return e ? e : users[0] ? refuse(&subject, what, users, error) : 0;
}
