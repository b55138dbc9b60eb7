/*
 * How an operation that lasts reports what it does to the face that started it.
 */
#ifndef MANAGER_PROGRESS_H
#define MANAGER_PROGRESS_H

#include "base/types.h"

struct progress {
    /* `total` is 0 where it is not known how much there is to do. */
    void (*report)(const struct progress *progress, const char *what, u64 done, u64 total);
};

#endif
