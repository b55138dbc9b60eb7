/*
 * Copies of VMs. A linked clone's disks begin as those of its original and keep only what differs, so that they are
 * made at once and are small; the others are whole copies.
 */
#ifndef MANAGER_CLONE_H
#define MANAGER_CLONE_H

#include "manager/progress.h"
#include "store/network.h"

struct clone_kind {
    bool linked;
    bool template; /* the clone is a template: it cannot be started, only cloned */
};

/* The original must be off. Cards get addresses of their own. */
int MUST_CHECK vm_clone(struct store *store, const char *name, const char *new_name, const struct clone_kind *kind,
                        const struct progress *progress, struct error *error);

#endif
