/*
 * x87, SSE, AVX and AVX-512 state at the border between guest and host code. While the core runs, the guest's is live
 * in the host's registers; calls out of the core save it first and give host code a clean state.
 */
#include "cpu/core/vectors.h"

#include "cpu/core/copy.h"
#include "x86/xsave.h"

static u64 host_xcr0(void)
{
    u32 a, d;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a | (u64)d << 32;
}

void vector_save(struct vcpu *v)
{
    if (v->vector_depth++)
        return;
    static const u32 clean = MXCSR_RESET;
    u32 lo = (u32)v->vector_mask, hi = (u32)(v->vector_mask >> 32);
    __asm__ volatile("xsave64 %0" : "+m"(v->vectors) : "a"(lo), "d"(hi) : "memory");
    __asm__ volatile("fninit; ldmxcsr %0" : : "m"(clean) : "memory");
    if (v->vector_mask & XCR0_AVX)
        __asm__ volatile("vzeroupper");
}

void vector_restore(struct vcpu *v)
{
    if (--v->vector_depth)
        return;
    u32 lo = (u32)v->vector_mask, hi = (u32)(v->vector_mask >> 32);
    __asm__ volatile("xrstor64 %0" : : "m"(v->vectors), "a"(lo), "d"(hi) : "memory");
}

void vector_init(struct vcpu *v)
{
    v->vector_mask = host_xcr0() & (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512);
    v->vector_depth = 1;
    vector_reset(v);
}

void vector_reset(struct vcpu *v)
{
    const u64 in_use = XCR0_X87 | XCR0_SSE;
    const u16 fcw = FCW_RESET;
    const u32 mxcsr = MXCSR_RESET;
    fill_bytes(v->vectors, 0, sizeof v->vectors);
    __builtin_memcpy(v->vectors + FXSAVE_FCW, &fcw, sizeof fcw);
    __builtin_memcpy(v->vectors + FXSAVE_MXCSR, &mxcsr, sizeof mxcsr);
    __builtin_memcpy(v->vectors + XSTATE_BV, &in_use, sizeof in_use);
}
