/*
 * A small ISO 9660 file system in memory: a few files in one folder. The seed of cloud-init is one, so that it needs no
 * program of the host's.
 */
#ifndef STORE_ISO9660_H
#define STORE_ISO9660_H

#include "base/types.h"

struct iso_file {
    const char *name; /* at most 30 of a-z, 0-9, dash and dot; Linux shows it so */
    const char *content;
    size_t size;
};

/* `label`: at most 32 of A-Z, 0-9 and underscore. Returns the image, which free() releases, or NULL: no memory. */
void *iso_make(const char *label, const struct iso_file *files, u32 count, size_t *size);
/* Finds a file in such an image, which may be damaged. Returns its content within the image, or NULL. */
const void *iso_find(const void *image, size_t size, const char *name, size_t *length);

#endif
