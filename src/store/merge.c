/*
 * Before an image is removed, all that could need it is looked at: the definitions of the VM and of its checkpoints,
 * and the heads of all files beside it. What cannot be read keeps everything as it is.
 */
#include "store/merge.h"

#include "store/definition.h"
#include "store/file.h"
#include "store/intent.h"
#include "store/qcow2.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- the list -- */

/* Their paths as definitions have them, in the order of names. */
static int read_list(struct store *store, const char *vm, json_t **images, struct error *error)
{
    char path[DEFINITION_PATH_MAX];
    struct dirent **entries = NULL;
    definition_path("vms", vm, MERGE_FOLDER, path);
    int count = scandirat(store->folder, path, &entries, NULL, alphasort);
    int e = count < 0 && errno != ENOENT ? error_set(error, -errno, "%s: %s", path, strerror(errno)) : 0;
    *images = json_array();
    for (int i = 0; i < count; i++) {
        char own[300];
        size_t length = strlen(entries[i]->d_name), tail = strlen(DEFINITION_SUFFIX);
        if (entries[i]->d_name[0] != '.' && length > tail) {
            snprintf(own, sizeof(own), "disks/%.*s", (int)(length - tail), entries[i]->d_name);
            (void)!json_array_append_new(*images, json_string(own));
        }
        free(entries[i]);
    }
    free(entries);
    return e;
}

static void entry_path(const char *vm, const char *own, char path[static PATH_MAX])
{
    char folder[DEFINITION_PATH_MAX];
    definition_path("vms", vm, MERGE_FOLDER, folder);
    snprintf(path, PATH_MAX, "%s/%.255s" DEFINITION_SUFFIX, folder, own + strlen("disks/"));
}

int merge_steps(const char *vm, const char *own, json_t *steps)
{
    char path[PATH_MAX];
    if (strncmp(own, "disks/", 6) != 0 || strchr(own + 6, '/'))
        return 0;
    json_t *object = json_pack("{s:i, s:s}", "version", DEFINITION_VERSION, "image", own);
    entry_path(vm, own, path);
    int e = object ? json_array_append_new(steps, intent_write(path, object)) : -1;
    json_decref(object);
    return e;
}

u32 merge_count(struct store *store, const char *vm)
{
    struct error ignored;
    json_t *images;
    (void)!read_list(store, vm, &images, &ignored);
    u32 count = (u32)json_array_size(images);
    json_decref(images);
    return count;
}

static int take_out(struct store *store, const char *vm, const char *own, struct error *error)
{
    char path[PATH_MAX];
    entry_path(vm, own, path);
    return file_remove(store->folder, path, error);
}

/* -- who needs an image -- */

static bool has_image(const json_t *definition, const char *own)
{
    size_t i;
    json_t *disk;
    json_array_foreach (json_object_get(definition, "disks"), i, disk) {
        const char *path = json_string_value(json_object_get(json_object_get(disk, "settings"), "path"));
        if (path && strcmp(path, own) == 0)
            return true;
    }
    return false;
}

/* Does the VM or a checkpoint have it? True also if that cannot be read. */
static bool is_defined(struct store *store, const char *vm, const char *own)
{
    char path[DEFINITION_PATH_MAX], below[DEFINITION_PATH_MAX + 300];
    struct dirent *entry;
    struct error ignored;
    json_t *object;
    definition_path("vms", vm, "/vm.json", path);
    if (file_read(store->folder, path, &object, &ignored))
        return true;
    bool found = has_image(object, own);
    json_decref(object);
    definition_path("vms", vm, "/checkpoints", path);
    int fd = openat(store->folder, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir)
        return found || errno != ENOENT;
    while (!found && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(below, sizeof(below), "%s/%s/checkpoint.json", path, entry->d_name);
        int e = file_read(store->folder, below, &object, &ignored);
        found = e ? e != -ENOENT : has_image(json_object_get(object, "definition"), own);
        if (!e)
            json_decref(object);
    }
    closedir(dir);
    return found;
}

