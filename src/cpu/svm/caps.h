/*
 * What SVM this CPU has, as CPUID and the SVM MSRs show it.
 */
#ifndef CPU_SVM_CAPS_H
#define CPU_SVM_CAPS_H

#include "cpu/core/vcpu.h"

/* nested_ops.cpuid: leaf 8000_000Ah. */
void svm_cpuid(const struct vcpu *v, u32 leaf, u32 r[4]);

#define SVM_ASIDS 0x8000u

#endif
