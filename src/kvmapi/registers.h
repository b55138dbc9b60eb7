/*
 * Registers of a vCPU by the API's structs: what run.c needs of registers.c.
 */
#ifndef KVMAPI_REGISTERS_H
#define KVMAPI_REGISTERS_H

#include "kvmapi/api.h"

/* KVM_RUN begins: sets the registers that kvm_dirty_regs names. Returns 0 or -EINVAL. */
long registers_sync_in(struct api_vcpu *v);
/* KVM_RUN ends: fills in the registers that kvm_valid_regs asks for. */
void registers_sync_out(struct api_vcpu *v);

/* Returns a state from the heap with these groups filled in, or NULL; and sets such a state, and frees it. */
struct cpu_state *registers_state(struct api_vcpu *v, u64 wanted);
int MUST_CHECK registers_store(struct api_vcpu *v, struct cpu_state *s, u64 given);

extern const struct api_part registers_part;

#endif
