/*
 * How whoever opens files waits for the other end of a pipe. The owner of the time-out and of the signals provides it.
 */
#ifndef BASE_PATIENCE_H
#define BASE_PATIENCE_H

#include "base/error.h"

struct patience {
    /* Waits until `fd` has one of `events` (as for poll), or with -1 a moment. `what` says for whom, as a phrase. 0, or
     * -ECANCELED with an error: the wait is over. */
    int (*wait)(void *opaque, int fd, short events, const char *what, struct error *error);
    void *opaque;
};

#endif
