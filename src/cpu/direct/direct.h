/*
 * User code that the host's CPU executes itself, in a process per address space: docs/direct.md. On the vCPU's thread.
 */
#ifndef CPU_DIRECT_DIRECT_H
#define CPU_DIRECT_DIRECT_H

#include "cpu/core/vcpu.h"

size_t direct_size(void);
/* `memory` is zeroed memory of the accelerator. */
void direct_attach(struct vcpu *v, void *memory);
void direct_detach(struct vcpu *v);
/* The owner of the vCPU may have written to any code: processes begin anew before user code goes on. */
void direct_doubt(struct vcpu *v);

/* Called before translated code would be entered: executes user code in a process instead, if the state of the vCPU is
 * one that a process can have, and what stopped that with it. False: nothing was done. */
bool direct_execute(struct vcpu *v);
/* The vCPU sleeps or leaves. */
void direct_rest(struct vcpu *v);

#endif
