/*
 * Drives of VMs, and their images.
 */
#ifndef MANAGER_DISK_H
#define MANAGER_DISK_H

#include "manager/change.h"
#include "manager/progress.h"
#include "store/vm.h"

#include <limits.h>

/* A drive that a VM gets. The def's path is taken as it is, unless there is a size or a base: then a new qcow2 image is
 * made in the VM's folder. Texts are the caller's. */
struct disk_new {
    struct disk_def def;     /* the place may be left open: rules/disk.h */
    u64 size;                /* of the new image; 0: that of its base */
    const char *base;        /* an image that the new one stands on, and that stays as it is; NULL: none */
    const char *base_format; /* NULL: it is found out */
};

/* Sets what a request leaves open. */
void disk_new_init(struct disk_new *disk);
/* "20G" is a new image, an empty text an empty drive, anything else a file. Returns 0 or an error. */
int MUST_CHECK disk_new_source(struct disk_new *disk, const char *source, struct error *error);
/* Adds a drive to a definition that is not yet written, whose texts are its own: chooses id and place, makes the image
 * or looks at the one that is there. The path of an image that was made is written to `made`, below the home folder;
 * empty: none. */
int MUST_CHECK disk_make(struct store *store, struct vm_def *def, const struct disk_new *disk, char *made, size_t size,
                         struct error *error);
/* An image's path as others find it: absolute, without links. It must be there. */
int MUST_CHECK disk_find_file(const char *path, char real[static PATH_MAX], struct error *error);

/* The files in the VM's folder that are images or memory: {"path", "bytes"}. */
int MUST_CHECK disk_files(struct store *store, const char *vm, json_t **files, struct error *error);

#endif
