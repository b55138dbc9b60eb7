/*
 * The signals that a VM's process takes: those that end it, and those by which a shell stops its jobs. The owner of the
 * VM waits for them in signals_poll; all threads have them blocked.
 */
#ifndef VMPROC_SIGNALS_H
#define VMPROC_SIGNALS_H

#include "base/types.h"

#include <poll.h>
#include <signal.h>

struct signals {
    sigset_t outside;                /* the mask of whoever called */
    void (*continued)(void *opaque); /* after a stop */
    void *opaque;
};

/* Blocks the signals on the calling thread, before it makes others. */
void signals_open(struct signals *s, void (*continued)(void *opaque), void *opaque);
void signals_close(struct signals *s);
/* poll(), which a signal ends, too, with 0. Call signals_next after it. */
int MUST_CHECK signals_poll(struct pollfd *fds, unsigned count, int timeout_ms);
/* Returns the next signal that ends the VM, or 0. Those of job control are handled here. */
int signals_next(struct signals *s);
/* From now on nobody calls signals_next, so SIGINT and SIGTERM end the process at once. */
void signals_end_at_once(void);
/* From now on somebody calls signals_next again. */
void signals_block(void);

#endif
