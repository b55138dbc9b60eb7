/*
 * x87, SSE, AVX, AVX-512 and PKRU state as the XSAVE feature set sees it. (xstate.c)
 */
#ifndef CPU_INSN_XSTATE_H
#define CPU_INSN_XSTATE_H

#include "cpu/core/vcpu.h"
#include "cpu/core/xsave_layout.h"

/* XINUSE of the running guest, limited to XCR0: what XGETBV(1) shows. */
u64 xstate_in_use(struct vcpu *v);

/* #GP(0)-free test for XSETBV: may `value` be loaded into XCR0? */
bool xstate_xcr0_valid(const struct vcpu *v, u64 value);

#endif
