/*
 * Hyper-V's interface for guests, which a vCPU has if its CPUID shows it. On the vCPU's own thread, or while it does
 * not run, unless marked [any].
 */
#ifndef CPU_INSN_HYPERV_H
#define CPU_INSN_HYPERV_H

#include "cpu/core/fault.h"

/* At creation, and when CPUID changed. */
void hyperv_features(struct vcpu *v);
void hyperv_reset(struct vcpu *v);

/* Does CPUID show these bits, if that is enforced? */
static inline bool hyperv_has(const struct vcpu *v, u32 shown, u32 bits)
{
    return !v->hv.enforce || shown & bits;
}

/* For the table of MSRs. */
bool hyperv_msr_exists(const struct vcpu *v, u32 msr, bool owner);
u64 *hyperv_msr_slot(struct vcpu *v, u32 msr);
MUST_CHECK enum outcome hyperv_msr_read(struct vcpu *v, u32 msr, u64 *value);
MUST_CHECK enum outcome hyperv_msr_write(struct vcpu *v, u32 msr, u64 value);
/* One of these MSRs was set from outside. */
void hyperv_restored(struct vcpu *v, u32 msr);
/* REQ_PARAVIRT was set. */
void hyperv_update(struct vcpu *v);

/* [any] Reference time, in 100 ns. */
u64 hyperv_time(const struct vm *vm);
/* After the instruction cpu_run returns CPU_EXIT_HYPERV. */
void hyperv_leave(struct vcpu *v, const struct cpu_exit_hyperv *why);

/* hyperv_call.c */
bool hyperv_calls(const struct vcpu *v);
MUST_CHECK enum outcome hyperv_call(struct vcpu *v);
void hyperv_call_finish(struct vcpu *v, u64 result);

/* synic.c */
void synic_reset(struct vcpu *v);
u64 synic_msr_read(struct vcpu *v, u32 msr);
bool synic_msr_write(struct vcpu *v, u32 msr, u64 value);
u64 *synic_msr_slot(struct vcpu *v, u32 msr);
void synic_restored(struct vcpu *v, u32 msr);
/* REQ_TIMER was set. */
void synic_timers(struct vcpu *v);
/* [any] Raises the interrupt of a SINT. 1, 0 if the APIC has it already, -1: there is none. */
int synic_interrupt(struct vcpu *v, unsigned sint);

#endif
