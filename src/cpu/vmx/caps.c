/*
 * What VMX the virtual CPU has: vmx_offered is the one place that decides, and the capability MSRs are made from it.
 * The guest can only read them; whoever owns the vCPU may take capabilities away by writing these MSRs.
 * Source: Intel SDM volume 3D, appendix "VMX Capability Reporting Facility".
 */
#include "cpu/mmu/cr.h"
#include "cpu/vmx/vmx.h"
#include "x86/apic.h"
#include "x86/msr.h"

/* Default1 bits are reserved and read as ones. The second mask of each pair is what TRUE MSRs allow to be cleared. */
#define PIN_DEFAULT1 0x00000016u
#define PROC_DEFAULT1 0x0401e172u
#define PROC_CLEARABLE (PROC_CR3_LOAD_EXITING | PROC_CR3_STORE_EXITING)
#define EXIT_DEFAULT1 0x00036dffu
#define EXIT_CLEARABLE EXITC_SAVE_DEBUG
#define ENTRY_DEFAULT1 0x000011ffu
#define ENTRY_CLEARABLE ENTRYC_LOAD_DEBUG

#define CR0_FIXED0 (CR0_PE | CR0_NE | CR0_PG)
#define CR0_FIXED1 0xffffffffull
#define CR4_FIXED0 CR4_VMXE

/* The highest index of any field. */
#define VMCS_ENUM_MAX ((u64)VMCS_INDEX(VMCS_TSC_MULTIPLIER) << 1)

const struct vmx_caps vmx_offered = {
    .must = {.pin = PIN_DEFAULT1,
             .proc = PROC_DEFAULT1 & ~PROC_CLEARABLE,
             .exit = EXIT_DEFAULT1 & ~EXIT_CLEARABLE,
             .entry = ENTRY_DEFAULT1 & ~ENTRY_CLEARABLE},
    .pin = PIN_EXTINT_EXITING | PIN_NMI_EXITING | PIN_VIRTUAL_NMIS | PIN_PREEMPTION_TIMER,
    .proc = PROC_INTERRUPT_WINDOW | PROC_TSC_OFFSETTING | PROC_HLT_EXITING | PROC_INVLPG_EXITING | PROC_MWAIT_EXITING |
            PROC_RDPMC_EXITING | PROC_RDTSC_EXITING | PROC_CR3_LOAD_EXITING | PROC_CR3_STORE_EXITING |
            PROC_CR8_LOAD_EXITING | PROC_CR8_STORE_EXITING | PROC_TPR_SHADOW | PROC_NMI_WINDOW | PROC_MOV_DR_EXITING |
            PROC_UNCONDITIONAL_IO | PROC_IO_BITMAPS | PROC_MONITOR_TRAP | PROC_MSR_BITMAPS | PROC_MONITOR_EXITING |
            PROC_PAUSE_EXITING | PROC_SECONDARY,
    .proc2 = PROC2_APIC_ACCESSES | PROC2_EPT | PROC2_DESC_TABLE_EXITING | PROC2_RDTSCP | PROC2_VPID |
             PROC2_WBINVD_EXITING | PROC2_UNRESTRICTED_GUEST | PROC2_PAUSE_LOOP_EXITING | PROC2_RDRAND_EXITING |
             PROC2_INVPCID | PROC2_X2APIC_MODE | PROC2_SHADOW_VMCS | PROC2_RDSEED_EXITING | PROC2_XSAVES |
             PROC2_MODE_BASED_EXECUTE | PROC2_TSC_SCALING,
    .exit = EXITC_SAVE_DEBUG | EXITC_HOST_64 | EXITC_ACK_INTERRUPT | EXITC_SAVE_PAT | EXITC_LOAD_PAT | EXITC_SAVE_EFER |
            EXITC_LOAD_EFER | EXITC_SAVE_PREEMPTION_TIMER,
    .entry = ENTRYC_LOAD_DEBUG | ENTRYC_IA32E_GUEST | ENTRYC_LOAD_PAT | ENTRYC_LOAD_EFER,
    .basic = VMCS_REVISION | (u64)VMCS_SIZE << VMX_BASIC_SIZE_SHIFT | (u64)MEMTYPE_WB << VMX_BASIC_MEMTYPE_SHIFT |
             VMX_BASIC_INS_OUTS_INFO | VMX_BASIC_TRUE_CONTROLS,
    .misc = VMX_TIMER_SHIFT | VMX_MISC_SAVE_LMA | VMX_MISC_ACTIVITY_STATES | VMX_MISC_CR3_TARGETS(VMX_CR3_TARGETS) |
            VMX_MISC_VMWRITE_ANY | VMX_MISC_ZERO_LENGTH_INJECTION,
    .ept_vpid = EPT_CAP_EXEC_ONLY | EPT_CAP_WALK_4 | EPT_CAP_UC | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_1G |
                EPT_CAP_INVEPT | EPT_CAP_AD | EPT_CAP_INVEPT_SINGLE | EPT_CAP_INVEPT_ALL | VPID_CAP_INVVPID |
                VPID_CAP_ADDRESS | VPID_CAP_SINGLE | VPID_CAP_ALL | VPID_CAP_SINGLE_NONGLOBAL,
    .cr0_fixed0 = CR0_FIXED0,
    .cr4_fixed0 = CR4_FIXED0,
    .vmcs_enum = VMCS_ENUM_MAX,
};

