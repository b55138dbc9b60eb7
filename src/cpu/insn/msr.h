/*
 * Model-specific registers: one table says which exist, who keeps them and which values are legal. (msr.c)
 */
#ifndef CPU_INSN_MSR_H
#define CPU_INSN_MSR_H

#include "cpu/core/fault.h"
#include "cpu/core/vcpu.h"
#include "x86/msr.h"

/*
 * What RDMSR and WRMSR do after the privilege check and L2's intercepts: for the two instructions and for the MSR lists
 * of VM entry and exit. CPU_FAULT: #GP(0) is in v->fault (a caller that has its own idea of failure clears
 * v->fault.valid).
 */
MUST_CHECK enum outcome msr_read(struct vcpu *v, u32 msr, u64 *value);
MUST_CHECK enum outcome msr_write(struct vcpu *v, u32 msr, u64 value);

/*
 * MSRs as part of a vCPU's state, on whatever level it runs. msr_list gives the numbers of those that belong to no
 * other group of registers, as far as there is room, and how many there are. msr_get reads these and all others that
 * RDMSR of L1 can read. msr_refusal gives NULL if the value may be set, which only those of the list may to another
 * than they have; else the MSR's name. msr_set comes after it; what depends on the value is brought up to date by the
 * caller.
 */
u32 msr_list(struct vcpu *v, u32 *list, u32 room);
bool msr_get(struct vcpu *v, u32 msr, u64 *value);
const char *msr_refusal(struct vcpu *v, u32 msr, u64 value);
void msr_set(struct vcpu *v, u32 msr, u64 value);

/*
 * MSRs as the owner of the vCPU sets them, other than as a part of a state that was saved: what the guest could write,
 * and what it only reads if an owner may choose it. Bits that are fixed stay as they are. False: the CPU has no such
 * MSR, or it cannot have that value. msr_numbers gives those that a vCPU with these features has, as far as there is
 * room, and how many there are; msr_feature gives the value of one that reports what such a CPU can do.
 */
bool msr_put(struct vcpu *v, u32 msr, u64 value);
u32 msr_numbers(const struct cpu_features *f, u32 *list, u32 room);
bool msr_feature(const struct cpu_features *f, u32 msr, u64 *value);

/* Bits of EFER that this VM's CPU has. */
u64 msr_efer_valid(const struct vcpu *v);

/* Is each of the 8 bytes a legal PAT memory type? */
bool msr_pat_valid(u64 value);

/* Row i of the table: its name and the MSRs that it covers; NULL behind the last. For the trace and the tests. */
const char *msr_row(unsigned i, u32 *first, u32 *count);

/*
 * Values after RESET, as firmware would leave them (MTRRs on and write-back, FEATURE_CONTROL locked with VMXON
 * permitted). Covers every MSR that msr.c stores, and the TSC (CPU 0 before the others); not EFER, APIC_BASE and
 * segment bases. INIT changes none of these.
 */
void msr_reset(struct vcpu *v);

#endif
