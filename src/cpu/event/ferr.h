/*
 * x87 errors with CR0.NE = 0: no #MF, but FERR#, which the machine turns into an interrupt, and a stop before the next
 * waiting instruction until IGNNE# or an interrupt ends it. On the vCPU's own thread but for ferr_ignne.
 */
#ifndef CPU_EVENT_FERR_H
#define CPU_EVENT_FERR_H

#include "cpu/core/vcpu.h"

/* Is this #MF one that goes out by FERR#? */
bool ferr_instead(const struct vcpu *v, const struct event *e);
/* The instruction at RIP found an error pending. Afterwards the vCPU is stopped, or repeats the instruction, which then
 * ignores the error. */
MUST_CHECK enum outcome ferr_raise(struct vcpu *v);
/* Around each instruction while vcpu.ferr is set; MODE_STEP is on. */
void ferr_step_begin(struct vcpu *v);
void ferr_step_end(struct vcpu *v);
/* After RESET, with no error pending. */
void ferr_reset(struct vcpu *v);
/* [any] The level of IGNNE#. */
void ferr_ignne(struct vm *vm, bool level);

#endif
