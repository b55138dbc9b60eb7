/*
 * x87, SSE, AVX, AVX-512 and PKRU state as the XSAVE feature set sees it. (xstate.c)
 */
#ifndef CPU_XSTATE_H
#define CPU_XSTATE_H

#include "cpu/vcpu.h"

#define XSTATE_LEGACY_SIZE 512
#define XSTATE_HEADER_SIZE 64
#define XSTATE_SIZE_MAX 2816 /* legacy region to the end of PKRU, rounded up */
#define XSTATE_COMPONENTS 10

/* One user state component; [0] and [1] lie in the legacy region. size 0: not supported. */
struct xstate_component {
    u32 offset; /* in the standard format */
    u32 size;
    bool align; /* compacted format: at a multiple of 64 */
};

/* Size of an XSAVE area for the components in `mask`. */
u32 xstate_size(const struct xstate_component *c, u64 mask, bool compacted);

/* XINUSE of the running guest, limited to XCR0: what XGETBV(1) shows. */
u64 xstate_in_use(struct vcpu *v);

/* #GP(0)-free test for XSETBV: may `value` be loaded into XCR0? */
bool xstate_xcr0_valid(const struct vcpu *v, u64 value);

#endif
