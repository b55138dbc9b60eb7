/*
 * VMCALL and VMMCALL outside nested operation: #UD, or for test programs a hypercall. On the vCPU's own thread.
 */
#ifndef CPU_INSN_HYPERCALL_H
#define CPU_INSN_HYPERCALL_H

#include "cpu/core/fault.h"

MUST_CHECK enum outcome hypercall(struct vcpu *v, enum vendor vendor);

#endif
