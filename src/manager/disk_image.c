/*
 * Images of disks: resized, compacted, checked, converted, created. A new image is written beside its place, and takes
 * it when it is whole.
 */
#include "manager/disk.h"
#include "manager/qemu_img.h"
#include "process/task.h"
#include "store/qcow2.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int draft_of(const char *path, char draft[static PATH_MAX], struct error *error)
{
    const char *slash = strrchr(path, '/');
    int n = snprintf(draft, PATH_MAX, "%.*s.%s.new", (int)(slash + 1 - path), path, slash + 1);
    return n < PATH_MAX ? 0 : error_set(error, -ENAMETOOLONG, "%.200s: the path is too long", path);
}

/* Ends what was begun by task_hold_signals: the new image takes its place, or goes if writing it failed. */
static int publish(const char *draft, const char *path, int e, const sigset_t *before, struct error *error)
{
    int fd = e ? -1 : open(draft, O_RDONLY | O_CLOEXEC);
    if (!e && (fd < 0 || fsync(fd)))
        e = error_path(error, -errno, draft);
    if (fd >= 0)
        close(fd);
    if (!e)
        e = task_cancelled(error);
    if (!e && rename(draft, path))
        e = error_path(error, -errno, path);
    if (e)
        unlink(draft);
    task_end_signals(before, e);
    return e;
}

int disk_resize(struct store *store, const char *name, u64 size, bool shrink, struct error *error)
{
    struct disk_image image;
    char bytes[24];
    json_t *info = NULL;
    int e = disk_image_open(store, name, "disk", &image, error);
    if (e)
        return e;
    snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)size);
    const char *const args[] = {"resize", "-q", "--shrink", "-f", image.format, image.path, bytes, NULL};
    e = disk_refuse_bases(store, NULL, image.path, "resized", error);
    if (!e && strcmp(image.format, "raw") != 0 && strcmp(image.format, "qcow2") != 0) {
        error_set(error, -EOPNOTSUPP, "%.150s is %s, whose size cannot be changed", image.path, image.format);
        e = error_hint(error, "`nestbox disk convert` makes a qcow2 of it, which can be resized");
    }
    if (!e)
        e = qemu_img_info(image.path, image.format, &info, error);
    if (!e && (json_int_t)size < json_integer_value(json_object_get(info, "virtual-size")) && !shrink) {
        error_set(error, -EINVAL, "that is less than %.150s has: what lies behind is lost", image.path);
        e = error_hint(error, "shrink the guest's file systems first; then " SETTING("shrink") " does it");
    }
    json_decref(info);
    if (!e)
        e = qemu_img(args, NULL, NULL, NULL, error);
    disk_image_close(&image);
    return e;
}

static u64 blocks(const char *path)
{
    struct stat st;
    return stat(path, &st) ? 0 : (u64)st.st_blocks * 512;
}

/* Writes the image again, with the file that it stands on. */
static int rewrite(const struct disk_image *image, const char *draft, const struct progress *progress,
                   struct error *error)
{
    struct qcow2_head head;
    json_t *info = NULL;
    bool stands = strcmp(image->format, "qcow2") == 0 && !qcow2_read(AT_FDCWD, image->path, &head) && head.backing[0];
    int e = stands ? qemu_img_info(image->path, image->format, &info, error) : 0;
    const char *base = json_string_value(json_object_get(info, "full-backing-filename"));
    const char *base_format = json_string_value(json_object_get(info, "backing-filename-format"));
    const char *const whole[] = {"convert", "-p", "-f", image->format, "-O", image->format, image->path, draft, NULL};
    const char *const part[] = {"convert",   "-p",  "-f", "qcow2", "-O",
                                "qcow2",     "-B",  base, "-F",    base_format ? base_format : "raw",
                                image->path, draft, NULL};
    if (!e)
        e = qemu_img(stands && base ? part : whole, progress, "compacting", NULL, error);
    json_decref(info);
    return e;
}

