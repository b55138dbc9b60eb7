/*
 * An image in the VM's folder keeps its name; one that lies elsewhere becomes disks/base-N. CDs that lie elsewhere are
 * left where they are: an import asks for them.
 */
#include "manager/export_list.h"

#include "manager/qemu_img.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CHAIN_MAX 64u

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

int export_list_begin(struct export_list *list, struct store *store, const struct vm_def *def, struct error *error)
{
    *list = (struct export_list){.store = store, .def = def, .files = json_array(), .bases = json_array()};
    return list->files && list->bases ? 0 : error_memory(error);
}

void export_list_free(struct export_list *list)
{
    for (u32 i = 0; i < list->count; i++) {
        free(list->item[i].from);
        json_decref(list->item[i].content);
    }
    free(list->item);
    json_decref(list->files);
    json_decref(list->bases);
}

static struct export_item *add(struct export_list *list, const char *to, struct error *error)
{
    struct export_item *bigger = realloc(list->item, (list->count + 1) * sizeof(*bigger));
    if (bigger)
        list->item = bigger;
    if (!bigger || json_array_append_new(list->files, json_string(to))) {
        error_memory(error);
        return NULL;
    }
    struct export_item *item = &bigger[list->count++];
    *item = (struct export_item){0};
    snprintf(item->to, sizeof(item->to), "%s", to);
    return item;
}

static int add_path(struct export_list *list, const char *from, const char *to, struct error *error)
{
    struct stat st;
    if (stat(from, &st))
        return error_path(error, -errno, from);
    struct export_item *item = add(list, to, error);
    if (!item)
        return error->code;
    item->from = strdup(from);
    list->bytes += (u64)st.st_blocks * 512;
    return item->from ? 0 : error_memory(error);
}

int export_list_file(struct export_list *list, const char *from, const char *to, struct error *error)
{
    char path[PATH_MAX];
    int e = store_vm_path(list->store, list->def->name, from, path, sizeof(path), error);
    return e ? e : add_path(list, path, to, error);
}

int export_list_files(struct export_list *list, const char *from, const char *to, const char *name, struct error *error)
{
    char below[300], path[PATH_MAX], at[300], under[300];
    struct dirent *entry;
    struct stat st;
    snprintf(below, sizeof(below), "%s%s", from, name);
    int e = store_vm_path(list->store, list->def->name, below, path, sizeof(path), error);
    if (e || stat(path, &st))
        return e;
    snprintf(under, sizeof(under), "%s%s", to, name);
    if (S_ISREG(st.st_mode))
        return add_path(list, path, under, error);
    DIR *dir = opendir(path);
    while (!e && dir && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.' || strlen(entry->d_name) + strlen(below) + 2 > sizeof(below) ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
            continue;
        if ((size_t)snprintf(at, sizeof(at), "%s/%s", below, entry->d_name) < sizeof(at) &&
            (size_t)snprintf(under, sizeof(under), "%s%s/%s", to, name, entry->d_name) < 256)
            e = export_list_file(list, at, under, error);
    }
    if (dir)
        closedir(dir);
    return e;
}

int export_list_json(struct export_list *list, const char *to, json_t *content, struct error *error)
{
    struct export_item *item = content ? add(list, to, error) : NULL;
    if (!item) {
        json_decref(content);
        return content ? error->code : error_memory(error);
    }
    item->content = content;
    return 0;
}

/* -- images -- */

static const struct export_item *find(const struct export_list *list, const char *from)
{
    for (u32 i = 0; i < list->count; i++)
        if (list->item[i].from && strcmp(list->item[i].from, from) == 0)
            return &list->item[i];
    return NULL;
}

static bool is_used(const struct export_list *list, const char *to)
{
    char path[PATH_MAX];
    struct error ignored;
    struct stat st;
    for (u32 i = 0; i < list->count; i++)
        if (strcmp(list->item[i].to, to) == 0)
            return true;
    return !store_vm_path(list->store, list->def->name, to, path, sizeof(path), &ignored) && !lstat(path, &st);
}

/* What an image is called in the export. */
static int choose_name(const struct export_list *list, const char *path, const char *format, char to[static 256],
                       struct error *error)
{
    static const char *const folders[] = {"", "disks"}; /* which may be a link */
    for (unsigned i = 0; i < ARRAY_LEN(folders); i++) {
        char folder[PATH_MAX], real[PATH_MAX];
        int e = store_vm_path(list->store, list->def->name, folders[i], folder, sizeof(folder), error);
        if (e)
            return e;
        size_t length = realpath(folder, real) ? strlen(real) : 0;
        if (!length || strncmp(path, real, length) != 0 || path[length] != '/' || strlen(path + length + 1) > 240)
            continue;
        snprintf(to, 256, "%s%s%s", folders[i], *folders[i] ? "/" : "", path + length + 1);
        return 0;
    }
    for (unsigned i = 1; i < 10000; i++) {
        snprintf(to, 256, "disks/base-%u.%.10s", i, format);
        if (!is_used(list, to))
            return 0;
    }
    return error_set(error, -ENOSPC, "VM %s has too many images", list->def->name);
}

