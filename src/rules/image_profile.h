/*
 * What `nestbox image build` makes: each profile is a row with its packages.
 */
#ifndef RULES_IMAGE_PROFILE_H
#define RULES_IMAGE_PROFILE_H

#include "base/types.h"

struct image_profile {
    const char *name;     /* NULL ends the table */
    const char *summary;  /* a phrase */
    const char *packages; /* Debian's, besides those that every image has; separated by spaces */
    u64 size;             /* of the disk */
};

extern const struct image_profile image_profiles[];
/* Returns the row, or NULL. */
const struct image_profile *image_profile_find(const char *name);

#endif
