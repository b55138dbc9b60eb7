/*
 * What follows from a change of the processor's state: vcpu.mode, and the TLB context. (mode.c)
 */
#ifndef CPU_MMU_MODE_H
#define CPU_MMU_MODE_H

#include "cpu/core/vcpu.h"

/* All of RFLAGS as given (the caller applied privilege rules). Rechecks interrupts if IF rises and keeps the
 * mode in step if TF or VM changed. (mmu/mode.c) */
void rflags_set(struct vcpu *v, u64 value);
/* RFLAGS stored without mode_update, for callers that change CPL or CS next. */
void rflags_store(struct vcpu *v, u64 value);

/* Recomputes vcpu.mode (and cpl-dependent things) after CS, SS, DS, ES, CR0, CR4, EFER, XCR0, RFLAGS.TF/VM, DR7,
 * shadow, or in_guest changed, and selects the TLB context. */
void mode_update(struct vcpu *v);

#endif
