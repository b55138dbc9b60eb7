/*
 * Waiting for another thread that is about to be done: the core has no locks of the C library.
 */
#ifndef CPU_CORE_SPIN_H
#define CPU_CORE_SPIN_H

#include "base/types.h"
#include "cpu/core/tunables.h"

static inline void yield_host(void)
{
    long r;
    __asm__ volatile("syscall" : "=a"(r) : "a"(24L) : "rcx", "r11", "memory"); /* sched_yield */
}

/* One turn of a waiting loop; *spins counts them and starts at 0. */
static inline void relax(u32 *spins)
{
    if (++*spins % SPIN_YIELD == 0)
        yield_host();
    else
        __builtin_ia32_pause();
}

static inline void spin_lock(u32 *lock)
{
    u32 spins = 0;
    while (__atomic_exchange_n(lock, 1, __ATOMIC_ACQUIRE))
        while (__atomic_load_n(lock, __ATOMIC_RELAXED))
            relax(&spins);
}

static inline void spin_unlock(u32 *lock)
{
    __atomic_store_n(lock, 0, __ATOMIC_RELEASE);
}

#endif
