/*
 * What checkpoints have on disk. An image on top of another one names it by a path relative to itself where both are in
 * the VM's folder, so that the VM can get another name.
 */
#include "manager/checkpoint_files.h"

#include "manager/disk.h"
#include "manager/life.h"
#include "manager/qemu_img.h"
#include "store/file.h"
#include "store/intent.h"
#include "store/merge.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* -- paths -- */

void checkpoint_below(const char *vm, const char *what, char path[static PATH_MAX])
{
    char folded[NAME_MAX_LEN + 1];
    name_fold(vm, folded);
    snprintf(path, PATH_MAX, "vms/%s/%s", folded, what);
}

void checkpoint_file(const char *vm, const char *id, char path[static PATH_MAX])
{
    char what[80];
    snprintf(what, sizeof(what), "checkpoints/%.40s/checkpoint.json", id);
    checkpoint_below(vm, what, path);
}

/* Of a file in the folder of a checkpoint, absolute. */
static int inside(struct store *store, const char *vm, const char *id, const char *what, char path[static PATH_MAX],
                  struct error *error)
{
    char below[PATH_MAX];
    snprintf(below, sizeof(below), "checkpoints/%.40s/%.200s", id, what);
    return store_vm_path(store, vm, below, path, PATH_MAX, error);
}

int checkpoint_make_folder(struct store *store, const char *vm, const char *id, char path[static PATH_MAX],
                           struct error *error)
{
    char names[3][80] = {"checkpoints"};
    snprintf(names[1], sizeof(names[1]), "checkpoints/%.40s/tpm", id);
    snprintf(names[2], sizeof(names[2]), "checkpoints/%.40s", id);
    for (u32 i = 0; i < 3; i++) {
        checkpoint_below(vm, names[(u32[]){0, 2, 1}[i]], path);
        if (mkdirat(store->folder, path, 0700) && errno != EEXIST)
            return error_path(error, -errno, path);
    }
    checkpoint_below(vm, names[2], path);
    return 0;
}

/* -- reading -- */

static json_int_t number_of(const json_t *checkpoint, const char *key)
{
    return json_integer_value(json_object_get(checkpoint, key));
}

static int by_time(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    const char *key = number_of(x, "created") == number_of(y, "created") ? "nanoseconds" : "created";
    json_int_t m = number_of(x, key), n = number_of(y, key);
    return m < n ? -1 : m > n;
}

/* Where the parent of one is behind it, or its own place. */
static u32 late_parent(const struct checkpoints *all, u32 of)
{
    const char *parent = json_string_value(json_object_get(all->list[of], "parent"));
    for (u32 i = of + 1; i < all->count && parent; i++) {
        const char *id = json_string_value(json_object_get(all->list[i], "id"));
        if (id && strcmp(id, parent) == 0)
            return i;
    }
    return of;
}

/* A parent is older than what stands on it, also if the host's clock was set back between them. */
static void parents_first(struct checkpoints *all)
{
    for (u32 i = 0; i < all->count; i++)
        for (u32 tries = 0, from; tries < all->count && (from = late_parent(all, i)) != i; tries++) {
            json_t *parent = all->list[from];
            memmove(&all->list[i + 1], &all->list[i], (from - i) * sizeof(parent));
            all->list[i] = parent;
        }
}

static int add(struct store *store, const struct vm_def *def, const char *id, struct checkpoints *all,
               struct error *error)
{
    char path[PATH_MAX];
    json_t *object, **bigger = realloc(all->list, (all->count + 1) * sizeof(*bigger));
    if (!bigger)
        return error_memory(error);
    all->list = bigger;
    checkpoint_file(def->name, id, path);
    int e = file_read(store->folder, path, &object, error);
    if (e == -ENOENT)
        return 0; /* one that is just being taken */
    if (!e)
        all->list[all->count++] = object;
    return e;
}

