/*
 * What QEMU and its helpers may do: docs/manager.md, "Confinement".
 */
#ifndef WORKER_CONFINE_H
#define WORKER_CONFINE_H

#include "store/vm.h"

enum confined_part { CONFINED_NETWORK, CONFINED_RIGHTS, CONFINED_FILES, CONFINED_PARTS };

struct confined;

/* For one start of a VM: what its processes may keep. NULL: no memory. */
struct confined *confined_new(const struct store *store, const struct vm_def *def);
void confined_free(struct confined *confined);
/* In the process that is to be confined, before it becomes the program. Never fails: what cannot be had is noted. */
void confined_enter(void *confined);
/* {"network", "rights", "files": true, or why not} of QEMU, once it runs; null if nothing is known. */
json_t *confined_json(const struct confined *confined);

#endif
