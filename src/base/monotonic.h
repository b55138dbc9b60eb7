/*
 * The host's clock that never goes back.
 */
#ifndef BASE_MONOTONIC_H
#define BASE_MONOTONIC_H

#include "base/types.h"

#include <time.h>

/* Nanoseconds of CLOCK_MONOTONIC. */
KEEPS_VECTORS static inline u64 monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

#endif
