/*
 * A linked clone needs images that nobody writes to. Those of a template are such; any other original gets a new file
 * on top of each of its images first, in which it goes on, as the clone does in its own. Both VMs are locked.
 */
#include "manager/clone.h"

#include "manager/card.h"
#include "manager/qemu_img.h"
#include "manager/seed.h"
#include "manager/vm.h"
#include "process/task.h"
#include "store/definition.h"
#include "store/intent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

/* Does the clone get an image of its own? A CD and what is only read are shared. */
static bool is_copied(const struct disk_def *disk)
{
    return disk->path && disk->kind != DISK_CD && !disk->read_only;
}

/* -- the original of a linked clone -- */

/* Undoes all: the definition as it was, and no file on top of an image. */
static json_t *undo_original(const struct vm_def *old, const struct vm_def *changed)
{
    char vm_file[DEFINITION_PATH_MAX], folder[DEFINITION_PATH_MAX], file[2 * DEFINITION_PATH_MAX];
    definition_path("vms", old->name, "/vm.json", vm_file);
    definition_path("vms", old->name, "", folder);
    json_t *object = vm_def_json(old), *steps = intent_steps(1, intent_write(vm_file, object));
    json_decref(object);
    for (u32 i = 0; i < changed->disks && steps; i++)
        if (is_copied(&changed->disk[i])) {
            snprintf(file, sizeof(file), "%s/%.90s", folder, changed->disk[i].path);
            (void)!json_array_append_new(steps, intent_remove(file));
        }
    return steps;
}

static void request_on(const struct disk_def *disk, const char *base, struct disk_new *new)
{
    disk_new_init(new);
    new->def = *disk;
    new->def.path = new->def.format = NULL;
    new->base = base;
    new->base_format = disk->format;
}

/* Chooses names for the files on top. Paths and formats of those disks in `changed` are its own. */
static int choose_tops(struct store *store, struct vm_def *changed, u32 *done, struct error *error)
{
    int e = 0;
    for (*done = 0; *done < changed->disks && !e; ++*done) {
        struct disk_def *disk = &changed->disk[*done];
        struct disk_def to;
        if (!is_copied(disk))
            continue;
        e = disk_choose_file(store, changed, disk->id, &to, error);
        if (e)
            break;
        disk->path = to.path;
        disk->format = to.format;
    }
    return e;
}

static int make_tops(struct store *store, const struct vm_def *old, const struct vm_def *changed, struct error *error)
{
    int e = 0;
    for (u32 i = 0; i < old->disks && !e; i++) {
        char base[PATH_MAX];
        struct disk_new new;
        if (!is_copied(&old->disk[i]))
            continue;
        e = store_disk_path(store, old, &old->disk[i], base, sizeof(base), error);
        request_on(&old->disk[i], base, &new);
        if (!e)
            e = disk_make(store, changed, &new, &changed->disk[i], error);
    }
    return e ? e : store_vm_put(store, changed, error);
}

/* The original goes on in new files; its images are for all from now on. */
static int freeze(struct store *store, const struct vm_def *old, struct error *error)
{
    struct vm_def changed = *old;
    u32 chosen;
    int e = choose_tops(store, &changed, &chosen, error);
    if (!e)
        e = intent_begin(store, old->name, "clone", undo_original(old, &changed), error);
    if (!e) {
        e = make_tops(store, old, &changed, error);
        if (e)
            intent_undo(store, old->name);
        else
            e = intent_end(store, old->name, error);
    }
    for (u32 i = 0; i < chosen; i++)
        if (is_copied(&changed.disk[i])) {
            free((char *)(uintptr_t)changed.disk[i].path);
            free((char *)(uintptr_t)changed.disk[i].format);
        }
    return e;
}

/* -- the clone -- */

