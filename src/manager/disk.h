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
/* A drive of a VM that gets one: id, place, image, which must be there if it is not made. Its texts are its own;
 * nothing is made yet. */
int MUST_CHECK disk_choose(struct store *store, const struct vm_def *def, const struct disk_new *disk,
                           struct disk_def *to, struct error *error);
/* Chooses the name of a new qcow2 image in the VM's folder: sets path and format, texts of the drive's own. */
int MUST_CHECK disk_choose_file(struct store *store, const struct vm_def *def, const char *id, struct disk_def *to,
                                struct error *error);
/* Makes the VM's folder, and that of its images. */
int MUST_CHECK disk_make_folder(struct store *store, const char *vm, struct error *error);
/* Makes the image of a drive that was chosen, if it is to be made. */
int MUST_CHECK disk_make(struct store *store, const struct vm_def *def, const struct disk_new *disk,
                         const struct disk_def *to, struct error *error);
/* What the format of an image is; free() releases it. `format` NULL: it is found out. */
int MUST_CHECK disk_detect(const char *path, const char *format, const char **found, struct error *error);
/* An image's path as others find it: absolute, without links. It must be there. */
int MUST_CHECK disk_find_file(const char *path, char real[static PATH_MAX], struct error *error);

/* Refuses what would harm disks that stand on images of others: on those in the folder of the VM `vm`, by disks of
 * other VMs, or on the file `path`, by disks of any; the other of both is NULL. `what`: "deleted". */
int MUST_CHECK disk_refuse_bases(struct store *store, const char *vm, const char *path, const char *what,
                                 struct error *error);
/* Does a disk of the VM stand on the file, or on one that does? */
bool disk_stands_on(const struct store *store, const struct vm_def *def, const char *path);
/* The files in the VM's folder that are images or memory: {"path", "bytes"}. */
int MUST_CHECK disk_files(struct store *store, const char *vm, json_t **files, struct error *error);

/* Each VM is locked, and must be off. A drive is named "VM/DRIVE", or "VM" where the VM has one disk. */
int MUST_CHECK disk_add(struct store *store, const char *vm, const struct disk_new *disk, json_t **object,
                        struct error *error);
/* What is changed is a struct disk_def; its image may be another one, or, of a CD drive, none. */
int MUST_CHECK disk_set(struct store *store, const char *name, const struct change *change, struct error *error);
/* The image stays, unless `erase`: then it goes, if it lies in the VM's folder. */
int MUST_CHECK disk_remove(struct store *store, const char *name, bool erase, struct error *error);
/* An array: "vm", "id", "settings", "file" (absolute, or null), and of a file that is there "size", "bytes" (on the
 * host's disk) and "base" (or null). `vm` NULL: of all VMs. */
int MUST_CHECK disk_list(struct store *store, const char *vm, json_t **list, struct error *error);

/* Operations on an image, by its path or by the drive that has it, whose VM is then locked and must be off. */
struct disk_image {
    struct vm_def def; /* of the drive's VM */
    int lock;          /* -1: it is a file of nobody's */
    char path[PATH_MAX];
    const char *format;
};
int MUST_CHECK disk_image_open(struct store *store, const char *name, const char *what, struct disk_image *image,
                               struct error *error);
void disk_image_close(struct disk_image *image);
int MUST_CHECK disk_resize(struct store *store, const char *name, u64 size, bool shrink, struct error *error);
/* Gives room back that the image has and its disk does not use. */
int MUST_CHECK disk_compact(struct store *store, const char *name, const struct progress *progress, u64 *before,
                            u64 *after, struct error *error);
/* What qemu-img reports; `repair` mends what can be mended. */
int MUST_CHECK disk_check(struct store *store, const char *name, bool repair, json_t **report, struct error *error);
/* Writes another image that stands alone. */
int MUST_CHECK disk_convert(struct store *store, const char *name, const char *to, const char *format,
                            const struct progress *progress, struct error *error);
/* Writes what an image, which no VM has, differs in from the one that it stands on into that, and removes it. `into`:
 * the image below must be that one; NULL: any. */
int MUST_CHECK disk_merge(struct store *store, const char *path, const char *into, const struct progress *progress,
                          struct error *error);
/* Makes an image that belongs to no VM. */
int MUST_CHECK disk_create(const char *path, const char *format, u64 size, const char *base, struct error *error);

#endif
