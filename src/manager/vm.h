/*
 * Operations on VMs that are defined: created, listed, changed, renamed, cloned, deleted. Whatever ends a command, the
 * VM is as before or as it was to be (store/intent.h).
 */
#ifndef MANAGER_VM_H
#define MANAGER_VM_H

#include "manager/change.h"
#include "manager/disk.h"
#include "manager/now.h"
#include "manager/progress.h"
#include "manager/seed.h"

/* A VM under its lock, read after the lock was taken. `what`: the command, "start". */
struct vm_open {
    struct vm_def def;
    int lock;
};
int MUST_CHECK vm_open(struct store *store, const char *name, const char *what, struct vm_open *vm,
                       struct error *error);
/* The same of a VM that is off; others are refused. */
int MUST_CHECK vm_open_off(struct store *store, const char *name, const char *what, struct vm_open *vm,
                           struct error *error);
/* The same of a VM that is off or runs. */
int MUST_CHECK vm_open_hot(struct store *store, const char *name, const char *what, struct vm_open *vm, bool *runs,
                           struct error *error);
void vm_close(struct vm_open *vm);

/* Calls `each` with the names of the VMs that a name, a UUID or a pattern with * and ? stands for, sorted; ends with
 * its first error. A pattern that no VM has, is an error. */
int MUST_CHECK vm_each(struct store *store, const char *pattern,
                       int (*each)(struct store *store, const char *name, void *opaque, struct error *error),
                       void *opaque, struct error *error);
bool vm_is_pattern(const char *name);

/* What a new VM gets. */
struct vm_new {
    struct vm_def def; /* name and settings; without drives */
    const char *image; /* the name of the image that its first disk stands on; NULL: none */
    u64 image_size;    /* of that disk; 0: the image's */
    struct seed seed;  /* with an image there is always one */
    struct disk_new disk[VM_DISKS_MAX];
    u32 disks;
    const char *switch_name; /* a card is added there; NULL: none */
};
int MUST_CHECK vm_create(struct store *store, struct vm_new *new, const struct progress *progress, struct error *error);

/* An array of objects: "name", "id", "state", "settings", "configuration" ("12.0"), "created", "checkpoint", "disks",
 * "shares", "path"; and of a running VM what its worker reports, "hypervisor_active" among it. `pattern` NULL: all. */
int MUST_CHECK vm_list(struct store *store, const char *pattern, json_t **list, struct error *error);
/* One element of that, with "nics": of each what nic_list has. */
int MUST_CHECK vm_show(struct store *store, const char *name, json_t **object, struct error *error);
int MUST_CHECK vm_set(struct store *store, const char *name, const struct change *change, struct error *error);
/* Gives a VM that is off the newest configuration version of the host's profile. */
int MUST_CHECK vm_update(struct store *store, const char *name, struct error *error);
int MUST_CHECK vm_rename(struct store *store, const char *name, const char *new_name, struct error *error);

/* What deleting the VM loses: "files": an array of {"path", "bytes"}, "cards", "checkpoints", "saved". */
int MUST_CHECK vm_losses(struct store *store, const char *name, json_t **losses, struct error *error);
int MUST_CHECK vm_delete(struct store *store, const char *name, struct error *error);

/* -- for operations of other files -- */

/* All VMs but those whose definition is damaged, which are noted; *damaged is the first of these, or has code 0. */
int MUST_CHECK vm_read_all(struct store *store, struct vm_def **list, u32 *count, struct error *damaged,
                           struct error *error);
/* The steps that undo what creates a VM of that name. */
json_t *vm_undo_create(struct store *store, const char *name);
/* Has a switch take that cards came or went. NULL is ignored. */
void vm_refresh_switch(struct store *store, const char *name);
/* Locks two VMs, in the order of their names, so that two commands do not wait for each other. */
struct vm_two {
    const char *name[2]; /* the caller's */
    int lock[2];         /* -1: none, as both are one */
};
int MUST_CHECK vm_lock_two(struct store *store, const char *first, const char *second, const char *what,
                           struct vm_two *two, struct error *error);
void vm_unlock_two(struct store *store, const struct vm_two *two);

#endif
