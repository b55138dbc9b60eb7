/*
 * MSRs of machine checks, for their rows in msr.c. MCG_CAP says which there are: it is the owner's to set. The engine
 * finds no errors; those that the owner puts into a bank reach the guest as #MC or as a corrected machine-check
 * interrupt.
 * Source: SDM volume 3B, "Machine-Check Architecture"; APM volume 2, "Machine Check Architecture".
 */
#include "cpu/insn/mce.h"

#include "cpu/core/fault.h"

u64 *mc_slot(struct vcpu *v, u32 msr)
{
    unsigned i = msr - MSR_MC0_CTL;
    return &v->mc_bank[i / 4][i % 4];
}

static bool bank_exists(const struct vcpu *v, unsigned bank)
{
    return bank < (v->mcg_cap & 0xff);
}

bool mc_exists(const struct vcpu *v, u32 msr, bool owner)
{
    return bank_exists(v, (msr - MSR_MC0_CTL) / 4);
}

/* "IA32_MCi_CTL MSRs": all ones or all zeroes; Linux leaves out bit 0 or 10 of some banks. */
bool mc_legal(const struct vcpu *v, u32 msr, u64 value)
{
    return msr % 4 || !value || !~(value | BIT64(10) | 1);
}

/* "Machine-Check MSRs": software may write only zeroes to STATUS; HWCR.McStatusWrEn lifts it on AMD. The manual says
 * the same of ADDR and MISC, but the hypervisors that test programs were written on take any value there. */
enum outcome mc_write(struct vcpu *v, u32 msr, u64 value)
{
    if (value && msr % 4 == 1 && !(v->vm->vendor == VENDOR_AMD && (v->hwcr & HWCR_MC_STATUS_WRITABLE)))
        return raise_gp(v, 0);
    *mc_slot(v, msr) = value;
    return CPU_OK;
}

bool mcg_status_legal(const struct vcpu *v, u32 msr, u64 value)
{
    return !(value & MCG_STATUS_LMCE) || v->mcg_cap & MCG_CAP_LMCE;
}

/* Thresholds of corrected errors, and errors of one CPU: the owner may write what a CPU without them would have. */
bool ctl2_exists(const struct vcpu *v, u32 msr, bool owner)
{
    return bank_exists(v, msr - MSR_MC0_CTL2) && (owner || v->mcg_cap & MCG_CAP_CMCI);
}

bool ctl2_legal(const struct vcpu *v, u32 msr, u64 value)
{
    return !value || v->mcg_cap & MCG_CAP_CMCI;
}

bool ext_ctl_exists(const struct vcpu *v, u32 msr, bool owner)
{
    return owner || (v->mcg_cap & MCG_CAP_LMCE && v->feature_control & FEATURE_CONTROL_LMCE);
}

bool ext_ctl_legal(const struct vcpu *v, u32 msr, u64 value)
{
    return !value || v->mcg_cap & MCG_CAP_LMCE;
}

_Static_assert(MSR_MC0_CTL % 4 == 0, "the kind of a bank's MSR is its number modulo 4");
