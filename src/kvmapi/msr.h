/*
 * MSRs by the API: see msr.c.
 */
#ifndef KVMAPI_MSR_H
#define KVMAPI_MSR_H

#include "kvmapi/api.h"

/* For struct machine: an access that the filter or the program's wish to know of it leads here. */
enum machine_msr msr_asked(void *opaque, u32 msr, u64 *value, bool write, u32 why);
/* CPU_EXIT_MSR: fills in kvm_run. */
void msr_show(struct api_vcpu *v);
/* KVM_RUN begins: the program has answered, if an access waits for that. True: the instruction is to run again. */
bool msr_answered(struct api_vcpu *v);
/* The instruction has run again, or what waited is forgotten. */
void msr_done(struct api_vcpu *v);

extern const struct api_part msr_part;

#endif
