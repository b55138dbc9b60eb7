/*
 * Byte copies for the freestanding core: REP string instructions, which touch no vector register.
 */
#ifndef CPU_CORE_COPY_H
#define CPU_CORE_COPY_H

#include "base/types.h"

static inline void copy_bytes(void *dst, const void *src, size_t n)
{
    __asm__ volatile("rep movsb" : "+D"(dst), "+S"(src), "+c"(n) : : "memory");
}

static inline void fill_bytes(void *dst, u8 value, size_t n)
{
    __asm__ volatile("rep stosb" : "+D"(dst), "+c"(n) : "a"(value) : "memory");
}

#endif
