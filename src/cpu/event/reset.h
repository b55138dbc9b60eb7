/*
 * RESET and INIT. (reset.c)
 */
#ifndef CPU_EVENT_RESET_H
#define CPU_EVENT_RESET_H

#include "cpu/core/vcpu.h"

/* What RESET does but for MSRs and vector state, which cpu_reset adds; or INIT, with what the manual says survives. */
void reset_vcpu(struct vcpu *v, bool init);

#endif
