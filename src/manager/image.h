/*
 * Operations on images (store/image.h): what the disks of new VMs begin with. They take the lock of images as long as
 * they must; what takes long is done in a draft, which others do not see.
 */
#ifndef MANAGER_IMAGE_H
#define MANAGER_IMAGE_H

#include "manager/progress.h"
#include "store/image.h"

#include <jansson.h>

struct image_build {
    const char *profile;
    const char *packages;          /* more of them; NULL: none */
    const char *mirror, *hostname; /* NULL: apt's own sources; the profile's name */
    u64 size;                      /* 0: the profile's */
};

/* Builds an image; `name` NULL is the profile's. Takes minutes. */
int MUST_CHECK image_build(struct store *store, const char *name, const struct image_build *build,
                           const struct progress *progress, struct error *error);
/* Makes one of a file: qcow2, raw, VHDX or VHD. `name` NULL is the file's; `format` NULL is found out. Writes the name
 * that it has. */
int MUST_CHECK image_import(struct store *store, const char *file, const char *name, const char *format,
                            const struct progress *progress, char imported[static NAME_MAX_LEN + 1],
                            struct error *error);
/* An array of objects: "name", "created", "size", "on_disk", "source", "vms". */
int MUST_CHECK image_list(struct store *store, json_t **list, struct error *error);
/* One of them with "path" and "format". */
int MUST_CHECK image_show(struct store *store, const char *name, json_t **object, struct error *error);
/* Refuses while a VM uses it. */
int MUST_CHECK image_delete(struct store *store, const char *name, struct error *error);

extern const char *const image_formats[]; /* that can be imported; ends with NULL */

#endif
