/*
 * Drives of VMs: added, changed, removed, listed.
 */
#include "manager/disk.h"

#include "manager/hot.h"
#include "manager/vm.h"
#include "store/definition.h"
#include "store/intent.h"
#include "store/qcow2.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* -- changes -- */

/* The steps that bring a definition back, and remove a file if `path`, below the VM's folder, is one. */
static json_t *undo_steps(const struct vm_def *def, const char *path)
{
    char vm_file[DEFINITION_PATH_MAX], folder[DEFINITION_PATH_MAX], file[2 * DEFINITION_PATH_MAX];
    definition_path("vms", def->name, "/vm.json", vm_file);
    definition_path("vms", def->name, "", folder);
    json_t *old = vm_def_json(def), *steps;
    snprintf(file, sizeof(file), "%s/%.90s", folder, path ? path : "");
    if (path && *path != '/')
        steps = intent_steps(2, intent_write(vm_file, old), intent_remove(file));
    else
        steps = intent_steps(1, intent_write(vm_file, old));
    json_decref(old);
    return steps;
}

static int remove_drive(struct store *store, const struct vm_def *def, const struct disk_def *disk, bool erase,
                        struct error *error);

static int add(struct store *store, struct vm_open *vm, const struct disk_new *disk, struct disk_def *to, bool runs,
               struct error *error)
{
    bool new = disk->size || disk->base;
    struct error ignored;
    int e = intent_begin(store, vm->def.name, "disk", undo_steps(&vm->def, new ? to->path : NULL), error);
    if (e)
        return e;
    struct vm_def changed = vm->def;
    changed.disk[changed.disks++] = *to;
    e = disk_make(store, &vm->def, disk, to, error);
    if (!e)
        e = store_vm_put(store, &changed, error);
    if (e) {
        intent_undo(store, vm->def.name);
        return e;
    }
    /* A command that is killed from here on leaves a drive that the VM has from its next start on. */
    e = intent_end(store, vm->def.name, error);
    if (!e && runs && (e = hot_disk_add(store, &changed, to, error)))
        (void)!remove_drive(store, &changed, &changed.disk[changed.disks - 1], new, &ignored);
    return e;
}

int disk_add(struct store *store, const char *name, const struct disk_new *disk, json_t **object, struct error *error)
{
    struct vm_open vm;
    struct disk_def to;
    bool runs;
    int e = vm_open_hot(store, name, "disk", &vm, &runs, error);
    if (e)
        return e;
    e = disk_choose(store, &vm.def, disk, &to, error);
    if (!e) {
        e = runs ? disk_hot(&to, error) : 0;
        if (!e)
            e = add(store, &vm, disk, &to, runs, error);
        *object = e ? NULL : vm_disk_json(&to);
        setting_texts_free(disk_settings_table, &to);
    }
    vm_close(&vm);
    return e;
}

/* -- by name -- */

static const char *drive_name(const void *def, unsigned index)
{
    const struct vm_def *d = def;
    return index < d->disks ? d->disk[index].id : NULL;
}

/* `drive` NULL: the VM's only disk. */
static struct disk_def *find_drive(struct vm_def *def, const char *drive, struct error *error)
{
    struct disk_def *found = NULL;
    char hint[sizeof(error->hint)] = "", word[NAME_WORD_MAX];
    u32 disks = 0;
    for (u32 i = 0; i < def->disks; i++)
        if (drive ? name_equal(def->disk[i].id, drive) : def->disk[i].kind == DISK_DISK) {
            found = &def->disk[i];
            disks++;
        }
    if (disks == 1)
        return found;
    if (!drive) {
        error_set(error, disks ? -EINVAL : -ENOENT, "VM %s has %s", def->name, disks ? "several disks" : "no disk");
        if (disks)
            snprintf(hint, sizeof(hint), "name one of them, as in %s", name_words(def->name, found->id, word));
    } else {
        const char *close = name_closest(drive, drive_name, def);
        error_set(error, -ENOENT, "VM %s has no drive %.40s", def->name, drive);
        if (close)
            snprintf(hint, sizeof(hint), "did you mean '%s/%s'?", def->name, close);
        else
            snprintf(hint, sizeof(hint), "`nestbox disk list %s` lists what there is", name_word(def->name, word));
    }
    error_hint(error, hint);
    return NULL;
}

/* Splits "VM/DRIVE". Returns the drive, or NULL if only the VM is named. */
static const char *split(const char *name, char vm[static NAME_MAX_LEN + 1])
{
    const char *slash = strchr(name, '/');
    snprintf(vm, NAME_MAX_LEN + 1, "%.*s", slash ? (int)(slash - name) : NAME_MAX_LEN, name);
    return slash ? slash + 1 : NULL;
}

