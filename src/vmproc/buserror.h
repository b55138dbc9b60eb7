/*
 * Pages that the host does not give: SIGBUS in guest memory (out of memory where the kernel says so, a memory or a swap
 * error) or in a file to boot from (it became shorter).
 */
#ifndef VMPROC_BUSERROR_H
#define VMPROC_BUSERROR_H

#include "machine/pc.h"

/* From now on SIGBUS in *pc's memory (NULL: none yet) or in the files of `boot` is noted and written to the eventfd
 * `wake`. Before the accelerator installs handlers. 0 or -errno. */
int MUST_CHECK buserror_watch(struct pc *const *pc, const struct boot *boot, int wake);
/* No more: before what was given to buserror_watch goes. */
void buserror_unwatch(void);
/* True: a page was lost, and what the VM did since is worth nothing. The error says which. */
bool buserror_found(struct error *error);

#endif
