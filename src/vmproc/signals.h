/*
 * The signals that a VM's process takes: those that end it, and those by which a shell stops its jobs. The owner of the
 * VM polls a descriptor for them; all threads have them blocked.
 */
#ifndef VMPROC_SIGNALS_H
#define VMPROC_SIGNALS_H

#include "base/types.h"

#include <signal.h>

struct signals {
    int fd;                          /* for poll(): signals_next() has something; -1: none */
    sigset_t outside;                /* the mask of whoever called */
    void (*continued)(void *opaque); /* after a stop */
    void *opaque;
};

/* Blocks the signals on the calling thread, before it makes others. Returns 0 or -errno; signals_close is to be called
 * in any case. */
int MUST_CHECK signals_open(struct signals *s, void (*continued)(void *opaque), void *opaque);
void signals_close(struct signals *s);
/* Returns the next signal that ends the VM, or 0. Those of job control are handled here. */
int signals_next(struct signals *s);
/* From now on nobody calls signals_next, so SIGINT and SIGTERM end the process at once. */
void signals_end_at_once(void);
/* From now on somebody calls signals_next again. */
void signals_block(void);

#endif
