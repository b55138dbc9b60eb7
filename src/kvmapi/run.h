/*
 * KVM_RUN: see run.c.
 */
#ifndef KVMAPI_RUN_H
#define KVMAPI_RUN_H

#include "kvmapi/api.h"

long run_vcpu(struct api_vcpu *v, struct api_arg *arg);
/* [signal] On the vCPU's thread: makes it leave KVM_RUN with EINTR. */
void run_interrupt(struct api_vcpu *v);
/* Fills in what the engine calls of the VM, as a struct machine. */
void run_machine_init(struct machine *m, struct api_vm *vm);
/* Returns the vCPU whose KVM_RUN the calling thread is in, or NULL. */
struct api_vcpu *run_current(void);
/* In KVM_RUN, on the vCPU's thread: KVM_RUN returns with KVM_EXIT_IOAPIC_EOI when the instruction is done. */
void run_eoi_exit(struct api_vcpu *v, u8 vector);

extern const struct api_part run_part;

#endif
