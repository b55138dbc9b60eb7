/*
 * System management mode: docs/smm.md.
 */
#ifndef CPU_EVENT_SMM_H
#define CPU_EVENT_SMM_H

#include "cpu/core/vcpu.h"

/* An SMI is taken: saves the state, of L2 if that runs, and enters the handler. */
void smm_enter(struct vcpu *v);
/* At RESET. */
void smm_reset(struct vcpu *v);

#endif
