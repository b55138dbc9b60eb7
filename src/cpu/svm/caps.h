/*
 * What SVM this CPU has, as CPUID and the SVM MSRs show it.
 */
#ifndef CPU_SVM_CAPS_H
#define CPU_SVM_CAPS_H

#include "cpu/core/vcpu.h"

/* nested_ops.cpuid: leaf 8000_000Ah. */
void svm_cpuid(const struct vcpu *v, u32 leaf, u32 r[4]);

#define SVM_ASIDS 0x8000u

/* CPUID 8000_000Ah EDX. */
#define SVM_CPUID_NP BIT(0)
#define SVM_CPUID_LBR_VIRT BIT(1)
#define SVM_CPUID_SVML BIT(2)
#define SVM_CPUID_NRIPS BIT(3)
#define SVM_CPUID_TSC_RATE_MSR BIT(4)
#define SVM_CPUID_VMCB_CLEAN BIT(5)
#define SVM_CPUID_FLUSH_BY_ASID BIT(6)
#define SVM_CPUID_DECODE_ASSISTS BIT(7)
#define SVM_CPUID_PAUSE_FILTER BIT(10)
#define SVM_CPUID_PAUSE_THRESHOLD BIT(12)
#define SVM_CPUID_AVIC BIT(13)
#define SVM_CPUID_VMLOAD_VMSAVE BIT(15)
#define SVM_CPUID_VGIF BIT(16)
#define SVM_CPUID_VNMI BIT(25)
#define SVM_CPUID_ADDR_CHECK BIT(28)

#endif
