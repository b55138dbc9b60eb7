/*
 * qemu-img as a process: what images are made, looked at and changed with. Paths are absolute, so that none of them is
 * taken for an address of QEMU's.
 */
#ifndef MANAGER_QEMU_IMG_H
#define MANAGER_QEMU_IMG_H

#include "base/error.h"
#include "manager/progress.h"

#include <jansson.h>

/* Runs it; `args` follow the program's name and end with NULL. With `progress` it runs with -p, which `args` have, and
 * `what` is said. `output` as in struct task; both may be NULL. */
int MUST_CHECK qemu_img(const char *const *args, const struct progress *progress, const char *what, char **output,
                        struct error *error);
/* What it says of an image: "format", "virtual-size", "actual-size", "backing-filename" and so on. `format` NULL: it is
 * found out. */
int MUST_CHECK qemu_img_info(const char *path, const char *format, json_t **info, struct error *error);
/* Makes an image. A base makes it stand on that; then `size` may be 0. */
int MUST_CHECK qemu_img_create(const char *path, const char *format, u64 size, const char *base,
                               const char *base_format, struct error *error);

#endif
