/*
 * Loading CR0, CR3 and CR4: the #GP rules, activation of IA-32e mode, PDPTEs, TLB invalidation.
 *
 * Called by the handlers of controlops.c after privilege checks and intercepts.
 * Source: SDM vol. 3A "Control Registers", "Paging-Mode Enabling", "PDPTE Registers", "Operations that Invalidate TLBs
 * and Paging-Structure Caches".
 */
#include "cpu/mmu/cr.h"

#include "cpu/core/cpuid.h"
#include "cpu/core/nested.h"
#include "cpu/mmu/mmu.h"

u64 cr4_allowed(const struct cpu_features *f)
{
    static const struct {
        u64 bits;
        enum feature feature;
    } optional[] = {
        {CR4_VME | CR4_PVI, FEATURE_VME}, {CR4_TSD, FEATURE_TSC},     {CR4_DE, FEATURE_DE},
        {CR4_PSE, FEATURE_PSE},           {CR4_PAE, FEATURE_PAE},     {CR4_MCE, FEATURE_MCE},
        {CR4_PGE, FEATURE_PGE},           {CR4_OSFXSR, FEATURE_FXSR}, {CR4_OSXMMEXCPT, FEATURE_SSE},
        {CR4_UMIP, FEATURE_UMIP},         {CR4_LA57, FEATURE_LA57},   {CR4_VMXE, FEATURE_VMX},
        {CR4_FSGSBASE, FEATURE_FSGSBASE}, {CR4_PCIDE, FEATURE_PCID},  {CR4_OSXSAVE, FEATURE_XSAVE},
        {CR4_SMEP, FEATURE_SMEP},         {CR4_SMAP, FEATURE_SMAP},   {CR4_PKE, FEATURE_PKU},
    };
    u64 allowed = CR4_PCE;
    for (unsigned i = 0; i < ARRAY_LEN(optional); i++) {
        if (features_have(f, optional[i].feature))
            allowed |= optional[i].bits;
    }
    return allowed;
}

static bool extension_allows(struct vcpu *v, unsigned cr, u64 value)
{
    return !v->nested || !v->nested->cr_valid || v->nested->cr_valid(v, cr, value);
}

static bool cr0_valid(struct vcpu *v, u64 value)
{
    if (value >> 32 || ((value & CR0_PG) && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD)))
        return false;
    if (value & ~v->cr0 & CR0_PG && v->efer & EFER_LME) {
        if (!(v->cr4 & CR4_PAE) || v->seg[SEG_CS].attr & SEG_L)
            return false;
    }
    if (~value & v->cr0 & CR0_PG && (in_64bit(v) || v->cr4 & CR4_PCIDE))
        return false;
    return extension_allows(v, 0, (value & CR0_DEFINED) | CR0_ET);
}

static bool cr3_valid(const struct vcpu *v, u64 value)
{
    if (!in_long_mode(v))
        return true;
    if (v->cr4 & CR4_PCIDE)
        value &= ~CR3_NOFLUSH;
    return !(value >> v->vm->phys_bits);
}

static bool cr4_valid(struct vcpu *v, u64 value)
{
    u64 changed = value ^ v->cr4;
    /* SDM "Protection of CR4.VMXE in SMM" */
    if (value & ~cr4_allowed(v->vm->features) || (value & CR4_VMXE && v->smm.on))
        return false;
    if (in_long_mode(v) && (!(value & CR4_PAE) || changed & CR4_LA57))
        return false;
    if (changed & value & CR4_PCIDE && (!in_long_mode(v) || v->cr3 & CR3_PCID_MASK))
        return false;
    return extension_allows(v, 4, value);
}

bool cr_valid(struct vcpu *v, unsigned cr, u64 value)
{
    switch (cr) {
    case 0: return cr0_valid(v, value);
    case 3: return cr3_valid(v, value);
    case 4: return cr4_valid(v, value);
    case 8: return !(value >> 4);
    default: return true;
    }
}

static bool pae_paging(u64 cr0, u64 cr4, u64 efer)
{
    return cr0 & CR0_PG && cr4 & CR4_PAE && !(efer & EFER_LMA);
}

enum outcome cr0_write(struct vcpu *v, u64 value)
{
    if (!cr0_valid(v, value))
        return raise_gp(v, 0);
    value = (value & CR0_DEFINED) | CR0_ET;
    u64 changed = value ^ v->cr0;
    u64 efer = v->efer & ~EFER_LMA;
    if (value & CR0_PG && v->efer & EFER_LME)
        efer |= EFER_LMA;
    if (changed & (CR0_PG | CR0_CD | CR0_NW) && pae_paging(value, v->cr4, efer))
        TRY(mmu_load_pdptes(v, v->cr3));
    v->cr0 = value;
    v->efer = efer;
    if (changed & CR0_PG)
        mmu_flush_global(v);
    mode_update(v);
    return CPU_OK;
}

enum outcome cr3_write(struct vcpu *v, u64 value)
{
    if (!cr3_valid(v, value))
        return raise_gp(v, 0);
    bool keep = v->cr4 & CR4_PCIDE && value & CR3_NOFLUSH;
    if (v->cr4 & CR4_PCIDE)
        value &= ~CR3_NOFLUSH;
    if (pae_paging(v->cr0, v->cr4, v->efer))
        TRY(mmu_load_pdptes(v, value));
    v->cr3 = value;
    if (!keep)
        mmu_flush_nonglobal(v);
    mmu_select(v);
    return CPU_OK;
}

enum outcome cr4_write(struct vcpu *v, u64 value)
{
    if (!cr4_valid(v, value))
        return raise_gp(v, 0);
    u64 changed = value ^ v->cr4;
    if (changed & (CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP) && pae_paging(v->cr0, value, v->efer))
        TRY(mmu_load_pdptes(v, v->cr3));
    v->cr4 = value;
    bool flush = changed & (CR4_PGE | CR4_PAE | CR4_PSE | CR4_LA57);
    flush |= changed & ~value & CR4_PCIDE || changed & value & CR4_SMEP;
    if (flush)
        mmu_flush_global(v);
    mode_update(v);
    return CPU_OK;
}
