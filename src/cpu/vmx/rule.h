/*
 * RULE: one check of VM entry. A check that fails names itself: its text and the manual's section (the file's SECTION
 * at that point) are kept in struct vmx and shown by --trace.
 */
#ifndef CPU_VMX_RULE_H
#define CPU_VMX_RULE_H

#include "cpu/core/cpuid.h"
#include "cpu/vmx/vmx.h"

#define RULE(cond, text)                                                                                               \
    do {                                                                                                               \
        if (unlikely(!(cond))) {                                                                                       \
            x->rule = (text);                                                                                          \
            x->section = SECTION;                                                                                      \
            return false;                                                                                              \
        }                                                                                                              \
    } while (0)

/* No bit at or above MAXPHYADDR. */
static inline bool rule_physical(const struct vcpu *v, u64 address)
{
    return !(address >> v->vm->phys_bits);
}

static inline bool rule_page(const struct vcpu *v, u64 address)
{
    return !(address & PAGE_MASK) && rule_physical(v, address);
}

/* Canonical for the widest linear addresses that the CPU has. */
static inline bool rule_canonical(const struct vmx *x, u64 la)
{
    unsigned shift = x->cr4_may & CR4_LA57 ? 7 : 16;
    return (u64)((s64)(la << shift) >> shift) == la;
}

/* An MSR list of `count` entries: 16-byte aligned, within MAXPHYADDR to its last byte. */
static inline bool rule_msr_list(const struct vcpu *v, u64 address, u32 count)
{
    return !count || (!(address & 15) && rule_physical(v, address) && rule_physical(v, address + count * 16ull - 1));
}

#endif