static int copy_disk(struct store *store, const struct vm_def *from, const struct disk_def *disk, struct vm_def *to,
                     const struct clone_kind *kind, const struct progress *progress, struct error *error)
{
    char base[PATH_MAX], path[PATH_MAX];
    struct disk_def *copy = &to->disk[to->disks];
    struct disk_new new;
    int e = store_disk_path(store, from, disk, base, sizeof(base), error);
    if (e)
        return e;
    *copy = *disk;
    e = disk_choose_file(store, to, disk->id, copy, error);
    if (e)
        return e;
    to->disks++;
    request_on(disk, base, &new);
    if (kind->linked)
        return disk_make(store, to, &new, copy, error);
    e = disk_make_folder(store, to->name, error);
    if (!e)
        e = store_disk_path(store, to, copy, path, sizeof(path), error);
    const char *const args[] = {"convert", "-p", "-f", disk->format, "-O", "qcow2", base, path, NULL};
    return e ? e : qemu_img(args, progress, disk->id, NULL, error);
}

/* A drive that both share: an image by its absolute path. */
static int share_disk(struct store *store, const struct vm_def *from, const struct disk_def *disk, struct vm_def *to,
                      struct error *error)
{
    char path[PATH_MAX];
    struct disk_def *copy = &to->disk[to->disks];
    int e = disk->path ? store_disk_path(store, from, disk, path, sizeof(path), error) : 0;
    if (e)
        return e;
    *copy = *disk;
    copy->path = disk->path ? strdup(path) : NULL;
    copy->format = disk->format ? strdup(disk->format) : NULL;
    to->disks++;
    return (disk->path && !copy->path) || (disk->format && !copy->format) ? error_memory(error) : 0;
}

/* The drive of a seed, which is not the original's: the clone is another machine. */
static int copy_seed(struct store *store, const struct vm_def *from, const struct disk_def *disk, struct vm_def *to,
                     struct error *error)
{
    struct disk_def *copy = &to->disk[to->disks];
    int e = disk_make_folder(store, to->name, error);
    if (!e)
        e = seed_clone(store, from, to, error);
    if (e)
        return e;
    *copy = *disk;
    copy->path = strdup(disk->path);
    copy->format = strdup(disk->format);
    to->disks++;
    return copy->path && copy->format ? 0 : error_memory(error);
}

static int copy_disks(struct store *store, const struct vm_def *from, struct vm_def *to, const struct clone_kind *kind,
                      const struct progress *progress, struct error *error)
{
    int e = 0;
    for (u32 i = 0; i < from->disks && !e; i++)
        e = is_copied(&from->disk[i]) ? copy_disk(store, from, &from->disk[i], to, kind, progress, error)
            : seed_is(&from->disk[i]) ? copy_seed(store, from, &from->disk[i], to, error)
                                      : share_disk(store, from, &from->disk[i], to, error);
    return e;
}

/* UEFI's variables, with the order of boot. */
static int copy_firmware(struct store *store, const char *from, const char *to, struct error *error)
{
    char old[PATH_MAX], new[PATH_MAX];
    struct stat st;
    int e = store_vm_path(store, from, "firmware.fd", old, sizeof(old), error);
    if (!e)
        e = store_vm_path(store, to, "firmware.fd", new, sizeof(new), error);
    if (e || stat(old, &st))
        return e;
    e = disk_make_folder(store, to, error);
    if (e)
        return e;
    int in = open(old, O_RDONLY | O_CLOEXEC), out = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    off_t left = st.st_size;
    while (in >= 0 && out >= 0 && left > 0) {
        ssize_t n = sendfile(out, in, NULL, (size_t)left);
        if (n <= 0)
            break;
        left -= n;
    }
    if (in < 0 || out < 0 || left > 0 || fsync(out))
        e = error_set(error, errno ? -errno : -EIO, "%.200s cannot be copied: %s", old, strerror(errno ? errno : EIO));
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return e;
}

