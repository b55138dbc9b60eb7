/*
 * Memory of a VM that runs: its balloon takes some from the guest, and gives it back.
 */
#ifndef MANAGER_RESIZE_H
#define MANAGER_RESIZE_H

#include "manager/now.h"

/* No more than the VM was started with. The guest gives what it can, in its own time. */
int MUST_CHECK vm_resize(struct store *store, const struct vm_def *def, u64 memory, struct error *error);

#endif
