/*
 * A drive of a VM that is created or gets one more: its id, its place, its image.
 */
#include "manager/disk.h"
#include "manager/qemu_img.h"
#include "store/definition.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE_MIN (1ull << 20)

void disk_new_init(struct disk_new *disk)
{
    *disk = (struct disk_new){0};
    setting_defaults(disk_settings_table, &disk->def);
    disk->def.bus = BUS_ANY;
    disk->def.controller = disk->def.location = DISK_ANYWHERE;
}

int disk_new_source(struct disk_new *disk, const char *source, struct error *error)
{
    u64 size;
    if (setting_parse_size(source, &size)) {
        if (size < SIZE_MIN || size > 64ull << 40)
            return error_set(error, -EINVAL, "a disk has 1 MiB to 64 TiB, and %.40s is none of that", source);
        disk->size = size;
    } else {
        disk->def.path = source;
    }
    return 0;
}

int disk_find_file(const char *path, char real[static PATH_MAX], struct error *error)
{
    struct stat st;
    if (!realpath(path, real) || stat(real, &st))
        return error_path(error, -errno, path);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return error_set(error, -EINVAL, "%.200s is neither a file nor a block device", path);
    return 0;
}

static const struct disk_def *drive_of_id(const struct vm_def *def, const char *id)
{
    for (u32 i = 0; i < def->disks; i++)
        if (strcmp(def->disk[i].id, id) == 0)
            return &def->disk[i];
    return NULL;
}

/* A disk that two VMs write to is lost. */
static int refuse_used(struct store *store, const char *real, struct error *error)
{
    struct vm_def *list;
    u32 count;
    int e = store_vms_some(store, &list, &count, NULL, error);
    for (u32 v = 0; v < count && !e; v++)
        for (u32 d = 0; d < list[v].disks && !e; d++) {
            char path[PATH_MAX], other[PATH_MAX];
            struct error ignored;
            const struct disk_def *disk = &list[v].disk[d];
            if (!disk->path || disk->read_only || disk->kind == DISK_CD ||
                store_disk_path(store, &list[v], disk, path, sizeof(path), &ignored) || !realpath(path, other) ||
                strcmp(other, real) != 0)
                continue;
            error_set(error, -EBUSY, "%.200s is %s of VM %s", real, disk->id, list[v].name);
            e = error_hint(error, SETTING("base") " makes a disk that stands on it and leaves it as it is");
        }
    vm_defs_free(list, count);
    return e;
}

int disk_detect(const char *real, const char *format, const char **found, struct error *error)
{
    json_t *info;
    int e = qemu_img_info(real, format && *format ? format : NULL, &info, error);
    if (e)
        return e;
    *found = strdup(json_string_value(json_object_get(info, "format")) ?: "raw");
    json_decref(info);
    return *found ? 0 : error_memory(error);
}

/* Takes an image that is there. */
static int take_file(struct store *store, const struct vm_def *def, struct disk_def *disk, const char *path,
                     const char *format, struct error *error)
{
    char real[PATH_MAX], folder[PATH_MAX], own[PATH_MAX];
    int e = disk_find_file(path, real, error);
    if (!e)
        e = store_vm_path(store, def->name, "", folder, sizeof(folder), error);
    size_t length = !e && realpath(folder, own) ? strlen(own) : 0;
    bool inside = length && strncmp(real, own, length) == 0 && real[length] == '/';
    if (!e && !disk->read_only)
        e = refuse_used(store, real, error);
    if (!e && !disk->read_only)
        e = disk_refuse_bases(store, NULL, real, "given to a VM that writes to it", error);
    if (!e)
        e = disk_detect(real, format, &disk->format, error);
    if (!e && !(disk->path = strdup(inside ? real + length + 1 : real))) /* which a new name of the VM does not move */
        e = error_memory(error);
    return e;
}

/* One that no file has, and no drive. */
int disk_choose_file(struct store *store, const struct vm_def *def, const char *id, struct disk_def *to,
                     struct error *error)
{
    for (unsigned i = 1; i < 10000; i++) {
        char name[64], path[PATH_MAX];
        bool used = false;
        snprintf(name, sizeof(name), i == 1 ? "disks/%s.qcow2" : "disks/%s-%u.qcow2", id, i);
        for (u32 d = 0; d < def->disks; d++)
            used |= def->disk[d].path && strcmp(def->disk[d].path, name) == 0;
        int e = store_vm_path(store, def->name, name, path, sizeof(path), error);
        if (e)
            return e;
        if (used || !access(path, F_OK))
            continue;
        to->path = strdup(name);
        to->format = strdup("qcow2");
        return to->path && to->format ? 0 : error_memory(error);
    }
    return error_set(error, -ENOSPC, "VM %s has too many images", def->name);
}