static int open_drive(struct store *store, const char *name, struct vm_open *vm, struct disk_def **disk, bool *runs,
                      struct error *error)
{
    char own[NAME_MAX_LEN + 1];
    const char *drive = split(name, own);
    int e = vm_open_hot(store, own, "disk", vm, runs, error);
    if (e)
        return e;
    *disk = find_drive(&vm->def, drive, error);
    if (!*disk)
        vm_close(vm);
    return *disk ? 0 : error->code;
}

/* -- set, remove -- */

/* Another image in a drive: it must be there. */
static int take_image(struct store *store, struct vm_def *def, struct disk_def *disk, struct disk_def *taken,
                      struct error *error)
{
    struct disk_new new;
    struct vm_def others = *def;
    disk_new_init(&new);
    new.def = *disk;
    others.disks = 0; /* its place is its own */
    if (!disk->path || !*disk->path) {
        if (disk->kind == DISK_DISK)
            return error_set(error, -EINVAL, "a disk without an image is none; `nestbox disk remove` takes it away");
        *taken = *disk;
        taken->path = taken->format = NULL;
        return 0;
    }
    return disk_choose(store, &others, &new, taken, error);
}

static int apply_change(struct store *store, struct vm_def *def, struct disk_def *disk, bool runs,
                        const struct change *change, struct error *error)
{
    struct disk_def changed = *disk, others[VM_DISKS_MAX], taken = {0};
    u32 count = 0;
    changed.path = changed.format = NULL;
    for (u32 i = 0; i < def->disks; i++)
        if (&def->disk[i] != disk)
            others[count++] = def->disk[i];
    int e = change->apply(change, &changed, error);
    if (!e && changed.kind != disk->kind)
        e = error_set(error, -EINVAL, "drive %s is a %s for good", disk->id, disk_kind_name(disk->kind));
    if (!e && changed.bus != disk->bus && changed.controller == disk->controller && changed.location == disk->location)
        changed.controller = changed.location = DISK_ANYWHERE;
    if (!e)
        e = disk_place(&changed, def->set.generation, others, count, error);
    bool other_image = changed.path != NULL;
    if (!e && other_image)
        e = take_image(store, def, &changed, &taken, error);
    else if (!e && changed.format)
        e = error_set(error, -EINVAL, SETTING("format") " is that of a " SETTING("path") ", which is not given");
    if (e)
        return e;
    struct vm_def whole = *def;
    struct disk_def *place = &whole.disk[disk - def->disk];
    *place = changed;
    strcpy(place->id, disk->id);
    place->path = other_image ? taken.path : disk->path;
    place->format = other_image ? taken.format : disk->format;
    e = runs ? hot_disk_set(store, &whole, disk, place, error) : 0;
    if (!e)
        e = store_vm_put(store, &whole, error);
    setting_texts_free(disk_settings_table, &taken);
    return e;
}

int disk_set(struct store *store, const char *name, const struct change *change, struct error *error)
{
    struct vm_open vm;
    struct disk_def *disk;
    bool runs;
    int e = open_drive(store, name, &vm, &disk, &runs, error);
    if (e)
        return e;
    e = apply_change(store, &vm.def, disk, runs, change, error);
    vm_close(&vm);
    return e;
}

/* The path of an image below the home folder, if it lies in the VM's. */
static bool own_file(const struct vm_def *def, const struct disk_def *disk, char *path, size_t size)
{
    char folder[DEFINITION_PATH_MAX];
    definition_path("vms", def->name, "", folder);
    return disk->path && disk->path[0] != '/' && snprintf(path, size, "%s/%s", folder, disk->path) < (int)size;
}

static int remove_drive(struct store *store, const struct vm_def *def, const struct disk_def *disk, bool erase,
                        struct error *error)
{
    char path[PATH_MAX], file[PATH_MAX], vm_file[DEFINITION_PATH_MAX];
    struct vm_def without = *def;
    u32 at = (u32)(disk - def->disk);
    memmove(&without.disk[at], &without.disk[at + 1], (--without.disks - at) * sizeof(without.disk[0]));
    if (!erase || !own_file(def, disk, path, sizeof(path)))
        return store_vm_put(store, &without, error);
    int e = store_disk_path(store, def, disk, file, sizeof(file), error);
    if (!e)
        e = disk_refuse_bases(store, NULL, file, "deleted", error);
    if (e)
        return e;
    definition_path("vms", def->name, "/vm.json", vm_file);
    json_t *object = vm_def_json(&without);
    e = intent_finish(store, def->name, "disk", intent_steps(2, intent_write(vm_file, object), intent_remove(path)),
                      error);
    json_decref(object);
    return e;
}

