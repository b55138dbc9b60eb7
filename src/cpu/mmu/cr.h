/*
 * Control registers: which values they may have, and loading them with every effect that the manual gives a MOV to CR.
 * VM entry and exit load state under their own rules and do not come here.
 */
#ifndef CPU_MMU_CR_H
#define CPU_MMU_CR_H

#include "cpu/core/fault.h"
#include "cpu/core/vcpu.h"

/* Bits of CR4 that this VM's CPUID makes available. */
u64 cr4_allowed(const struct cpu_features *f);

/* May CR0, CR3, CR4 or CR8 be changed to `value` from the current state? Otherwise it is #GP(0). */
bool cr_valid(struct vcpu *v, unsigned cr, u64 value);

/* Check, then load: paging and long mode go on or off, PDPTEs are loaded, TLBs are flushed, the mode is updated.
 * Nothing has changed unless CPU_OK. */
MUST_CHECK enum outcome cr0_write(struct vcpu *v, u64 value);
MUST_CHECK enum outcome cr3_write(struct vcpu *v, u64 value);
MUST_CHECK enum outcome cr4_write(struct vcpu *v, u64 value);

#endif
