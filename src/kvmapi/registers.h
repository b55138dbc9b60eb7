/*
 * Registers of a vCPU by the API's structs: what run.c needs of registers.c.
 */
#ifndef KVMAPI_REGISTERS_H
#define KVMAPI_REGISTERS_H

#include "kvmapi/api.h"

/* KVM_RUN begins: what kvm_dirty_regs and the fields for the user's interrupt controller say. 0 or -EINVAL. */
long registers_sync_in(struct api_vcpu *v);
/* KVM_RUN ends: what kvm_valid_regs asks for, and the fields that are always filled in. */
void registers_sync_out(struct api_vcpu *v);

/* A state from the heap with these groups filled in, or NULL; and its way back, which frees it. */
struct cpu_state *registers_state(struct api_vcpu *v, u64 wanted);
int MUST_CHECK registers_store(struct api_vcpu *v, struct cpu_state *s, u64 given);

extern const struct api_part registers_part;

#endif
