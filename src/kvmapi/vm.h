/*
 * VMs and vCPUs as objects: see vm.c and vcpu.c.
 */
#ifndef KVMAPI_VM_H
#define KVMAPI_VM_H

#include "kvmapi/api.h"

/* A new VM's descriptor, or -errno. */
long vm_open(void);
void vm_get(struct api_vm *vm);
void vm_put(struct api_vm *vm);

/* With vm.lock held: a new vCPU's descriptor, or -errno. */
long vcpu_open(struct api_vm *vm, u64 id);
/* The VM ends. */
void vcpu_free(struct api_vcpu *v);

extern const struct api_part system_part, vm_part, vcpu_part, memory_part;

#endif
