/*
 * The exclusive section: one thread works while all vCPUs of the VM, or all others, are parked outside translated code.
 * For what no lock can guard, since translated code takes none: taking write mappings away, emptying the code cache, a
 * locked access that must be taken apart, a change of the slots of RAM.
 */
#ifndef CPU_CORE_EXCLUSIVE_H
#define CPU_CORE_EXCLUSIVE_H

#include "cpu/core/vcpu.h"

/* Parks all other vCPUs of the VM outside translated code. Must not be nested, and must not be called with a lock held.
 * Returns true if this vCPU was parked meanwhile: a running block may rely on what no longer holds and must be left,
 * and slots of RAM must be looked up again. */
bool exclusive_begin(struct vcpu *v);
void exclusive_end(struct vcpu *v);

/* The same for a thread that runs no vCPU now: parks them all. */
void exclusive_begin_outside(struct vm *vm);
void exclusive_end_outside(struct vm *vm);

/* On the vCPU's own thread: between the two, exclusive_begin of others waits for this vCPU. */
void run_begin(struct vcpu *v);
void run_end(struct vcpu *v);
/* REQ_EXCLUSIVE was seen: lets the owner of the section work. */
void park(struct vcpu *v);

#endif
