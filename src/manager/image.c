/*
 * Images: listed, shown, deleted, imported. They are built in image_build.c.
 */
#include "manager/image.h"

#include "manager/disk.h"
#include "manager/qemu_img.h"
#include "process/task.h"
#include "store/definition.h"
#include "store/qcow2.h"
#include "store/setting_json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const char *const image_formats[] = {"qcow2", "raw", "vhdx", "vhd", NULL};

static const char *qemu_name(const char *format) /* as qemu-img has it */
{
    return strcmp(format, "vhd") == 0 ? "vpc" : format;
}

/* -- list and show -- */

static json_t *vms_of(const char *image, const struct image_use *uses, u32 count)
{
    json_t *vms = json_array();
    for (u32 i = 0; i < count; i++) {
        bool again = false;
        if (!name_equal(uses[i].image, image))
            continue;
        for (u32 j = 0; j < i; j++)
            again |= name_equal(uses[j].image, image) && strcmp(uses[j].vm, uses[i].vm) == 0;
        if (!again)
            json_array_append_new(vms, json_string(uses[i].vm));
    }
    return vms;
}

static json_t *image_json(const struct store *store, const struct image_def *def, const struct image_use *uses,
                          u32 count)
{
    char path[PATH_MAX] = "";
    struct qcow2_head head = {0};
    struct stat st = {0};
    struct error ignored;
    if (!store_image_path(store, def->name, path, sizeof(path), &ignored) && !qcow2_read(AT_FDCWD, path, &head))
        (void)!stat(path, &st);
    return json_pack("{s:s, s:I, s:I, s:I, s:s, s:s, s:o, s:o}", "name", def->name, "created", (json_int_t)def->created,
                     "size", (json_int_t)head.size, "on_disk", (json_int_t)(st.st_blocks * 512), "format", "qcow2",
                     "path", path, "source", setting_json(image_source_table, &def->source), "vms",
                     vms_of(def->name, uses, count));
}

int image_list(struct store *store, json_t **list, struct error *error)
{
    struct image_def *defs;
    struct image_use *uses;
    u32 count, use_count;
    int e = store_images(store, &defs, &count, error);
    if (e)
        return e;
    e = store_image_uses(store, &uses, &use_count, error);
    if (!e) {
        *list = json_array();
        for (u32 i = 0; i < count; i++)
            json_array_append_new(*list, image_json(store, &defs[i], uses, use_count));
        if (json_array_size(*list) != count)
            e = error_memory(error);
        if (e)
            json_decref(*list);
        free(uses);
    }
    image_defs_free(defs, count);
    return e;
}

int image_show(struct store *store, const char *name, json_t **object, struct error *error)
{
    struct image_def def;
    struct image_use *uses;
    u32 count;
    int e = store_image(store, name, &def, error);
    if (e)
        return e;
    e = store_image_uses(store, &uses, &count, error);
    if (!e) {
        *object = image_json(store, &def, uses, count);
        if (!*object)
            e = error_memory(error);
        free(uses);
    }
    image_def_free(&def);
    return e;
}

/* -- delete -- */

static int refuse_used(const char *name, const struct image_use *uses, u32 count, struct error *error)
{
    json_t *vms = vms_of(name, uses, count);
    size_t users = json_array_size(vms);
    int e = 0;
    if (users) {
        const char *first = json_string_value(json_array_get(vms, 0));
        char hint[sizeof(error->hint)], word[NAME_WORD_MAX];
        e = error_set(error, -EBUSY, "image %s is used by VM %s%s: their disks are only what differs from it", name,
                      first, users > 1 ? " and others" : "");
        snprintf(hint, sizeof(hint), "`nestbox image show %s` lists them; delete them first", name_word(name, word));
        error_hint(error, hint);
    }
    json_decref(vms);
    return e;
}

int image_delete(struct store *store, const char *name, struct error *error)
{
    struct image_def def;
    struct image_use *uses;
    u32 count;
    int lock = store_images_lock(store, true, error);
    if (lock < 0)
        return lock;
    int e = store_image(store, name, &def, error);
    if (!e) {
        e = store_image_uses(store, &uses, &count, error);
        if (!e) {
            e = refuse_used(def.name, uses, count, error);
            free(uses);
        }
        if (!e)
            e = store_image_remove(store, name, error);
        image_def_free(&def);
    }
    close(lock);
    return e;
}

/* -- import -- */

