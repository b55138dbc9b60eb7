/*
 * MSRs of machine checks: see mce.c. The functions are those of struct msr_row.
 */
#ifndef CPU_INSN_MCE_H
#define CPU_INSN_MCE_H

#include "cpu/core/vcpu.h"
#include "x86/msr.h"

u64 *mc_slot(struct vcpu *v, u32 msr);
bool mc_exists(const struct vcpu *v, u32 msr, bool owner);
bool mc_legal(const struct vcpu *v, u32 msr, u64 value);
MUST_CHECK enum outcome mc_write(struct vcpu *v, u32 msr, u64 value);
bool mcg_status_legal(const struct vcpu *v, u32 msr, u64 value);
bool ctl2_exists(const struct vcpu *v, u32 msr, bool owner);
bool ctl2_legal(const struct vcpu *v, u32 msr, u64 value);
bool ext_ctl_exists(const struct vcpu *v, u32 msr, bool owner);
bool ext_ctl_legal(const struct vcpu *v, u32 msr, u64 value);

#endif
