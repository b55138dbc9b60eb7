/*
 * The host's clocks in nanoseconds; first of all the one that never goes back.
 */
#ifndef BASE_MONOTONIC_H
#define BASE_MONOTONIC_H

#include "base/types.h"

#include <time.h>

KEEPS_VECTORS static inline u64 clock_now_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (u64)t.tv_sec * 1000000000ull + (u64)t.tv_nsec;
}

KEEPS_VECTORS static inline u64 monotonic_ns(void)
{
    return clock_now_ns(CLOCK_MONOTONIC);
}

#endif
