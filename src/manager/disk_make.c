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
        return error_set(error, -errno, "%.200s: %s", path, strerror(errno));
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
    struct damage damage = {0};
    store_tolerate(store, &damage);
    int e = store_vms(store, &list, &count, error);
    store_tolerate(store, NULL);
    free(damage.list);
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

static int detect(const char *real, const char *format, const char **found, struct error *error)
{
    json_t *info;
    int e = qemu_img_info(real, format && *format ? format : NULL, &info, error);
    if (e)
        return e;
    *found = strdup(json_string_value(json_object_get(info, "format")) ?: "raw");
    json_decref(info);
    return *found ? 0 : definition_no_memory(error);
}

/* Takes an image that is there. */
static int take_file(struct store *store, struct disk_def *disk, const char *path, const char *format,
                     struct error *error)
{
    char real[PATH_MAX];
    int e = disk_find_file(path, real, error);
    if (!e && !disk->read_only)
        e = refuse_used(store, real, error);
    if (!e)
        e = detect(real, format, &disk->format, error);
    if (!e && !(disk->path = strdup(real)))
        e = definition_no_memory(error);
    return e;
}

/* Chooses the name of a new image in the VM's folder. */
static int choose_file(struct store *store, const struct vm_def *def, const char *id, char path[static PATH_MAX],
                       const char **relative, struct error *error)
{
    char name[64], folder[PATH_MAX];
    int e = store_vm_path(store, def->name, "disks", folder, sizeof(folder), error);
    if (e)
        return e;
    *strrchr(folder, '/') = 0;
    (void)!mkdir(folder, 0700);
    folder[strlen(folder)] = '/';
    if (mkdir(folder, 0700) && errno != EEXIST)
        return error_set(error, -errno, "%.200s: %s", folder, strerror(errno));
    for (unsigned i = 1; i < 10000; i++) {
        snprintf(name, sizeof(name), i == 1 ? "disks/%s.qcow2" : "disks/%s-%u.qcow2", id, i);
        e = store_vm_path(store, def->name, name, path, PATH_MAX, error);
        if (!e && access(path, F_OK)) {
            *relative = strdup(name);
            return *relative ? 0 : definition_no_memory(error);
        }
    }
    return e ? e : error_set(error, -ENOSPC, "VM %s has too many images", def->name);
}

static int make_image(struct store *store, const struct vm_def *def, const struct disk_new *disk, struct disk_def *to,
                      char *made, size_t size, struct error *error)
{
    char path[PATH_MAX], base[PATH_MAX];
    const char *base_format = NULL;
    int e = disk->base ? disk_find_file(disk->base, base, error) : 0;
    if (!e && disk->base)
        e = detect(base, disk->base_format, &base_format, error);
    if (!e)
        e = choose_file(store, def, to->id, path, &to->path, error);
    if (!e && !(to->format = strdup("qcow2")))
        e = definition_no_memory(error);
    if (!e) {
        snprintf(made, size, "%s", path + strlen(store_home(store)) + 1);
        e = qemu_img_create(path, "qcow2", disk->size, disk->base ? base : NULL, base_format, error);
    }
    if (e && to->path && made[0])
        unlink(path);
    free((char *)(uintptr_t)base_format);
    return e;
}

int disk_make(struct store *store, struct vm_def *def, const struct disk_new *disk, char *made, size_t size,
              struct error *error)
{
    struct disk_def to = disk->def;
    bool new = disk->size || disk->base;
    u32 n = 0;
    made[0] = 0;
    to.path = to.format = NULL;
    if (def->disks == VM_DISKS_MAX)
        return error_set(error, -ENOSPC, "VM %s has %u drives, and no more are possible", def->name, VM_DISKS_MAX);
    int e = disk_place(&to, def->set.generation, def->disk, def->disks, error);
    for (disk_id(to.kind, n, to.id); drive_of_id(def, to.id); disk_id(to.kind, ++n, to.id))
        ;
    if (to.kind == DISK_CD)
        to.read_only = true;
    if (!e && to.kind == DISK_CD && new)
        e = error_set(error, -EINVAL, "a CD has no size: an image is put into its drive");
    if (!e && new)
        e = make_image(store, def, disk, &to, made, size, error);
    else if (!e && disk->def.path && *disk->def.path)
        e = take_file(store, &to, disk->def.path, disk->def.format, error);
    else if (!e && to.kind == DISK_DISK)
        e = error_set(error, -EINVAL, "a disk needs a size or an image");
    if (e)
        setting_texts_free(disk_settings_table, &to);
    else
        def->disk[def->disks++] = to;
    return e;
}
