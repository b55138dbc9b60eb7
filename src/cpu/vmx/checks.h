/*
 * What the VM-entry checks of this folder (checks_*.c) share: RULE, and conditions that many fields must meet.
 */
#ifndef CPU_VMX_CHECKS_H
#define CPU_VMX_CHECKS_H

#include "cpu/core/rule.h"
#include "cpu/vmx/vmx.h"

/* Returns true if no bit at or above MAXPHYADDR is set. */
static inline bool rule_physical(const struct vcpu *v, u64 address)
{
    return !(address >> v->vm->phys_bits);
}

static inline bool rule_page(const struct vcpu *v, u64 address)
{
    return !(address & PAGE_MASK) && rule_physical(v, address);
}

/* Returns true if `la` is canonical for the widest linear addresses that the CPU has. */
static inline bool rule_canonical(const struct vmx *x, u64 la)
{
    unsigned shift = x->cr4_may & CR4_LA57 ? 7 : 16;
    return (u64)((s64)(la << shift) >> shift) == la;
}

/* Returns true if an MSR list of `count` entries is 16-byte aligned and within MAXPHYADDR to its last byte. */
static inline bool rule_msr_list(const struct vcpu *v, u64 address, u32 count)
{
    return !count || (!(address & 15) && rule_physical(v, address) && rule_physical(v, address + count * 16ull - 1));
}

#endif
