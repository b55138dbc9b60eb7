/*
 * Static memory of a VM that runs: taken from the guest, given back, added.
 */
#ifndef MANAGER_RESIZE_H
#define MANAGER_RESIZE_H

#include "manager/now.h"

/* Up to what the machine has room for. `now` is what its worker reported. The guest takes and gives what it can, in its
 * own time; a note says if that is not all after some seconds. */
int MUST_CHECK vm_resize(struct store *store, const struct vm_def *def, const struct vm_now *now, u64 memory,
                         struct error *error);

#endif
