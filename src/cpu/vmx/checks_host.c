/*
 * Checks on the host-state area, in the manual's order. A failure makes VMLAUNCH and VMRESUME fail with error 8.
 * Source: Intel SDM volume 3C, "VM Entries", section "Checks on the Host-State Area".
 */
#include "cpu/insn/msr.h"
#include "cpu/mmu/segment.h"
#include "cpu/vmx/checks.h"

#define SECTION SDM("Checks on Host Control Registers, MSRs, and SSP")

static bool check_registers(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    RULE(vmx_cr0_fixed_ok(f->host_cr0, false), "host CR0 has the values that VMX operation fixes");
    RULE(vmx_cr4_fixed_ok(v, f->host_cr4), "host CR4 has the values that VMX operation fixes");
    RULE(rule_physical(v, f->host_cr3), "host CR3 is within MAXPHYADDR");
    RULE(rule_canonical(x, f->host_sysenter_esp), "host IA32_SYSENTER_ESP is canonical");
    RULE(rule_canonical(x, f->host_sysenter_eip), "host IA32_SYSENTER_EIP is canonical");
    if (f->exit_controls & EXITC_LOAD_PAT)
        RULE(msr_pat_valid(f->host_pat), "host IA32_PAT has legal memory types");
    if (f->exit_controls & EXITC_LOAD_EFER) {
        u64 mode = f->exit_controls & EXITC_HOST_64 ? EFER_LMA | EFER_LME : 0;
        RULE(!(f->host_efer & ~(msr_efer_valid(v) | EFER_LMA)), "host IA32_EFER: reserved bits are 0");
        RULE((f->host_efer & (EFER_LMA | EFER_LME)) == mode,
             "host IA32_EFER: LMA and LME equal host address-space size");
    }
    return true;
}

#undef SECTION
#define SECTION SDM("Checks on Host Segment and Descriptor-Table Registers")

static bool check_segments(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    u16 low = 0;
    for (unsigned i = SEG_ES; i <= SEG_GS; i++)
        low |= f->host_sel[i];
    RULE(!((low | f->host_sel[SEG_TR]) & (SEL_TI | SEL_RPL)), "host selectors have RPL 0 and TI 0");
    RULE(f->host_sel[SEG_CS], "host CS selector is not 0");
    RULE(f->host_sel[SEG_TR], "host TR selector is not 0");
    RULE(f->host_sel[SEG_SS] || f->exit_controls & EXITC_HOST_64, "host SS selector is not 0 for a 32-bit host");
    RULE(rule_canonical(x, f->host_fs_base), "host FS base is canonical");
    RULE(rule_canonical(x, f->host_gs_base), "host GS base is canonical");
    RULE(rule_canonical(x, f->host_gdtr_base), "host GDTR base is canonical");
    RULE(rule_canonical(x, f->host_idtr_base), "host IDTR base is canonical");
    RULE(rule_canonical(x, f->host_tr_base), "host TR base is canonical");
    return true;
}

#undef SECTION
#define SECTION SDM("Checks Related to Address-Space Size")

static bool check_address_space(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    if (!(f->exit_controls & EXITC_HOST_64)) {
        RULE(!in_long_mode(v), "host address-space size is 1 if IA32_EFER.LMA is 1 at VM entry");
        RULE(!(f->entry_controls & ENTRYC_IA32E_GUEST), "IA-32e mode guest needs a 64-bit host");
        RULE(!(f->host_cr4 & CR4_PCIDE), "host CR4.PCIDE is 0 for a 32-bit host");
        RULE(!(f->host_rip >> 32), "host RIP: bits 63:32 are 0 for a 32-bit host");
    } else {
        RULE(in_long_mode(v), "host address-space size is 0 if IA32_EFER.LMA is 0 at VM entry");
        RULE(f->host_cr4 & CR4_PAE, "host CR4.PAE is 1 for a 64-bit host");
        RULE(rule_canonical(x, f->host_rip), "host RIP is canonical");
    }
    return true;
}

bool vmx_check_host_area(struct vcpu *v, struct vmx *x)
{
    return check_registers(v, x) && check_segments(v, x);
}

bool vmx_check_host(struct vcpu *v, struct vmx *x)
{
    return vmx_check_host_area(v, x) && check_address_space(v, x);
}