/* Counts the files in the image's folder that stand on it; one of them is in `top`. */
static int find_tops(const char *image, char top[static PATH_MAX], u32 *count, struct error *error)
{
    char folder[PATH_MAX], path[PATH_MAX], below[2 * PATH_MAX];
    struct dirent *entry;
    struct stat own, st;
    int e = stat(image, &own) ? -errno : 0;
    *count = 0;
    top[0] = 0;
    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(image, '/') - image), image);
    DIR *dir = opendir(folder);
    if (!dir)
        e = -errno;
    while (!e && (entry = readdir(dir))) {
        struct qcow2_head head;
        snprintf(path, sizeof(path), "%.3800s/%.255s", folder, entry->d_name);
        if (entry->d_name[0] == '.' || lstat(path, &st) || !S_ISREG(st.st_mode))
            continue;
        int bad = qcow2_read(AT_FDCWD, path, &head);
        if (bad && bad != -EBADMSG && bad != -ENOENT) /* another process may have removed it */
            e = bad;
        if (bad || !head.backing[0])
            continue;
        if (head.backing[0] == '/')
            snprintf(below, sizeof(below), "%s", head.backing);
        else
            snprintf(below, sizeof(below), "%s/%s", folder, head.backing);
        if (!stat(below, &st) && st.st_dev == own.st_dev && st.st_ino == own.st_ino) {
            ++*count;
            snprintf(top, PATH_MAX, "%s", path);
        }
    }
    if (dir)
        closedir(dir);
    return e ? error_path(error, e, folder) : 0;
}

/* -- what can go -- */

static bool is_listed(const json_t *images, const char *path)
{
    const char *name = strrchr(path, '/');
    size_t i;
    json_t *one;
    json_array_foreach ((json_t *)(uintptr_t)images, i, one) {
        const char *own = json_string_value(one), *last = own ? strrchr(own, '/') : NULL;
        if (name && last && strcmp(last, name) == 0)
            return true;
    }
    return false;
}

/* Returns 1 if it can go. One whose top is to go itself waits for that, so that nothing is copied twice. */
static int look_at(struct store *store, const char *vm, const json_t *images, const char *own, struct merge *m,
                   struct error *error)
{
    struct qcow2_head head = {0};
    u32 tops;
    *m = (struct merge){0};
    snprintf(m->own, sizeof(m->own), "%s", own);
    int e = store_vm_path(store, vm, own, m->image, sizeof(m->image), error);
    if (e)
        return e;
    if (access(m->image, F_OK) || is_defined(store, vm, own))
        return take_out(store, vm, own, error);
    e = find_tops(m->image, m->top, &tops, error);
    if (e == -ENOENT) /* it has gone while it was looked at */
        return take_out(store, vm, own, error);
    if (e || tops > 1 || (tops == 1 && is_listed(images, m->top)))
        return e;
    if (!qcow2_read(AT_FDCWD, m->image, &head))
        strcpy(m->base, head.backing);
    return 1;
}

int merge_next(struct store *store, const char *vm, u32 *from, struct merge *m, struct error *error)
{
    json_t *images;
    int e = read_list(store, vm, &images, error);
    while (!e && *from < json_array_size(images)) {
        const char *own = json_string_value(json_array_get(images, (*from)++));
        e = look_at(store, vm, images, own ? own : "", m, error);
    }
    json_decref(images);
    return e;
}

/* What files of the folder have of it is on the disk before it goes. */
static int flush_folder(const char *image, struct error *error)
{
    char folder[PATH_MAX], path[PATH_MAX];
    struct dirent *entry;
    int e = 0;
    snprintf(folder, sizeof(folder), "%.*s", (int)(strrchr(image, '/') - image), image);
    DIR *dir = opendir(folder);
    while (dir && !e && (entry = readdir(dir))) {
        snprintf(path, sizeof(path), "%.3800s/%.255s", folder, entry->d_name);
        int fd = entry->d_name[0] == '.' ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
        if (fd >= 0 && fdatasync(fd) && errno != EINVAL)
            e = error_path(error, -errno, path);
        if (fd >= 0)
            close(fd);
    }
    if (dir)
        closedir(dir);
    return e;
}

int merge_remove(struct store *store, const char *vm, const struct merge *m, struct error *error)
{
    char top[PATH_MAX];
    u32 tops;
    int e = find_tops(m->image, top, &tops, error);
    if (e == -ENOENT)
        e = tops = 0;
    if (!e && tops)
        e = error_set(error, -EBUSY, "%.200s stands on %s still", top, m->own);
    if (!e)
        e = flush_folder(m->image, error);
    if (!e && unlink(m->image) && errno != ENOENT)
        e = error_path(error, -errno, m->image);
    return e ? e : take_out(store, vm, m->own, error);
}
