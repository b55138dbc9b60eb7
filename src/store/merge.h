/*
 * Images of a VM that no definition has any more, and that other images stand on: what deleted checkpoints leave. They
 * have a file each in the VM's folder merge. Each goes once nothing stands on it, after the one image that does has
 * taken what it has: by a command while QEMU does not use them, by the VM's worker while it does.
 */
#ifndef STORE_MERGE_H
#define STORE_MERGE_H

#include "store/vm.h"

#include <limits.h>

#define MERGE_FOLDER "/merge"

struct merge {
    char own[256];        /* as definitions have it: "disks/..." */
    char image[PATH_MAX]; /* absolute */
    char top[PATH_MAX];   /* the one that stands on it; empty: none does */
    char base[1024];      /* what the image stands on, as it is written there; empty: nothing */
};

/* Adds the step that lists an image, by its path as definitions have it. Returns 0, or -1: no memory. */
int MUST_CHECK merge_steps(const char *vm, const char *own, json_t *steps);
/* Returns how many are listed. */
u32 merge_count(struct store *store, const char *vm);
/* Finds one that can go now, beginning behind number `*from`, which becomes its number plus one. Returns 1; 0: there is
 * none; or an error. */
int MUST_CHECK merge_next(struct store *store, const char *vm, u32 *from, struct merge *m, struct error *error);
/* Nothing stands on it any more: removes it. */
int MUST_CHECK merge_remove(struct store *store, const char *vm, const struct merge *m, struct error *error);

#endif