/* The form of the control MSRs: allowed 0-settings (bits that must be 1) low, allowed 1-settings high. */
static u64 control_msr(u32 must, u32 offered)
{
    return must | (u64)(must | offered) << 32;
}

static bool capability(const struct cpu_features *f, const struct vmx_caps *c, u32 msr, u64 *value)
{
    switch (msr) {
    case MSR_VMX_BASIC: *value = c->basic; return true;
    case MSR_VMX_PINBASED_CTLS:
    case MSR_VMX_TRUE_PINBASED_CTLS: *value = control_msr(c->must.pin, c->pin); return true;
    case MSR_VMX_PROCBASED_CTLS: *value = control_msr(c->must.proc | PROC_DEFAULT1, c->proc); return true;
    case MSR_VMX_TRUE_PROCBASED_CTLS: *value = control_msr(c->must.proc, c->proc); return true;
    case MSR_VMX_EXIT_CTLS: *value = control_msr(c->must.exit | EXIT_DEFAULT1, c->exit); return true;
    case MSR_VMX_TRUE_EXIT_CTLS: *value = control_msr(c->must.exit, c->exit); return true;
    case MSR_VMX_ENTRY_CTLS: *value = control_msr(c->must.entry | ENTRY_DEFAULT1, c->entry); return true;
    case MSR_VMX_TRUE_ENTRY_CTLS: *value = control_msr(c->must.entry, c->entry); return true;
    case MSR_VMX_MISC: *value = c->misc; return true;
    case MSR_VMX_CR0_FIXED0: *value = c->cr0_fixed0; return true;
    case MSR_VMX_CR0_FIXED1: *value = CR0_FIXED1; return true;
    case MSR_VMX_CR4_FIXED0: *value = c->cr4_fixed0; return true;
    case MSR_VMX_CR4_FIXED1: *value = cr4_allowed(f); return true;
    case MSR_VMX_VMCS_ENUM: *value = c->vmcs_enum; return true;
    case MSR_VMX_PROCBASED_CTLS2: *value = control_msr(c->must.proc2, c->proc2); return true;
    case MSR_VMX_EPT_VPID_CAP: *value = c->ept_vpid; return true;
    default: return false;
    }
}

bool vmx_capability(const struct cpu_features *f, u32 msr, u64 *value)
{
    return features_have(f, FEATURE_VMX) && capability(f, &vmx_offered, msr, value);
}

/* -- capabilities taken away -- */

/* More bits may have to be 1 than the engine asks for, and fewer may be allowed to be 1. */
static bool control_put(u32 *must, u32 *offered, u32 must_least, u32 most, u64 value)
{
    u32 low = (u32)value, high = (u32)(value >> 32);
    if (must_least & ~low || high & ~(must_least | most))
        return false;
    *must = low;
    *offered = high;
    return true;
}

/* The number of CR3 targets may become smaller, and flags may become 0; everything else stays. */
static bool misc_put(struct vmx_caps *c, u64 value)
{
    const u64 o = vmx_offered.misc, targets = VMX_MISC_CR3_TARGETS_MASK;
    const u64 flags =
        VMX_MISC_SAVE_LMA | VMX_MISC_ACTIVITY_STATES | VMX_MISC_VMWRITE_ANY | VMX_MISC_ZERO_LENGTH_INJECTION;
    if (value & flags & ~o || (value & targets) > (o & targets) || (value ^ o) & ~(flags | targets))
        return false;
    c->misc = value;
    return true;
}

static bool basic_put(struct vmx_caps *c, u64 value)
{
    const u64 flags = VMX_BASIC_INS_OUTS_INFO | VMX_BASIC_TRUE_CONTROLS;
    if (value & flags & ~vmx_offered.basic || (value ^ vmx_offered.basic) & ~flags)
        return false;
    c->basic = value;
    return true;
}

static bool subset_put(u64 *to, u64 most, u64 value)
{
    if (value & ~most)
        return false;
    *to = value;
    return true;
}

static bool superset_put(u64 *to, u64 least, u64 value)
{
    if (least & ~value)
        return false;
    *to = value;
    return true;
}

