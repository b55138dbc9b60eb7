/*
 * Checks on the VMX control fields, in the manual's order. A failure makes VMLAUNCH and VMRESUME fail with error 7.
 * Source: Intel SDM volume 3C, "VM Entries", section "Checks on VMX Controls".
 */
#include "cpu/vmx/checks.h"
#include "x86/msr.h"

bool vmx_eptp_valid(const struct vcpu *v, const struct vmx *x, u64 eptp)
{
    u64 type = eptp & EPTP_MEMTYPE_MASK;
    return ((type == MEMTYPE_UC && x->caps->ept_vpid & EPT_CAP_UC) ||
            (type == MEMTYPE_WB && x->caps->ept_vpid & EPT_CAP_WB)) &&
           (eptp & EPTP_WALK_MASK) == EPTP_WALK_4 && (!(eptp & EPTP_AD) || x->caps->ept_vpid & EPT_CAP_AD) &&
           !(eptp & EPTP_RESERVED) && rule_physical(v, eptp);
}

#define SECTION SDM("VM-Execution Control Fields")

static bool check_secondary(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    u32 proc2 = x->proc2;
    if (proc2 & PROC2_EPT)
        RULE(vmx_eptp_valid(v, x, f->eptp),
             "EPTP: a supported memory type, page-walk length 4, reserved bits 0, within MAXPHYADDR");
    else
        RULE(!(proc2 & (PROC2_UNRESTRICTED_GUEST | PROC2_MODE_BASED_EXECUTE)),
             "unrestricted guest and mode-based execute control for EPT need enable EPT");
    if (proc2 & PROC2_VPID)
        RULE(f->vpid != 0, "VPID is not 0 if enable VPID is 1");
    if (proc2 & PROC2_SHADOW_VMCS) {
        RULE(rule_page(v, f->vmread_bitmap), "VMREAD-bitmap address is page-aligned and within MAXPHYADDR");
        RULE(rule_page(v, f->vmwrite_bitmap), "VMWRITE-bitmap address is page-aligned and within MAXPHYADDR");
    }
    if (proc2 & PROC2_TSC_SCALING)
        RULE(f->tsc_multiplier != 0, "TSC multiplier is not 0 if use TSC scaling is 1");
    return true;
}

static bool check_tpr_shadow(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    RULE(rule_page(v, f->virtual_apic), "virtual-APIC address is page-aligned and within MAXPHYADDR");
    RULE(!(f->tpr_threshold >> 4), "TPR threshold: bits 31:4 are 0");
    if (!(x->proc2 & PROC2_APIC_ACCESSES)) {
        const u32 *vtpr = vmx_vtpr(v);
        RULE(!vtpr || f->tpr_threshold <= TPR_CLASS(*vtpr), "TPR threshold is not above VTPR bits 7:4");
    }
    return true;
}

static bool check_execution(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    RULE(vmx_pin_ok(x->caps, f->pin), "pin-based controls: reserved bits are as the capability MSR says");
    RULE(vmx_proc_ok(x->caps, f->proc),
         "primary processor-based controls: reserved bits are as the capability MSR says");
    RULE(!(x->proc2 & ~x->caps->proc2), "secondary processor-based controls: reserved bits are 0");
    RULE(f->cr3_target_count <= VMX_CR3_TARGETS, "CR3-target count is at most 4");
    if (f->proc & PROC_IO_BITMAPS)
        RULE(rule_page(v, f->io_bitmap_a) && rule_page(v, f->io_bitmap_b),
             "I/O-bitmap addresses are page-aligned and within MAXPHYADDR");
    if (f->proc & PROC_MSR_BITMAPS)
        RULE(rule_page(v, f->msr_bitmap), "MSR-bitmap address is page-aligned and within MAXPHYADDR");
    if (f->proc & PROC_TPR_SHADOW) {
        if (!check_tpr_shadow(v, x))
            return false;
    } else {
        RULE(!(x->proc2 & (PROC2_X2APIC_MODE | PROC2_APIC_REGISTERS | PROC2_INTERRUPT_DELIVERY)),
             "virtualize x2APIC mode, APIC registers and interrupt delivery need use TPR shadow");
    }
    RULE(f->pin & PIN_NMI_EXITING || !(f->pin & PIN_VIRTUAL_NMIS), "virtual NMIs need NMI exiting");
    RULE(f->pin & PIN_VIRTUAL_NMIS || !(f->proc & PROC_NMI_WINDOW), "NMI-window exiting needs virtual NMIs");
    RULE(!(x->proc2 & PROC2_X2APIC_MODE) || !(x->proc2 & PROC2_APIC_ACCESSES),
         "virtualize x2APIC mode excludes virtualize APIC accesses");
    if (x->proc2 & PROC2_APIC_ACCESSES)
        RULE(rule_page(v, f->apic_access), "APIC-access address is page-aligned and within MAXPHYADDR");
    return check_secondary(v, x);
}

