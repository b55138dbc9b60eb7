/*
 * How a copied instruction's registers and memory operand are renamed. rewrite.c makes the plan; rewrite.c and
 * reencode.c follow it.
 */
#ifndef CPU_JIT_PLAN_H
#define CPU_JIT_PLAN_H

#include "cpu/jit/emit.h"

struct decoded;

/* The memory operand in host code. */
enum pointer { POINTER_NONE, POINTER_SUM /* [rcx + addr + disp] */, POINTER_REG /* [pointer_reg] */ };

struct plan {
    enum pointer pointer;
    u8 pointer_reg;
    s32 disp;
    u8 addr;
    bool rcx_in, rcx_out; /* guest RCX in host rcx */
    u8 temp_count;
    struct {
        u8 host, guest;
        bool load, store;
    } temp[4];
    u8 spill_count;
    u8 spill[SPILL_COUNT];
    u8 map[GPR_COUNT]; /* guest to host */
    u32 busy;          /* GPRs that the instruction names, and their hosts */
};

/* reencode.c: emits the guest's instruction with the plan's registers and memory operand. */
void emit_copy(struct emit *e, const struct decoded *d, const struct plan *p, u32 mode);

#endif
