/*
 * qemu-img's progress is "    (12.50/100%)" with a carriage return.
 */
#include "manager/qemu_img.h"

#include "process/task.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARGS_MAX 24
#define PARTS 10000u /* of which progress is counted */

struct watch {
    const struct progress *progress;
    const char *what;
};

static void take_line(const struct task *task, const char *line)
{
    const struct watch *watch = task->opaque;
    double done;
    if (sscanf(line, " (%lf/100%%)", &done) == 1 && watch->progress && done >= 0 && done <= 100)
        watch->progress->report(watch->progress, watch->what, (u64)(done * PARTS / 100), PARTS);
}

int qemu_img(const char *const *args, const struct progress *progress, const char *what, char **output,
             struct error *error)
{
    const char *argv[ARGS_MAX] = {"qemu-img"};
    struct watch watch = {progress, what};
    unsigned count = 1;
    while (args[count - 1] && count < ARGS_MAX - 1) {
        argv[count] = args[count - 1];
        count++;
    }
    return task_run(
        &(struct task){.argv = argv, .package = "qemu-utils", .line = take_line, .opaque = &watch, .output = output},
        error);
}

int qemu_img_info(const char *path, const char *format, json_t **info, struct error *error)
{
    const char *const with[] = {"info", "-U", "--output=json", "-f", format, path, NULL};
    const char *const without[] = {"info", "-U", "--output=json", path, NULL};
    json_error_t why;
    char *text = NULL;
    int e = qemu_img(format ? with : without, NULL, NULL, &text, error);
    *info = e || !text ? NULL : json_loads(text, 0, &why);
    free(text);
    if (!e && !json_is_object(*info)) {
        json_decref(*info);
        e = error_set(error, -EIO, "qemu-img says nothing of %.200s", path);
    }
    return e;
}

int qemu_img_create(const char *path, const char *format, u64 size, const char *base, const char *base_format,
                    struct error *error)
{
    char bytes[24];
    const char *args[12] = {"create", "-q", "-f", format};
    unsigned count = 4;
    snprintf(bytes, sizeof(bytes), "%llu", (unsigned long long)size);
    if (base) {
        args[count++] = "-b";
        args[count++] = base;
        args[count++] = "-F";
        args[count++] = base_format;
    }
    args[count++] = path;
    if (size)
        args[count++] = bytes;
    return qemu_img(args, NULL, NULL, NULL, error);
}