int checkpoints_read(struct store *store, const struct vm_def *def, struct checkpoints *all, struct error *error)
{
    char path[PATH_MAX];
    struct dirent *entry;
    *all = (struct checkpoints){0};
    int e = store_vm_path(store, def->name, "checkpoints", path, sizeof(path), error);
    DIR *dir = e ? NULL : opendir(path);
    while (!e && dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            e = add(store, def, entry->d_name, all, error);
    if (dir)
        closedir(dir);
    if (e)
        checkpoints_free(all);
    else if (all->count)
        qsort(all->list, all->count, sizeof(all->list[0]), by_time);
    parents_first(all);
    return e;
}

void checkpoints_free(struct checkpoints *all)
{
    for (u32 i = 0; i < all->count; i++)
        json_decref(all->list[i]);
    free(all->list);
    *all = (struct checkpoints){0};
}

json_t *checkpoints_find(const struct checkpoints *all, const char *name)
{
    for (u32 i = 0; i < all->count; i++)
        if (strcasecmp(text_of(all->list[i], "id"), name) == 0 || strcasecmp(text_of(all->list[i], "name"), name) == 0)
            return all->list[i];
    return NULL;
}

static json_t *file_json(const char *path)
{
    struct stat st;
    return stat(path, &st) ? json_pack("{s:s, s:n}", "path", path, "bytes")
                           : json_pack("{s:s, s:I}", "path", path, "bytes", (json_int_t)st.st_blocks * 512);
}

/* The absolute path of a disk's image. */
static int image_path(struct store *store, const char *vm, const json_t *disk, char path[static PATH_MAX],
                      struct error *error)
{
    const char *own = text_of(json_object_get(disk, "settings"), "path");
    if (own[0] != '/')
        return store_vm_path(store, vm, own, path, PATH_MAX, error);
    snprintf(path, PATH_MAX, "%s", own);
    return 0;
}

json_t *checkpoint_json(struct store *store, const struct vm_def *def, const json_t *checkpoint)
{
    static const char *const keys[] = {"id", "name", "kind", "created", "parent"};
    const char *id = text_of(checkpoint, "id");
    json_t *object = json_object(), *disks = json_object(), *disk;
    char path[PATH_MAX];
    struct error ignored;
    struct stat st;
    size_t i;
    for (i = 0; i < ARRAY_LEN(keys); i++)
        (void)!json_object_set(object, keys[i], json_object_get(checkpoint, keys[i]));
    (void)!json_object_set_new(object, "vm", json_string(def->name));
    (void)!json_object_set_new(object, "current", json_boolean(strcmp(def->checkpoint, id) == 0));
    bool memory = json_is_true(json_object_get(checkpoint, "memory")) &&
                  !inside(store, def->name, id, "state", path, &ignored) && !stat(path, &st);
    (void)!json_object_set_new(object, "memory", memory ? json_integer((json_int_t)st.st_blocks * 512) : json_null());
    json_array_foreach (json_object_get(json_object_get(checkpoint, "definition"), "disks"), i, disk)
        if (checkpoint_keeps(disk) && !image_path(store, def->name, disk, path, &ignored))
            (void)!json_object_set_new(disks, text_of(disk, "id"), file_json(path));
    (void)!json_object_set_new(object, "disks", disks);
    return object;
}

/* -- images -- */

bool checkpoint_keeps(const json_t *disk)
{
    const json_t *settings = json_object_get(disk, "settings");
    return text_of(settings, "path")[0] && strcmp(text_of(settings, "kind"), "cd") != 0 &&
           !json_is_true(json_object_get(settings, "read_only"));
}

/* How a file in `disks` names an image. */
static void relative(const char *image, char to[static PATH_MAX])
{
    if (image[0] == '/')
        snprintf(to, PATH_MAX, "%s", image);
    else if (strncmp(image, "disks/", 6) == 0)
        snprintf(to, PATH_MAX, "%s", image + 6);
    else
        snprintf(to, PATH_MAX, "../%.4000s", image);
}

int checkpoint_top(struct store *store, const char *vm, json_t *disk, const char *id, char path[static PATH_MAX],
                   struct error *error)
{
    json_t *settings = json_object_get(disk, "settings"), *info;
    const char *format = text_of(settings, "format");
    char base[PATH_MAX], backing[PATH_MAX], own[80], size[32];
    int e = image_path(store, vm, disk, base, error);
    if (!e)
        e = disk_make_folder(store, vm, error);
    if (!e)
        e = qemu_img_info(base, format[0] ? format : NULL, &info, error);
    if (e)
        return e;
    relative(text_of(settings, "path"), backing);
    snprintf(own, sizeof(own), "disks/%.20s-%.8s.qcow2", text_of(disk, "id"), id);
    snprintf(size, sizeof(size), "%lld", (long long)json_integer_value(json_object_get(info, "virtual-size")));
    e = store_vm_path(store, vm, own, path, PATH_MAX, error);
    /* -u: the base may be a running VM's, and is as it is. */
    const char *const args[] = {"create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", text_of(info, "format"),
                                path,     size, NULL};
    if (!e)
        e = qemu_img(args, NULL, NULL, NULL, error);
    json_decref(info);
    if (e)
        return e;
    (void)!json_object_set_new(settings, "path", json_string(own));
    (void)!json_object_set_new(settings, "format", json_string("qcow2"));
    return 0;
}

/* -- firmware, TPM, memory -- */

/* Calls `each` for the files that both a VM and a checkpoint have: names relative to the folder of either. */
static int each_file(const char *folder, int (*each)(const char *name, void *opaque, struct error *error), void *opaque,
                     struct error *error)
{
    char path[PATH_MAX], name[300];
    struct dirent *entry;
    int e = 0;
    snprintf(path, sizeof(path), "%.4000s/firmware.fd", folder);
    if (!access(path, F_OK))
        e = each("firmware.fd", opaque, error);
    snprintf(path, sizeof(path), "%.4000s/tpm", folder);
    DIR *dir = opendir(path);
    while (!e && dir && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.' || strstr(entry->d_name, ".new") || strlen(entry->d_name) > 255)
            continue;
        snprintf(name, sizeof(name), "tpm/%s", entry->d_name);
        e = each(name, opaque, error);
    }
    if (dir)
        closedir(dir);
    return e;
}

struct copying {
    struct store *store;
    const char *vm, *id;
    json_t *list; /* pairs, or steps */
};

static int add_pair(const char *name, void *opaque, struct error *error)
{
    struct copying *c = opaque;
    char from[PATH_MAX], to[PATH_MAX];
    int e = store_vm_path(c->store, c->vm, name, from, sizeof(from), error);
    if (!e)
        e = inside(c->store, c->vm, c->id, name, to, error);
    if (!e && json_array_append_new(c->list, json_pack("[s, s]", from, to)))
        e = error_memory(error);
    return e;
}

int checkpoint_copies(struct store *store, const char *vm, const char *id, json_t **pairs, struct error *error)
{
    struct copying c = {store, vm, id, json_array()};
    char folder[PATH_MAX];
    int e = store_vm_path(store, vm, "", folder, sizeof(folder), error);
    if (!e)
        e = each_file(folder, add_pair, &c, error);
    *pairs = c.list;
    if (e)
        json_decref(c.list);
    return e;
}

int checkpoint_copy(struct store *store, const char *vm, const char *id, bool memory, struct error *error)
{
    char from[PATH_MAX], to[PATH_MAX];
    json_t *pairs = NULL, *pair;
    size_t i;
    int e = checkpoint_copies(store, vm, id, &pairs, error);
    if (e)
        return e;
    json_array_foreach (pairs, i, pair)
        if (!e)
            e = file_copy(json_string_value(json_array_get(pair, 0)), json_string_value(json_array_get(pair, 1)),
                          error);
    json_decref(pairs);
    if (!e && memory)
        e = store_vm_path(store, vm, "saved/state", from, sizeof(from), error);
    if (!e && memory)
        e = inside(store, vm, id, "state", to, error);
    if (!e && memory && link(from, to))
        e = error_path(error, -errno, to);
    return e;
}

/* A file comes back beside the VM's own, and takes its name by a step. */
static int put_back(const char *name, void *opaque, struct error *error)
{
    struct copying *c = opaque;
    char from[PATH_MAX], to[PATH_MAX], beside[320], below[PATH_MAX], own[PATH_MAX];
    snprintf(beside, sizeof(beside), "%s.back", name);
    int e = inside(c->store, c->vm, c->id, name, from, error);
    if (!e)
        e = store_vm_path(c->store, c->vm, beside, to, sizeof(to), error);
    if (!e)
        e = file_copy(from, to, error);
    checkpoint_below(c->vm, beside, below);
    checkpoint_below(c->vm, name, own);
    if (!e && json_array_append_new(c->list, intent_rename(below, own)))
        e = error_memory(error);
    return e;
}

static int restore_memory(struct store *store, const char *vm, const json_t *checkpoint, json_t *steps,
                          struct error *error)
{
    const json_t *settings = json_object_get(json_object_get(checkpoint, "definition"), "settings");
    char from[PATH_MAX], to[PATH_MAX], folder[PATH_MAX], below[PATH_MAX], own[PATH_MAX], saved[PATH_MAX];
    int e = inside(store, vm, text_of(checkpoint, "id"), "state", from, error);
    if (!e)
        e = store_vm_path(store, vm, "saved", folder, sizeof(folder), error);
    if (!e)
        e = store_vm_path(store, vm, "saved/state.back", to, sizeof(to), error);
    if (e)
        return e;
    mkdir(folder, 0700);
    unlink(to);
    if (link(from, to)) /* a start from it reads it and removes this name */
        return error_path(error, -errno, to);
    checkpoint_below(vm, "saved/state.back", below);
    checkpoint_below(vm, "saved/state", own);
    checkpoint_below(vm, VM_SAVED_FILE, saved);
    json_t *started = json_object_get(checkpoint, "memory_started");
    json_t *object =
        json_pack("{s:i, s:O, s:O}", "version", 1, "memory", started ? started : json_object_get(settings, "memory"),
                  "saved", json_object_get(checkpoint, "created"));
    json_t *machine = json_object_get(checkpoint, "machine");
    if (object && machine)
        (void)!json_object_set(object, "machine", machine);
    bool bad = json_array_append_new(steps, intent_rename(below, own)) ||
               json_array_append_new(steps, intent_write(saved, object));
    json_decref(object);
    return bad ? error_memory(error) : 0;
}

int checkpoint_restore(struct store *store, const char *vm, const json_t *checkpoint, json_t *steps,
                       struct error *error)
{
    struct copying c = {store, vm, text_of(checkpoint, "id"), steps};
    char folder[PATH_MAX], saved[PATH_MAX], state[PATH_MAX];
    int e = inside(store, vm, c.id, "", folder, error);
    if (!e)
        e = each_file(folder, put_back, &c, error);
    if (e || json_is_true(json_object_get(checkpoint, "memory")))
        return e ? e : restore_memory(store, vm, checkpoint, steps, error);
    checkpoint_below(vm, VM_SAVED_FILE, saved);
    checkpoint_below(vm, "saved/state", state);
    return json_array_append_new(steps, intent_remove(saved)) || json_array_append_new(steps, intent_remove(state))
               ? error_memory(error)
               : 0;
}

/* -- images that nobody needs -- */

/* Does a definition have the image, by the path that it has there? */
static bool has_image(const json_t *definition, const char *path)
{
    size_t i;
    json_t *disk;
    json_array_foreach (json_object_get(definition, "disks"), i, disk)
        if (strcmp(text_of(json_object_get(disk, "settings"), "path"), path) == 0)
            return true;
    return false;
}

static bool any_has_image(const struct checkpoints *all, const json_t *without, const char *path)
{
    for (u32 i = 0; i < all->count; i++)
        if (all->list[i] != without && has_image(json_object_get(all->list[i], "definition"), path))
            return true;
    return false;
}

void checkpoint_drop_current(struct store *store, const struct vm_def *def, const struct checkpoints *all,
                             json_t *steps)
{
    struct error ignored;
    if (disk_refuse_bases(store, def->name, NULL, "dropped", &ignored))
        return; /* clones stand on these images */
    for (u32 i = 0; i < def->disks; i++) {
        const struct disk_def *disk = &def->disk[i];
        char below[PATH_MAX];
        if (!disk->path || strncmp(disk->path, "disks/", 6) != 0 || disk->read_only || disk->kind == DISK_CD ||
            any_has_image(all, NULL, disk->path))
            continue;
        checkpoint_below(def->name, disk->path, below);
        (void)!json_array_append_new(steps, intent_remove(below));
    }
}

json_t *checkpoint_leftovers(struct store *store, const struct vm_def *def, const struct checkpoints *all,
                             const json_t *gone)
{
    size_t i;
    json_t *disk, *images = json_array(), *current = vm_def_json(def);
    struct error ignored;
    bool kept = disk_refuse_bases(store, def->name, NULL, "merged", &ignored); /* clones stand on these images */
    json_array_foreach (json_object_get(json_object_get(gone, "definition"), "disks"), i, disk) {
        const char *own = text_of(json_object_get(disk, "settings"), "path");
        if (!kept && strncmp(own, "disks/", 6) == 0 && !has_image(current, own) && !any_has_image(all, gone, own))
            (void)!json_array_append_new(images, json_string(own));
    }
    json_decref(current);
    return images;
}

/* The file on top takes what the image has and stands on the image's base from then on. A rebase that is cut off has
 * copied some of it, and stands where it stood: it writes through, so that no copy is missing when the head changes. */
static int merge(const struct merge *m, const struct progress *progress, struct error *error)
{
    json_t *info;
    int e = qemu_img_info(m->image, NULL, &info, error);
    if (e)
        return e;
    const char *base = text_of(info, "backing-filename"), *format = text_of(info, "backing-filename-format");
    const char *const onto[] = {"rebase", "-p", "-t", "writethrough", "-f",
                                "qcow2",  "-b", base, "-F",           format[0] ? format : "raw",
                                m->top,   NULL};
    const char *const alone[] = {"rebase", "-p", "-t", "writethrough", "-f", "qcow2", "-b", "", m->top, NULL};
    e = qemu_img(base[0] ? onto : alone, progress, "merging", NULL, error);
    json_decref(info);
    return e;
}

int checkpoint_collect(struct store *store, const struct vm_def *def, bool runs, const struct progress *progress,
                       struct error *error)
{
    struct merge m;
    struct error ignored;
    u32 from = 0;
    bool later = false;
    int found = 0, e = 0;
    if (disk_refuse_bases(store, def->name, NULL, "merged", &ignored))
        return 0;
    while (!e && (found = merge_next(store, def->name, &from, &m, error)) == 1) {
        if (runs && disk_stands_on(store, def, m.image)) {
            later = true; /* QEMU has it open, and its worker will do it */
            continue;
        }
        if (m.top[0])
            e = merge(&m, progress, error);
        if (!e)
            e = merge_remove(store, def->name, &m, error);
        from = 0; /* what waited for this one can go now */
    }
    if (!e && !found && later) {
        json_t *answer = NULL;
        e = life_ask(store, def->name, json_pack("{s:s}", "do", "merge"), NULL, &answer, error);
        json_decref(answer);
        e = e == -ENOTCONN ? 0 : e;
    }
    return e ? e : found;
}
