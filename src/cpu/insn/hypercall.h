/*
 * VMCALL and VMMCALL outside nested operation: #UD, or a hypercall. On the vCPU's own thread.
 */
#ifndef CPU_INSN_HYPERCALL_H
#define CPU_INSN_HYPERCALL_H

#include "cpu/core/fault.h"

/* Do both instructions work, also in VMX operation and with EFER.SVME, because they are KVM's? */
static inline bool hypercall_offered(const struct vcpu *v)
{
    return v->vm->paravirt || v->hv.shown;
}
MUST_CHECK enum outcome hypercall(struct vcpu *v, enum vendor vendor);
/* The answer to a hypercall that left to the owner of the VM. */
void hypercall_finish(struct vcpu *v, u64 result);

#endif