static int copy_cards(struct store *store, const char *from, const char *to, json_t *switches, struct error *error)
{
    struct networks all;
    int e = networks_read(store, &all, error);
    if (e)
        return e;
    for (u32 i = 0; i < all.card_count && !e; i++) {
        struct card_def card = all.cards[i];
        json_t *object = NULL;
        if (!name_equal(card.vm, from) || networks_card(&all, to, card.name))
            continue;
        strcpy(card.vm, to);
        card.id[0] = 0;
        card.set.mac = NULL;
        e = nic_add(store, &card, &object, error);
        json_decref(object);
        (void)!json_object_set_new(switches, all.cards[i].set.switch_name, json_true());
    }
    networks_free(&all);
    return e;
}

static int make_clone(struct store *store, const struct vm_def *from, struct vm_def *to, const struct clone_kind *kind,
                      const struct progress *progress, struct error *error)
{
    const char *key;
    json_t *value, *switches = json_object();
    sigset_t before;
    int e = intent_begin(store, to->name, "clone", vm_undo_create(store, to->name), error);
    if (e)
        return e;
    task_hold_signals(&before);
    e = copy_disks(store, from, to, kind, progress, error);
    if (!e)
        e = store_vm_bases_copy(store, from->name, to->name, error);
    if (!e)
        e = copy_firmware(store, from->name, to->name, error);
    if (!e)
        e = copy_cards(store, from->name, to->name, switches, error);
    if (!e)
        e = task_cancelled(error);
    if (!e)
        e = store_vm_create(store, to, error);
    if (!e)
        e = intent_end(store, to->name, error);
    if (e) {
        intent_undo(store, to->name);
        json_object_foreach (switches, key, value)
            vm_refresh_switch(store, key);
    }
    task_end_signals(&before, e);
    json_decref(switches);
    return e;
}

static int check(struct store *store, const struct vm_def *def, const char *new_name, struct error *error)
{
    struct vm_now now;
    struct vm_def other;
    int e = vm_now(store, def, &now, error);
    if (!e)
        e = vm_now_allows(def, &now, VM_CLONE, error);
    json_decref(now.report);
    if (e)
        return e;
    e = store_vm(store, new_name, &other, error);
    if (!e) {
        error_set(error, -EEXIST, "there is already a VM %s", other.name);
        vm_def_free(&other);
        return error->code;
    }
    return e == -ENOENT ? 0 : e;
}

static int clone_locked(struct store *store, const char *name, const char *new_name, const struct clone_kind *kind,
                        const struct progress *progress, struct error *error)
{
    struct vm_def from, to;
    int e = store_vm(store, name, &from, error);
    if (e)
        return e;
    e = check(store, &from, new_name, error);
    if (!e) {
        to = from;
        to.disks = 0;
        to.id[0] = to.checkpoint[0] = 0;
        to.created = 0;
        to.set.template = kind->template;
        strcpy(to.name, new_name);
        e = vm_def_own(&to) ? error_memory(error) : 0;
        if (!e && kind->linked && !from.set.template)
            e = freeze(store, &from, error);
        if (!e)
            e = make_clone(store, &from, &to, kind, progress, error);
        vm_def_free(&to);
    }
    vm_def_free(&from);
    return e;
}

int vm_clone(struct store *store, const char *name, const char *new_name, const struct clone_kind *kind,
             const struct progress *progress, struct error *error)
{
    struct vm_def def;
    char own[NAME_MAX_LEN + 1];
    struct vm_two two;
    int e = name_check("a VM", new_name, error);
    if (!e)
        e = store_vm(store, name, &def, error);
    if (e)
        return e;
    strcpy(own, def.name);
    vm_def_free(&def);
    if (name_equal(own, new_name))
        return error_set(error, -EEXIST, "there is already a VM %s", own);
    e = vm_lock_two(store, own, new_name, "clone", &two, error);
    if (e)
        return e;
    e = clone_locked(store, own, new_name, kind, progress, error);
    vm_unlock_two(store, &two);
    return e;
}