int disk_remove(struct store *store, const char *name, bool erase, struct error *error)
{
    struct vm_open vm;
    struct disk_def *disk;
    bool runs;
    int e = open_drive(store, name, &vm, &disk, &runs, error);
    if (e)
        return e;
    e = runs ? hot_disk_remove(store, &vm.def, disk, error) : 0;
    if (!e)
        e = remove_drive(store, &vm.def, disk, erase, error);
    vm_close(&vm);
    return e;
}

/* -- list -- */

static json_t *drive_json(const struct store *store, const struct vm_def *def, const struct disk_def *disk)
{
    json_t *object = vm_disk_json(disk);
    char path[PATH_MAX];
    struct error ignored;
    struct qcow2_head head;
    struct stat st;
    json_object_set_new(object, "vm", json_string(def->name));
    json_object_set_new(object, "file", json_null());
    if (!disk->path || store_disk_path(store, def, disk, path, sizeof(path), &ignored))
        return object;
    json_object_set_new(object, "file", json_string(path));
    if (stat(path, &st))
        return object;
    bool qcow2 = !qcow2_read(AT_FDCWD, path, &head);
    json_object_set_new(object, "size", json_integer(qcow2 ? (json_int_t)head.size : (json_int_t)st.st_size));
    json_object_set_new(object, "bytes", json_integer((json_int_t)st.st_blocks * 512));
    bool stands = qcow2 && head.backing[0];
    const char *base = stands && qcow2_go_below(path, sizeof(path)) ? path : head.backing; /* it may be missing */
    json_object_set_new(object, "base", stands ? json_string(base) : json_null());
    return object;
}

int disk_list(struct store *store, const char *vm, json_t **list, struct error *error)
{
    struct vm_def *all = NULL, one;
    u32 count = 0;
    struct error damaged;
    int e = vm ? store_vm(store, vm, &one, error) : vm_read_all(store, &all, &count, &damaged, error);
    if (e)
        return e;
    *list = json_array();
    for (u32 v = 0; v < (vm ? 1 : count); v++) {
        const struct vm_def *def = vm ? &one : &all[v];
        for (u32 d = 0; d < def->disks; d++)
            (void)!json_array_append_new(*list, drive_json(store, def, &def->disk[d]));
    }
    if (vm)
        vm_def_free(&one);
    vm_defs_free(all, count);
    return 0;
}

/* -- images by name -- */

static int open_file(const char *name, struct disk_image *image, struct error *error)
{
    int e = disk_find_file(name, image->path, error);
    return e ? e : disk_detect(image->path, NULL, &image->format, error);
}

int disk_image_open(struct store *store, const char *name, const char *what, struct disk_image *image,
                    struct error *error)
{
    char vm_name[NAME_MAX_LEN + 1];
    const char *drive = split(name, vm_name);
    struct vm_open vm;
    struct stat st;
    *image = (struct disk_image){.lock = -1};
    if (name[0] == '/' || name[0] == '.')
        return open_file(name, image, error);
    int e = vm_open_off(store, vm_name, what, &vm, error);
    if (e == -ENOENT && !stat(name, &st))
        return open_file(name, image, error);
    if (e == -ENOENT) {
        error_set(error, e, "there is no VM and no file %.100s", name);
        return error_hint(error, "`nestbox list` lists VMs, `nestbox disk list` their disks");
    }
    if (e)
        return e;
    const struct disk_def *disk = find_drive(&vm.def, drive, error);
    e = disk ? 0 : error->code;
    if (!e && !disk->path)
        e = error_set(error, -ENOENT, "drive %s of VM %s is empty", disk->id, vm.def.name);
    if (!e)
        e = store_disk_path(store, &vm.def, disk, image->path, sizeof(image->path), error);
    if (!e && !(image->format = strdup(disk->format ? disk->format : "raw")))
        e = error_memory(error);
    if (e) {
        vm_close(&vm);
        return e;
    }
    image->def = vm.def;
    image->lock = vm.lock;
    return 0;
}

void disk_image_close(struct disk_image *image)
{
    struct vm_open vm = {image->def, image->lock};
    if (image->lock >= 0)
        vm_close(&vm);
    free((char *)(uintptr_t)image->format);
}