int disk_compact(struct store *store, const char *name, const struct progress *progress, u64 *before, u64 *after,
                 struct error *error)
{
    struct disk_image image;
    char draft[PATH_MAX];
    sigset_t held;
    int e = disk_image_open(store, name, "disk", &image, error);
    if (e)
        return e;
    *before = blocks(image.path);
    e = disk_refuse_bases(store, NULL, image.path, "compacted", error);
    if (!e)
        e = draft_of(image.path, draft, error);
    if (!e) {
        task_hold_signals(&held);
        e = rewrite(&image, draft, progress, error);
        e = publish(draft, image.path, e, &held, error);
    }
    *after = blocks(image.path);
    disk_image_close(&image);
    return e;
}

/* Our own keys of what qemu-img reports, which leaves out what there is none of. */
static json_t *check_report(const json_t *said)
{
    return json_pack("{s:s, s:s, s:I, s:I, s:I}", "path", json_string_value(json_object_get(said, "filename")),
                     "format", json_string_value(json_object_get(said, "format")), "corruptions",
                     json_integer_value(json_object_get(said, "corruptions")), "leaks",
                     json_integer_value(json_object_get(said, "leaks")), "failures",
                     json_integer_value(json_object_get(said, "check-errors")));
}

int disk_check(struct store *store, const char *name, bool repair, json_t **report, struct error *error)
{
    struct disk_image image;
    json_error_t why;
    char *text = NULL;
    int e = disk_image_open(store, name, "disk", &image, error);
    if (e)
        return e;
    const char *const look[] = {"check", "--output=json", "-f", image.format, image.path, NULL};
    const char *const mend[] = {"check", "--output=json", "-r", "all", "-f", image.format, image.path, NULL};
    if (repair)
        e = disk_refuse_bases(store, NULL, image.path, "repaired", error);
    if (!e && strcmp(image.format, "raw") == 0)
        e = error_set(error, -EINVAL, "%.200s is raw: there is nothing in it to check", image.path);
    if (!e) {
        e = qemu_img(repair ? mend : look, NULL, NULL, &text, error);
        /* An image with damage is a finding, not a failure. */
        json_t *said = text ? json_loads(text, 0, &why) : NULL;
        *report = check_report(said);
        if (*report)
            e = 0;
        else if (!e)
            e = error_set(error, -EIO, "qemu-img says nothing of %.200s", image.path);
        json_decref(said);
        free(text);
    }
    disk_image_close(&image);
    return e;
}

static const char *format_of(const char *path, const char *format)
{
    static const char *const formats[][2] = {{"vhd", "vpc"}, {"img", "raw"}};
    const char *dot = strrchr(path, '.');
    if (format && *format) {
        dot = format - 1; /* names that people use for formats are taken, too */
    } else if (!dot || strchr(dot, '/')) {
        return "qcow2";
    }
    for (unsigned i = 0; i < ARRAY_LEN(formats); i++)
        if (strcmp(dot + 1, formats[i][0]) == 0)
            return formats[i][1];
    static const char *const known[] = {"qcow2", "raw", "vhdx", "vpc", "vmdk", "vdi"};
    for (unsigned i = 0; i < ARRAY_LEN(known); i++)
        if (strcmp(dot + 1, known[i]) == 0)
            return known[i];
    return format && *format ? NULL : "qcow2";
}

static int check_target(const char *path, const char *format, char real[static PATH_MAX], const char **found,
                        struct error *error)
{
    *found = format_of(path, format);
    if (!*found) {
        error_set(error, -EINVAL, SETTING("format") ": there is no format %.40s", format);
        return error_hint(error, "qcow2, raw, vhdx, vhd, vmdk and vdi are known");
    }
    if (!access(path, F_OK))
        return error_set(error, -EEXIST, "%.200s is there already", path);
    char folder[PATH_MAX], above[PATH_MAX];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash + 1 - path) : 1, slash ? path : ".");
    if (!*name || !realpath(folder, above))
        return error_set(error, -ENOENT, "%.200s: %s", folder, *name ? strerror(errno) : "it names no file");
    if (snprintf(real, PATH_MAX, "%s/%s", above, name) >= PATH_MAX)
        return error_set(error, -ENAMETOOLONG, "%.200s: the path is too long", path);
    return 0;
}

