/*
 * KVM's paravirtual interface for guests: its clock, steal time, asynchronous page faults and their MSRs; the
 * hypercalls are in hypercall.c. On the vCPU's own thread, or while it does not run, unless marked [any].
 */
#ifndef CPU_INSN_PARAVIRT_H
#define CPU_INSN_PARAVIRT_H

#include "cpu/core/fault.h"
#include "x86/kvm_para.h"

/* At creation, and when CPUID changed: which features it shows. */
void paravirt_features(struct vcpu *v);
void paravirt_reset(struct vcpu *v);

/* May the guest use it? Without pv.enforce it need not be shown, as under KVM. */
static inline bool paravirt_has(const struct vcpu *v, enum kvm_para_feature feature)
{
    return !v->pv.enforce || v->pv.shown >> feature & 1;
}

/* For the table of MSRs: does it exist, where its value lives, is the value legal, what WRMSR does. */
bool paravirt_msr_exists(const struct vcpu *v, u32 msr, bool owner);
u64 *paravirt_msr_slot(struct vcpu *v, u32 msr);
bool paravirt_msr_legal(const struct vcpu *v, u32 msr, u64 value);
MUST_CHECK enum outcome paravirt_msr_write(struct vcpu *v, u32 msr, u64 value);
/* Any MSR was set from outside. */
void paravirt_restored(struct vcpu *v, u32 msr);

/* REQ_PARAVIRT was set: brings the structures in guest memory up to date. */
void paravirt_update(struct vcpu *v);
/* Time that others ran on the host's CPU: counts now and then, as long as somebody calls it. */
void paravirt_steal(struct vcpu *v);
/* The same when the vCPU begins to run. */
void paravirt_enter(struct vcpu *v);
/* Around a sleep of the vCPU. True: it need not sleep. */
bool paravirt_sleep(struct vcpu *v);
void paravirt_wake(struct vcpu *v);

/* [any] The pair from which the clock is computed. */
struct paravirt_clock paravirt_clock_read(const struct vm *vm);
/* [any] The clock of the VM when the host's TSC is `tsc`; and sets it for all vCPUs. */
u64 paravirt_clock(const struct vm *vm, u64 tsc);
void paravirt_clock_set(struct vm *vm, u64 tsc, u64 ns);
/* [any] Is it the same on all vCPUs to the nanosecond? */
bool paravirt_clock_stable(const struct vm *vm);

#endif
