/*
 * The MSRs of SVM: as RDMSR and WRMSR access them (svm_ops), and those of them that are state of the vCPU.
 * Source: AMD APM volume 2, "Secure Virtual Machine", "SVM Related MSRs", "TSC Ratio MSR".
 */
#include "x86/msr.h"
#include "cpu/core/cpuid.h"
#include "cpu/svm/svm.h"

bool svm_msr_read(struct vcpu *v, u32 msr, u64 *value, enum outcome *out)
{
    *out = CPU_OK;
    switch (msr) {
    case MSR_VM_CR: *value = v->vm_cr; return true;
    case MSR_VM_HSAVE_PA: *value = v->vm_hsave_pa; return true;
    case MSR_TSC_RATIO: *value = v->svm->tsc_ratio; return true;
    case MSR_SVM_KEY: /* reads as zero */ *value = 0; return true;
    case MSR_SMM_CTL: /* write-only */ *out = raise_gp(v, 0); return true;
    default: return false;
    }
}

#define VM_CR_DEFINED (VM_CR_DPD | VM_CR_R_INIT | VM_CR_DIS_A20M | VM_CR_LOCK | VM_CR_SVMDIS)
#define TSC_RATIO_DEFINED (BIT64(40) - 1)

u64 *svm_msr_slot(struct vcpu *v, unsigned i, u32 *msr, u64 *valid)
{
    switch (i) {
    case 0:
        *msr = MSR_TSC_RATIO;
        *valid = TSC_RATIO_DEFINED;
        return &v->svm->tsc_ratio;
    case 1:
        *msr = MSR_VM_CR;
        *valid = VM_CR_DEFINED;
        return &v->vm_cr;
    case 2:
        *msr = MSR_VM_HSAVE_PA;
        *valid = (BIT64(v->vm->phys_bits) - 1) & ~PAGE_MASK;
        return &v->vm_hsave_pa;
    default: return NULL;
    }
}

/* "VM_CR MSR": LOCK makes LOCK and SVMDIS read-only; SVMDIS cannot be set while EFER.SVME is. */
static enum outcome vm_cr_write(struct vcpu *v, u64 value)
{
    u64 writable = VM_CR_DEFINED;
    if (v->vm_cr & VM_CR_LOCK)
        writable &= ~(VM_CR_LOCK | VM_CR_SVMDIS);
    u64 next = (v->vm_cr & ~writable) | (value & writable);
    if ((value & ~VM_CR_DEFINED) || ((next & VM_CR_SVMDIS) && (v->efer & EFER_SVME)))
        return raise_gp(v, 0);
    v->vm_cr = next;
    return CPU_OK;
}

bool svm_msr_write(struct vcpu *v, u32 msr, u64 value, enum outcome *out)
{
    *out = CPU_OK;
    switch (msr) {
    case MSR_VM_CR: *out = vm_cr_write(v, value); return true;
    case MSR_VM_HSAVE_PA:
        if (svm_page_valid(v, value))
            v->vm_hsave_pa = value;
        else
            *out = raise_gp(v, 0);
        return true;
    case MSR_TSC_RATIO:
        if (value & ~TSC_RATIO_DEFINED)
            *out = raise_gp(v, 0);
        else
            v->svm->tsc_ratio = value;
        return true;
    case MSR_SVM_KEY: /* "SVM_KEY MSR": no key was ever set, so none matches */
    case MSR_SMM_CTL: return true;
    default: return false;
    }
}
