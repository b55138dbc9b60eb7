/*
 * x87, SSE, AVX and AVX-512 state at the border between guest and host code: see vectors.h. A pair of XSAVE and XRSTOR
 * takes about as long as 400 simple instructions, so the less often the better.
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
    static const u32 clean = MXCSR_RESET;
    u32 lo = (u32)v->vector_mask, hi = (u32)(v->vector_mask >> 32);
    u64 in_use;
    if (!v->vectors_live)
        return;
    v->vectors_live = false;
    __asm__ volatile("xsave64 %0" : "+m"(v->vectors) : "a"(lo), "d"(hi) : "memory");
    __asm__ volatile("ldmxcsr %0" : : "m"(clean) : "memory");
    __builtin_memcpy(&in_use, v->vectors + XSTATE_BV, sizeof in_use);
    if (in_use & XCR0_X87) /* else it is as FNINIT leaves it */
        __asm__ volatile("fninit" : : : "memory");
    if (v->vector_mask & XCR0_AVX)
        __asm__ volatile("vzeroupper");
}

void vector_load(struct vcpu *v)
{
    if (v->vectors_live)
        return;
    v->vectors_live = true;
    u32 lo = (u32)v->vector_mask, hi = (u32)(v->vector_mask >> 32);
    __asm__ volatile("xrstor64 %0" : : "m"(v->vectors), "a"(lo), "d"(hi) : "memory");
}

void vector_init(struct vcpu *v)
{
    v->vector_mask = host_xcr0() & (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512);
    v->vectors_live = false;
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