int disk_convert(struct store *store, const char *name, const char *to, const char *format,
                 const struct progress *progress, struct error *error)
{
    struct disk_image image;
    char draft[PATH_MAX], real[PATH_MAX];
    const char *target;
    sigset_t held;
    int e = check_target(to, format, real, &target, error);
    if (!e)
        e = disk_image_open(store, name, "disk", &image, error);
    if (e)
        return e;
    const char *const args[] = {"convert", "-p", "-f", image.format, "-O", target, image.path, draft, NULL};
    e = draft_of(real, draft, error);
    if (!e) {
        task_hold_signals(&held);
        e = qemu_img(args, progress, "converting", NULL, error);
        e = publish(draft, real, e, &held, error);
    }
    disk_image_close(&image);
    return e;
}

static int refuse_drive(struct store *store, const char *path, const char *what, struct error *error)
{
    json_t *list, *drive;
    size_t i;
    int e = disk_list(store, NULL, &list, error);
    if (e)
        return e;
    json_array_foreach (list, i, drive) {
        char real[PATH_MAX];
        const char *file = json_string_value(json_object_get(drive, "file"));
        if (!e && file && realpath(file, real) && strcmp(real, path) == 0)
            e = error_set(error, -EBUSY, "%.150s is %s of VM %s and cannot be %s", path,
                          json_string_value(json_object_get(drive, "id")),
                          json_string_value(json_object_get(drive, "vm")), what);
    }
    json_decref(list);
    return e;
}

int disk_merge(struct store *store, const char *path, const char *into, const struct progress *progress,
               struct error *error)
{
    char top[PATH_MAX], below[PATH_MAX], wanted[PATH_MAX];
    int e = disk_find_file(path, top, error);
    if (!e && into)
        e = disk_find_file(into, wanted, error);
    if (e)
        return e;
    strcpy(below, top);
    if (!qcow2_go_below(below, sizeof(below)))
        return error_set(error, -EINVAL, "%.200s stands on no other image", top);
    if (into && strcmp(wanted, below) != 0)
        return error_set(error, -EINVAL, "%.130s stands on %.130s", top, below);
    e = refuse_drive(store, top, "merged", error);
    if (!e)
        e = disk_refuse_bases(store, NULL, top, "merged", error);
    if (!e)
        e = disk_refuse_bases(store, NULL, below, "changed", error);
    /* A merge that is broken off can be done again: the image on top has all until the end. */
    const char *const args[] = {"commit", "-p", "-d", "-f", "qcow2", top, NULL};
    if (!e)
        e = qemu_img(args, progress, "merging", NULL, error);
    return e || !unlink(top) ? e : error_path(error, -errno, top);
}

int disk_create(const char *path, const char *format, u64 size, const char *base, struct error *error)
{
    char draft[PATH_MAX], real[PATH_MAX], base_real[PATH_MAX];
    const char *target, *base_format = NULL;
    sigset_t held;
    int e = check_target(path, format, real, &target, error);
    if (!e && base)
        e = disk_find_file(base, base_real, error);
    if (!e && base)
        e = disk_detect(base_real, NULL, &base_format, error);
    if (!e && base && strcmp(target, "qcow2") != 0)
        e = error_set(error, -EINVAL, "only a qcow2 image stands on another");
    if (!e && !size && !base)
        e = error_set(error, -EINVAL, "a new image needs a size or a " SETTING("base"));
    if (!e)
        e = draft_of(real, draft, error);
    if (!e) {
        task_hold_signals(&held);
        e = qemu_img_create(draft, target, size, base ? base_real : NULL, base_format, error);
        e = publish(draft, real, e, &held, error);
    }
    free((char *)(uintptr_t)base_format);
    return e;
}
