/*
 * Checkpoints of VMs: disks, definition, firmware and TPM, and of a standard one memory and devices, at one instant.
 * They form a tree; a VM stands on one of them, or on none. docs/manager.md has the files.
 */
#ifndef MANAGER_CHECKPOINT_H
#define MANAGER_CHECKPOINT_H

#include "manager/progress.h"
#include "store/vm.h"

/* `name` NULL: the VM's name and the time. `kind` is CHECKPOINT_DISABLED for what the VM's settings say. *object is one
 * element of what checkpoint_list has. */
int MUST_CHECK checkpoint_create(struct store *store, const char *vm, const char *name, enum checkpoint_kind kind,
                                 const struct progress *progress, json_t **object, struct error *error);
/* An array in the order of time: "id", "name", "kind", "created", "parent" (an id or null), "current" (the VM stands on
 * it), "memory" (bytes, or null), "disks": {id: {"path", "bytes"}}. */
int MUST_CHECK checkpoint_list(struct store *store, const char *vm, json_t **list, struct error *error);
int MUST_CHECK checkpoint_show(struct store *store, const char *vm, const char *name, json_t **object,
                               struct error *error);
/* The VM is what it was; what it is now is lost, and it is off, or saved where the checkpoint has memory. A VM that
 * runs is turned off. */
int MUST_CHECK checkpoint_apply(struct store *store, const char *vm, const char *name, struct error *error);
/* What deleted checkpoints left and is not merged yet: {"images": how many, "done", "total": bytes of the one that is
 * being merged, or 0}. Its progress is the worker's, which does it in the background. */
int MUST_CHECK checkpoint_merging(struct store *store, const char *vm, json_t **object, struct error *error);

/* -- for operations of other files: the VM is locked -- */

/* As checkpoint_create; `id` gets that of the checkpoint. */
int MUST_CHECK checkpoint_take(struct store *store, struct vm_def *def, const char *name, enum checkpoint_kind kind,
                               const struct progress *progress, char id[static UUID_TEXT_MAX], struct error *error);

int MUST_CHECK checkpoint_rename(struct store *store, const char *vm, const char *name, const char *new_name,
                                 struct error *error);
/* The checkpoint goes and the VM stays as it is. Images that nothing stands on any more go too; those that only one
 * other stands on are merged into it while the VM is off. */
int MUST_CHECK checkpoint_delete(struct store *store, const char *vm, const char *name, const struct progress *progress,
                                 struct error *error);

#endif
