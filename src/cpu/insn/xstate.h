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

/* XCR0's components as an image of STATE_XSAVE_SIZE bytes in the standard format, which is part of the vCPU's state;
 * while the vCPU does not run. Components that are not in XSTATE_BV have their initial values. */
void xstate_image_get(struct vcpu *v, u8 *image);
bool xstate_image_legal(const struct vcpu *v, const u8 *image);
void xstate_image_set(struct vcpu *v, const u8 *image);

#endif