bool vmx_msr_put(struct vcpu *v, u32 msr, u64 value)
{
    struct vmx_caps *c = &v->vmx->own;
    const struct vmx_caps *o = &vmx_offered;
    u64 old;
    if (v->vmx->on)
        return capability(v->vm->features, c, msr, &old) && old == value;
    switch (msr) {
    case MSR_VMX_BASIC: return basic_put(c, value);
    case MSR_VMX_TRUE_PINBASED_CTLS: return control_put(&c->must.pin, &c->pin, o->must.pin, o->pin, value);
    case MSR_VMX_TRUE_PROCBASED_CTLS: return control_put(&c->must.proc, &c->proc, o->must.proc, o->proc, value);
    case MSR_VMX_TRUE_EXIT_CTLS: return control_put(&c->must.exit, &c->exit, o->must.exit, o->exit, value);
    case MSR_VMX_TRUE_ENTRY_CTLS: return control_put(&c->must.entry, &c->entry, o->must.entry, o->entry, value);
    case MSR_VMX_PROCBASED_CTLS2: return control_put(&c->must.proc2, &c->proc2, o->must.proc2, o->proc2, value);
    case MSR_VMX_MISC: return misc_put(c, value);
    case MSR_VMX_EPT_VPID_CAP: return subset_put(&c->ept_vpid, o->ept_vpid, value);
    case MSR_VMX_CR0_FIXED0: return superset_put(&c->cr0_fixed0, o->cr0_fixed0, value);
    case MSR_VMX_CR4_FIXED0: return superset_put(&c->cr4_fixed0, o->cr4_fixed0, value);
    case MSR_VMX_VMCS_ENUM: c->vmcs_enum = value; return true;
    default: return false;
    }
}

/* -- checks -- */

static bool control_ok(u32 must, u32 offered, u32 value)
{
    return (value & must) == must && !(value & ~(must | offered));
}

bool vmx_pin_ok(const struct vmx_caps *c, u32 value)
{
    return control_ok(c->must.pin, c->pin, value);
}

bool vmx_proc_ok(const struct vmx_caps *c, u32 value)
{
    return control_ok(c->must.proc, c->proc, value);
}

bool vmx_exit_controls_ok(const struct vmx_caps *c, u32 value)
{
    return control_ok(c->must.exit, c->exit, value);
}

bool vmx_entry_controls_ok(const struct vmx_caps *c, u32 value)
{
    return control_ok(c->must.entry, c->entry, value);
}

bool vmx_cr0_fixed_ok(u64 cr0, bool unrestricted)
{
    u64 must = unrestricted ? CR0_FIXED0 & ~(CR0_PE | CR0_PG) : CR0_FIXED0;
    return (cr0 & must) == must && !(cr0 & ~CR0_FIXED1);
}

bool vmx_cr4_fixed_ok(const struct vcpu *v, u64 cr4)
{
    return (cr4 & CR4_FIXED0) == CR4_FIXED0 && !(cr4 & ~v->vmx->cr4_may);
}

bool vmx_cr_valid(struct vcpu *v, unsigned cr, u64 value)
{
    if (!v->vmx->on)
        return true;
    if (cr == 0)
        return vmx_cr0_fixed_ok(value, v->in_guest && v->vmx->proc2 & PROC2_UNRESTRICTED_GUEST);
    if (cr == 4)
        return vmx_cr4_fixed_ok(v, value);
    return true;
}

/* SDM "Virtualizing MSR-Based APIC Accesses": of the x2APIC's MSRs, only the TPR is virtualized. */
static bool is_virtual_tpr(const struct vcpu *v, u32 msr)
{
    return v->in_guest && msr == MSR_X2APIC(APIC_TPR) && v->vmx->proc2 & PROC2_X2APIC_MODE;
}

bool vmx_msr_read(struct vcpu *v, u32 msr, u64 *value, enum outcome *out)
{
    *out = CPU_OK;
    if (is_virtual_tpr(v, msr)) {
        *value = phys_read_u64(v, GPA(v->vmx->f.virtual_apic + APIC_TPR));
        return true;
    }
    return capability(v->vm->features, v->vmx->caps, msr, value);
}

bool vmx_msr_write(struct vcpu *v, u32 msr, u64 value, enum outcome *out)
{
    *out = CPU_OK;
    if (is_virtual_tpr(v, msr)) {
        if (value >> 8) {
            *out = raise_gp(v, 0);
        } else {
            phys_write(v, GPA(v->vmx->f.virtual_apic + APIC_TPR), &value, 8);
            vmx_tpr_changed(v, (u32)value);
        }
        return true;
    }
    u64 old;
    if (!capability(v->vm->features, v->vmx->caps, msr, &old))
        return false;
    *out = raise_gp(v, 0);
    return true;
}
