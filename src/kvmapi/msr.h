/*
 * MSRs by the API: see msr.c.
 */
#ifndef KVMAPI_MSR_H
#define KVMAPI_MSR_H

#include "kvmapi/api.h"

/* For struct machine: accesses come here that the filter names, or that the program wants to see. */
enum machine_msr msr_asked(void *opaque, u32 msr, u64 *value, bool write, u32 why);
/* Fills in kvm_run for CPU_EXIT_MSR. */
void msr_show(struct api_vcpu *v);
/* KVM_RUN begins: takes the program's answer, if an access waits for one. Returns true if the instruction is to run
 * again. */
bool msr_answered(struct api_vcpu *v);
/* The instruction has run again, or what waited is forgotten. */
void msr_done(struct api_vcpu *v);

extern const struct api_part msr_part;

#endif