#undef SECTION
#define SECTION SDM("VM-Exit Control Fields")

static bool check_exit(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    RULE(vmx_exit_controls_ok(x->caps, f->exit_controls),
         "VM-exit controls: reserved bits are as the capability MSR says");
    RULE(f->pin & PIN_PREEMPTION_TIMER || !(f->exit_controls & EXITC_SAVE_PREEMPTION_TIMER),
         "save VMX-preemption timer value needs activate VMX-preemption timer");
    RULE(rule_msr_list(v, f->exit_msr_store, f->exit_store_count),
         "VM-exit MSR-store area is 16-byte aligned and within MAXPHYADDR");
    RULE(rule_msr_list(v, f->exit_msr_load, f->exit_load_count),
         "VM-exit MSR-load area is 16-byte aligned and within MAXPHYADDR");
    return true;
}

#undef SECTION
#define SECTION SDM("VM-Entry Control Fields")

#define ERROR_VECTORS (BIT(EXC_DF) | BIT(EXC_TS) | BIT(EXC_NP) | BIT(EXC_SS) | BIT(EXC_GP) | BIT(EXC_PF) | BIT(EXC_AC))

static bool check_injection(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    u32 info = f->entry_intr_info, type = INTR_TYPE(info), vector = info & INTR_VECTOR_MASK;
    RULE(type != 1, "interruption type is not the reserved 1");
    RULE(type != INTR_TYPE_OTHER || x->caps->proc & PROC_MONITOR_TRAP,
         "interruption type 7 needs a CPU with the monitor trap flag");
    RULE(type != EVENT_NMI || vector == EXC_NMI, "interruption type NMI: vector is 2");
    RULE(type != EVENT_EXCEPTION || vector < EXC_COUNT, "interruption type hardware exception: vector is at most 31");
    RULE(type != INTR_TYPE_OTHER || vector == 0, "interruption type other event: vector is 0");
    bool protected = !(x->proc2 & PROC2_UNRESTRICTED_GUEST) || f->guest_cr0 & CR0_PE;
    bool error = type == EVENT_EXCEPTION && vector < EXC_COUNT && protected && ERROR_VECTORS >> vector & 1;
    RULE(!(info & INTR_ERROR_VALID) == !error,
         "deliver-error-code is 1 exactly for hardware exceptions with an error code, in protected mode");
    RULE(!(info & INTR_ENTRY_RESERVED), "interruption information: bits 30:12 are 0");
    RULE(!error || !(f->entry_error >> 16), "VM-entry exception error code: bits 31:16 are 0");
    if (type == EVENT_SOFT_INT || type == EVENT_PRIV_SOFT || type == EVENT_SOFT_EXC)
        RULE(f->entry_insn_len <= 15, "VM-entry instruction length is at most 15");
    return true;
}

static bool check_entry(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    RULE(vmx_entry_controls_ok(x->caps, f->entry_controls),
         "VM-entry controls: reserved bits are as the capability MSR says");
    if (f->entry_intr_info & INTR_VALID && !check_injection(v, x))
        return false;
    RULE(rule_msr_list(v, f->entry_msr_load, f->entry_load_count),
         "VM-entry MSR-load area is 16-byte aligned and within MAXPHYADDR");
    return true;
}

bool vmx_check_controls(struct vcpu *v, struct vmx *x)
{
    return check_execution(v, x) && check_exit(v, x) && check_entry(v, x);
}
