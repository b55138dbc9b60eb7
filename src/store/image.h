/*
 * Images on the host's disk: what the disks of new VMs begin with. An image is a folder, `images/NAME` in the home
 * folder (lower case):
 *
 *   image.json   name, when it was made, and from what
 *   disk.qcow2   its content; disks of VMs lie over it, so it never changes
 *
 * An image is made in a folder with a hidden name, a draft, which gets its name when all is on the disk: nobody finds
 * half of one. What a killed command left of a draft is removed by the next that makes or deletes an image.
 */
#ifndef STORE_IMAGE_H
#define STORE_IMAGE_H

#include "rules/name.h"
#include "rules/setting.h"
#include "store/network.h"

#include <limits.h>

struct image_source {
    const char *profile, *packages; /* of one that was built: those that were added to the profile's; else NULL */
    const char *file, *format;      /* of one that was imported; else NULL */
};

extern const struct setting image_source_table[];

struct image_def {
    char name[NAME_MAX_LEN + 1];
    s64 created; /* seconds since 1970 */
    struct image_source source;
};

int MUST_CHECK store_images(struct store *store, struct image_def **list, u32 *count, struct error *error);
void image_defs_free(struct image_def *list, u32 count);
/* -ENOENT with an error that names what is close. */
int MUST_CHECK store_image(struct store *store, const char *name, struct image_def *def, struct error *error);
void image_def_free(struct image_def *def);
/* Writes the path of its disk. */
int MUST_CHECK store_image_path(const struct store *store, const char *name, char *path, size_t size,
                                struct error *error);

/* Whoever puts a disk over an image holds the lock from before it looks for the image until that disk is there;
 * whoever deletes one has it alone. Returns a descriptor; closing it releases the lock. */
int MUST_CHECK store_images_lock(struct store *store, bool alone, struct error *error);

struct image_draft {
    char folder[PATH_MAX]; /* where disk.qcow2 is to be made */
    int lock;
};

/* Refuses a name that is taken. */
int MUST_CHECK store_image_draft(struct store *store, const char *name, struct image_draft *draft, struct error *error);
/* The disk is there: makes an image of the draft. In any case the draft has ended. */
int MUST_CHECK store_image_keep(struct store *store, struct image_draft *draft, struct image_def *def,
                                struct error *error);
void store_image_drop(struct image_draft *draft);
/* The caller has the lock alone, and no disk lies over it. */
int MUST_CHECK store_image_remove(struct store *store, const char *name, struct error *error);

/* Which VM has a disk over which image, or the image itself; each pair may occur several times. */
struct image_use {
    char image[NAME_MAX_LEN + 1], vm[NAME_MAX_LEN + 1];
};

int MUST_CHECK store_image_uses(struct store *store, struct image_use **list, u32 *count, struct error *error);

#endif
