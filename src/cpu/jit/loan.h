/*
 * Loans at run time: in a stretch of a block, a guest register without a home (r11, r14, r15) works in the host
 * register of one that the stretch does not name, whose value waits in the vCPU. loan.c says when. A set of loans is a
 * u16 with the lenders of r11, r14 and r15, in four bits each; 0 is none.
 */
#ifndef CPU_JIT_LOAN_H
#define CPU_JIT_LOAN_H

#include "cpu/core/vcpu.h"

extern const u8 homeless[3];

static inline unsigned loan_lender(u16 loans, unsigned reg)
{
    return loans >> (reg == R11 ? 0 : reg == R14 ? 4 : 8) & 15;
}

/* For C code: moves the guest's registers back to their places in gpr[], or lends them again. */
static inline void loans_swap(struct vcpu *v, u16 loans)
{
    for (unsigned i = 0; i < ARRAY_LEN(homeless); i++) {
        unsigned lender = loan_lender(loans, homeless[i]);
        if (!lender)
            continue;
        u64 x = v->gpr[lender];
        v->gpr[lender] = v->gpr[homeless[i]];
        v->gpr[homeless[i]] = x;
    }
}

#endif
