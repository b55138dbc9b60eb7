/*
 * VMs and vCPUs as objects: see vm.c and vcpu.c.
 */
#ifndef KVMAPI_VM_H
#define KVMAPI_VM_H

#include "kvmapi/api.h"

/* Makes a VM. Returns its descriptor or -errno. */
long vm_open(void);
void vm_get(struct api_vm *vm);
void vm_put(struct api_vm *vm);

/* The program is about to watch memory by userfaultfd, which sees nothing of what other processes do: ends direct
 * execution in all VMs. */
void vms_watched(void);

/* Makes a vCPU, with vm.lock held. Returns its descriptor or -errno. */
long vcpu_open(struct api_vm *vm, u64 id);
/* Called when the VM ends. */
void vcpu_free(struct api_vcpu *v);

extern const struct api_part system_part, vm_part, vcpu_part, memory_part;

#endif