int disk_choose(struct store *store, const struct vm_def *def, const struct disk_new *disk, struct disk_def *to,
                struct error *error)
{
    bool new = disk->size || disk->base;
    u32 n = 0;
    *to = disk->def;
    to->path = to->format = NULL;
    if (def->disks == VM_DISKS_MAX)
        return error_set(error, -ENOSPC, "VM %s has %u drives, and no more are possible", def->name, VM_DISKS_MAX);
    int e = disk_place(to, def->set.generation, def->disk, def->disks, error);
    for (disk_id(to->kind, n, to->id); drive_of_id(def, to->id); disk_id(to->kind, ++n, to->id))
        ;
    if (to->kind == DISK_CD)
        to->read_only = true;
    if (!e && to->kind == DISK_CD && new)
        e = error_set(error, -EINVAL, "a CD has no size: an image is put into its drive");
    if (!e && new)
        e = disk_choose_file(store, def, to->id, to, error);
    else if (!e && disk->def.path && *disk->def.path)
        e = take_file(store, def, to, disk->def.path, disk->def.format, error);
    else if (!e && to->kind == DISK_DISK)
        e = error_set(error, -EINVAL, "a disk needs a size or an image");
    if (e)
        setting_texts_free(disk_settings_table, to);
    return e;
}

static int make_folder(struct store *store, const char *vm, const char *what, struct error *error)
{
    char folder[PATH_MAX];
    int e = store_vm_path(store, vm, what, folder, sizeof(folder), error);
    return e || !mkdir(folder, 0700) || errno == EEXIST ? e : error_path(error, -errno, folder);
}

int disk_make_folder(struct store *store, const char *vm, struct error *error)
{
    int e = make_folder(store, vm, "", error);
    return e ? e : make_folder(store, vm, "disks", error);
}

/* How a new disk of a VM names what it stands on: relative to itself where that is in the home folder, which may move.
 * Folders of images that are links to elsewhere have names from the root. */
static void name_base(const struct store *store, const char *path, const char *base, char to[static PATH_MAX])
{
    char folder[PATH_MAX], real[PATH_MAX], home[PATH_MAX], vms[PATH_MAX + 8];
    size_t length;
    snprintf(to, PATH_MAX, "%s", base);
    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(path, '/') - path), path);
    if (!realpath(folder, real) || !realpath(store_home(store), home))
        return;
    length = strlen(real);
    if (strncmp(base, real, length) == 0 && base[length] == '/') {
        snprintf(to, PATH_MAX, "%s", base + length + 1);
        return;
    }
    length = strlen(home);
    snprintf(vms, sizeof(vms), "%s/vms/", home);
    const char *below = strncmp(real, vms, strlen(vms)) == 0 ? strchr(real + strlen(vms), '/') : NULL;
    if (below && strcmp(below, "/disks") == 0 && strncmp(base, home, length) == 0 && base[length] == '/')
        snprintf(to, PATH_MAX, "../../..%.4000s", base + length);
}

int disk_make(struct store *store, const struct vm_def *def, const struct disk_new *disk, const struct disk_def *to,
              struct error *error)
{
    char path[PATH_MAX], base[PATH_MAX], named[PATH_MAX];
    const char *base_format = NULL;
    if (!disk->size && !disk->base)
        return 0;
    int e = disk->base ? disk_find_file(disk->base, base, error) : 0;
    if (!e && disk->base)
        e = disk_detect(base, disk->base_format, &base_format, error);
    if (!e)
        e = disk_make_folder(store, def->name, error);
    if (!e)
        e = store_disk_path(store, def, to, path, sizeof(path), error);
    if (!e && disk->base)
        name_base(store, path, base, named);
    if (!e && disk->base)
        e = store_vm_base_add(store, def->name, base, error);
    if (!e)
        e = qemu_img_create(path, "qcow2", disk->size, disk->base ? named : NULL, base_format, error);
    free((char *)(uintptr_t)base_format);
    return e;
}
