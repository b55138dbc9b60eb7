/*
 * The vCPU of tests of instructions whose operands are in the host's vector registers: runs a handler with `before` in
 * them and leaves what it made of them in `after`.
 */
#ifndef TESTS_UNIT_VECTOR_STATE_H
#define TESTS_UNIT_VECTOR_STATE_H

#include "unit/core.h"

struct xstate_image { /* as XSAVE writes it, not compacted */
    u8 b[4096];
} __attribute__((aligned(64)));

static struct vcpu *v;
static struct xstate_image before, after, mine;
static u8 *ram;
static u64 host_mask;

/* `before` with zeros in every register and the control words that programs start with. */
static inline void vector_state_clear(void)
{
    const u16 fcw = FCW_INIT;
    const u32 mxcsr = MXCSR_RESET;
    memset(&before, 0, sizeof(before));
    memcpy(before.b + FXSAVE_FCW, &fcw, sizeof(fcw));
    memcpy(before.b + FXSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
    memcpy(before.b + XSTATE_BV, &host_mask, sizeof(host_mask));
}

/* A new vCPU and a cleared `before`. */
static inline void vector_state_create(void)
{
    core_create(VENDOR_INTEL, false, 1, NULL);
    v = vm.vcpu[0];
    ram = vm.ram->slot[0].host;
    host_mask = core_features.xcr0 & ~XCR0_PKRU;
    v->xcr0 = core_features.xcr0;
    vector_state_clear();
}

__attribute__((target("general-regs-only"), noinline)) static enum outcome run_raw(insn_fn fn, const struct insn *in)
{
    u32 lo = (u32)host_mask, hi = (u32)(host_mask >> 32);
    __asm__ volatile("xsave64 %0" : "+m"(mine) : "a"(lo), "d"(hi));
    __asm__ volatile("xrstor64 %0" : : "m"(before), "a"(lo), "d"(hi) : "memory");
    enum outcome out = fn(v, in);
    __asm__ volatile("xsave64 %0" : "+m"(after) : "a"(lo), "d"(hi));
    __asm__ volatile("xrstor64 %0" : : "m"(mine), "a"(lo), "d"(hi) : "memory");
    return out;
}

static inline enum outcome run_handler(insn_fn fn, const struct insn *in)
{
    v->fault.valid = false;
    memset(&after, 0, sizeof(after));
    return run_raw(fn, in);
}

#endif