/* What a stranger's file may not do: have other files read, with the rights of who imports it. */
static int check_alone(const char *file, const char *format, const json_t *info, struct error *error)
{
    struct qcow2_head head = {0};
    if (strcmp(format, "qcow2") == 0 && qcow2_read(AT_FDCWD, file, &head))
        return error_set(error, -EINVAL, "%.200s is not the file of a disk", file);
    if (head.backing[0] || json_object_get(info, "backing-filename")) {
        error_set(error, -EINVAL, "%.150s is only what differs from %.100s", file, head.backing);
        return error_hint(error, "qemu-img convert -O qcow2 makes one file of both, which can be imported");
    }
    if (head.data_file)
        return error_set(error, -EINVAL, "%.200s has its data in another file", file);
    return 0;
}

static int find_format(const char *file, const char *given, const char **format, struct error *error)
{
    json_t *info;
    int e = qemu_img_info(file, given ? qemu_name(given) : NULL, &info, error);
    if (e)
        return e;
    const char *found = json_string_value(json_object_get(info, "format"));
    *format = NULL;
    for (const char *const *f = image_formats; found && *f; f++)
        if (strcmp(qemu_name(*f), found) == 0)
            *format = *f;
    if (!*format) {
        error_set(error, -EINVAL, "%.200s is in the format %.20s, which is not taken", file, found ? found : "?");
        e = error_hint(error, "qcow2, raw, vhdx and vhd are; qemu-img convert makes one of them");
    }
    if (!e)
        e = check_alone(file, *format, info, error);
    json_decref(info);
    return e;
}

/* qemu-img check knows qcow2 and VHDX: a damaged disk is found now and not by the guest. */
static int check_file(const char *file, const char *format, struct error *error)
{
    const char *const args[] = {"check", "-q", "-f", format, file, NULL};
    if (strcmp(format, "qcow2") != 0 && strcmp(format, "vhdx") != 0)
        return 0;
    int e = qemu_img(args, NULL, NULL, NULL, error);
    if (e != -EIO)
        return e;
    struct error why = *error;
    if (strstr(why.text, "leaked") && !strstr(why.text, "corrupt")) /* only room is lost, and not in the copy */
        return 0;
    error_set(error, -EBADMSG, "%.100s is damaged: %.180s", file, why.text);
    return error_hint(error, "qemu-img check -r all may mend a copy of it");
}

static int convert(const char *file, const char *format, const struct image_draft *draft,
                   const struct progress *progress, struct error *error)
{
    char to[PATH_MAX + 16];
    snprintf(to, sizeof(to), "%s/disk.qcow2", draft->folder);
    const char *const args[] = {"convert", "-p", "-f", qemu_name(format), "-O", "qcow2", file, to, NULL};
    int e = qemu_img(args, progress, "copying the disk", NULL, error);
    if (!e)
        e = check_file(to, "qcow2", error);
    return e;
}

/* "/tmp/Server 2022.vhdx" is "Server 2022". */
static int name_from(const char *file, char name[static NAME_MAX_LEN + 1], struct error *error)
{
    const char *slash = strrchr(file, '/'), *base = slash ? slash + 1 : file, *dot = strrchr(base, '.');
    snprintf(name, NAME_MAX_LEN + 1, "%.*s", (int)(dot && dot != base ? dot - base : NAME_MAX_LEN), base);
    int e = name_check("an image", name, error);
    return e ? error_hint(error, "give it a name: `nestbox image import FILE NAME`") : 0;
}

int image_import(struct store *store, const char *file, const char *name, const char *format,
                 const struct progress *progress, char imported[static NAME_MAX_LEN + 1], struct error *error)
{
    struct image_def def = {0};
    struct image_draft draft;
    char path[PATH_MAX];
    sigset_t before;
    int e = disk_find_file(file, path, error);
    if (!e)
        e = name ? name_check("an image", name, error) : name_from(path, def.name, error);
    if (!e && name)
        strcpy(def.name, name);
    if (!e)
        e = find_format(path, format, &format, error);
    if (!e)
        e = check_file(path, format, error);
    if (e)
        return e;
    strcpy(imported, def.name);
    def.source.file = path;
    def.source.format = format;
    task_hold_signals(&before);
    e = store_image_draft(store, def.name, &draft, error);
    if (!e) {
        e = convert(path, format, &draft, progress, error);
        if (e)
            store_image_drop(&draft);
        else
            e = store_image_keep(store, &draft, &def, error);
    }
    task_end_signals(&before, e);
    return e;
}
