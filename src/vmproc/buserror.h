/*
 * Pages that the host cannot provide: SIGBUS in guest memory (the host is out of memory, or has a memory or a swap
 * error) or in a file to boot from (it became shorter).
 */
#ifndef VMPROC_BUSERROR_H
#define VMPROC_BUSERROR_H

#include "machine/pc.h"

/* From now on SIGBUS in *pc's memory (NULL: none yet) or in the files of `boot` is noted and written to the eventfd
 * `wake`. Called before the accelerator installs handlers. Returns 0 or -errno. */
int MUST_CHECK buserror_watch(struct pc *const *pc, const struct boot *boot, int wake);
/* Ends that, before what was given to buserror_watch goes. */
void buserror_unwatch(void);
/* Returns true if a page was lost, so that what the VM did since is worth nothing. The error says which page. */
bool buserror_found(struct error *error);

#endif
