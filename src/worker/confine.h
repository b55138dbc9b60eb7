/*
 * What QEMU and its helpers may do: docs/manager.md, "Confinement".
 */
#ifndef WORKER_CONFINE_H
#define WORKER_CONFINE_H

#include "store/vm.h"

enum confined_part { CONFINED_USER, CONFINED_NETWORK, CONFINED_RIGHTS, CONFINED_FILES, CONFINED_PARTS };

struct confined;

/* For one start of a VM: what its processes may keep. NULL: no memory. */
struct confined *confined_new(struct store *store, const struct vm_def *def);
void confined_free(struct confined *confined);
/* In the process that is to be confined, before it becomes the program. Never fails: what cannot be had is noted. */
void confined_enter(void *confined);
/* Lets a QEMU that runs as a user of its own find an image that is given to it now, or only those below it. Of another
 * QEMU nothing is changed. */
int MUST_CHECK confined_show(struct store *store, const struct vm_def *def, pid_t qemu, const char *path,
                             bool only_below, struct error *error);
/* The user that root's QEMU of a VM has where the host can do it; the one that this start has, 0: the worker's. */
u32 confined_user(const struct vm_def *def);
u32 confined_as(const struct confined *confined);
/* {"user" (root's only), "network", "rights", "files": true, or why not} of QEMU, once it runs; null if nothing is
 * known. */
json_t *confined_json(const struct confined *confined);

#endif
