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

/* Blocks them on the calling thread, before it makes others. 0 or -errno; signals_close() in either case. */
int MUST_CHECK signals_open(struct signals *s, void (*continued)(void *opaque), void *opaque);
void signals_close(struct signals *s);
/* The next one that ends the VM, 0: none. Those of job control are done with here. */
int signals_next(struct signals *s);
/* Where nobody is left to do more: the second SIGINT or SIGTERM ends the process at once. */
void signals_end_at_once(void);
/* And where somebody is again. */
void signals_block(void);

#endif