/* How an image of the export names another one of it. */
static void name_from(const char *image, const char *base, char to[static 300])
{
    size_t same = 0, used = 0;
    for (size_t i = 0; image[i] && image[i] == base[i]; i++)
        if (image[i] == '/')
            same = i + 1;
    to[0] = 0;
    for (const char *at = image + same; (at = strchr(at, '/')); at++)
        used += (size_t)snprintf(to + used, 300 - used, "../");
    snprintf(to + used, 300 - used, "%s", base + same);
}

static int refuse_format(const char *path, const char *format, struct error *error)
{
    static const char *const whole[] = {"raw", "qcow2", "vhdx", "vpc", "vdi", "qed"};
    for (unsigned i = 0; i < ARRAY_LEN(whole); i++)
        if (strcmp(whole[i], format) == 0)
            return 0;
    error_set(error, -EOPNOTSUPP,
              "%.200s: images of the format %.20s cannot be exported, as they may have several files", path, format);
    return error_hint(error, "`nestbox disk convert` makes a qcow2 image of it");
}

/* Adds an image and all below it. `to` gets its name. */
static int add_image(struct export_list *list, const char *path, const char *format, unsigned depth,
                     char to[static 256], struct error *error)
{
    char real[PATH_MAX], below[256], wanted[300];
    json_t *info = NULL;
    if (!realpath(path, real))
        return error_path(error, -errno, path);
    const struct export_item *there = find(list, real);
    if (there) {
        strcpy(to, there->to);
        return 0;
    }
    if (!depth)
        return error_set(error, -ELOOP, "%.200s: too many images stand on each other", path);
    int e = qemu_img_info(real, *format ? format : NULL, &info, error);
    if (e)
        return e;
    format = text_of(info, "format");
    e = refuse_format(real, format, error);
    if (!e && json_object_get(json_object_get(json_object_get(info, "format-specific"), "data"), "data-file"))
        e = error_set(error, -EOPNOTSUPP, "%.200s: its data are in another file", real);
    if (!e)
        e = choose_name(list, real, format, to, error);
    if (!e)
        e = add_path(list, real, to, error);
    const char *base = text_of(info, "full-backing-filename"), *kept = text_of(info, "backing-filename");
    if (!e && kept[0]) {
        e = add_image(list, base[0] ? base : kept, text_of(info, "backing-filename-format"), depth - 1, below, error);
        name_from(to, below, wanted);
        const char *kind = text_of(info, "backing-filename-format");
        if (!e && strcmp(wanted, kept) != 0 &&
            json_array_append_new(list->bases, json_pack("{s:s, s:s, s:s}", "file", to, "base", wanted, "format",
                                                         kind[0] ? kind : "raw")))
            e = error_memory(error);
    }
    json_decref(info);
    return e;
}

int export_list_images(struct export_list *list, json_t *definition, struct error *error)
{
    size_t i;
    json_t *disk;
    int e = 0;
    json_array_foreach (json_object_get(definition, "disks"), i, disk) {
        json_t *settings = json_object_get(disk, "settings");
        const char *own = text_of(settings, "path");
        char path[PATH_MAX], to[256];
        if (!own[0] || (own[0] == '/' && strcmp(text_of(settings, "kind"), "cd") == 0))
            continue;
        if (own[0] == '/')
            snprintf(path, sizeof(path), "%s", own);
        else
            e = store_vm_path(list->store, list->def->name, own, path, sizeof(path), error);
        if (!e)
            e = add_image(list, path, text_of(settings, "format"), CHAIN_MAX, to, error);
        if (e)
            return e;
        (void)!json_object_set_new(settings, "path", json_string(to));
    }
    return 0;
}

int export_list_checkpoint(struct export_list *list, const json_t *checkpoint, struct error *error)
{
    static const char *const files[] = {"firmware.fd", "tpm", "state"};
    char folder[80], path[128];
    json_t *copy = json_deep_copy(checkpoint);
    if (!copy)
        return error_memory(error);
    snprintf(folder, sizeof(folder), "checkpoints/%.40s/", text_of(checkpoint, "id"));
    snprintf(path, sizeof(path), "%scheckpoint.json", folder);
    int e = export_list_images(list, json_object_get(copy, "definition"), error);
    for (u32 i = 0; i < ARRAY_LEN(files) && !e; i++)
        e = export_list_files(list, folder, folder, files[i], error);
    if (!e)
        return export_list_json(list, path, copy, error);
    json_decref(copy);
    return e;
}
