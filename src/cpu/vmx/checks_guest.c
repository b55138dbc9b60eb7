/*
 * Checks on the guest-state area, in the manual's order. A failure is a VM exit with reason "VM-entry failure due to
 * invalid guest state"; the qualification distinguishes PDPTEs and the VMCS link pointer from the rest.
 * Source: Intel SDM volume 3C, "VM Entries", section "Checks on the Guest State Area".
 */
#include "cpu/insn/msr.h"
#include "cpu/mmu/segment.h"
#include "cpu/vmx/checks.h"
#include "x86/paging.h"

enum { QUAL_NONE = 0, QUAL_PDPTE = 2, QUAL_LINK = 4 };

/* Bits of IA32_DEBUGCTL that may be set: LBR, BTF, TR, BTS, BTINT, BTS_OFF_*, FREEZE_*. */
#define DEBUGCTL_MAY 0x7fc3ull

#define BLOCKING (INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOVSS)

#define RFLAGS_RESERVED (~(u64)FLAGS_DEFINED & ~FLAG_ONE)

static bool unrestricted(const struct vmx *x)
{
    return x->proc2 & PROC2_UNRESTRICTED_GUEST;
}

static bool guest_v86(const struct vmx *x)
{
    return x->f.guest_rflags & FLAG_VM;
}

static bool usable(const struct vmx *x, unsigned seg)
{
    return !(x->f.guest_attr[seg] & SEG_UNUSABLE);
}

#define SECTION SDM("Checks on Guest Control Registers, Debug Registers, and MSRs")

static bool check_registers(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    bool ia32e = f->entry_controls & ENTRYC_IA32E_GUEST;
    RULE(vmx_cr0_fixed_ok(f->guest_cr0, unrestricted(x)), "guest CR0 has the values that VMX operation fixes");
    RULE(!(f->guest_cr0 & CR0_PG) || f->guest_cr0 & CR0_PE, "guest CR0.PG needs CR0.PE");
    RULE(vmx_cr4_fixed_ok(v, f->guest_cr4), "guest CR4 has the values that VMX operation fixes");
    if (f->entry_controls & ENTRYC_LOAD_DEBUG)
        RULE(!(f->guest_debugctl & ~DEBUGCTL_MAY), "guest IA32_DEBUGCTL: reserved bits are 0");
    if (ia32e)
        RULE(f->guest_cr0 & CR0_PG && f->guest_cr4 & CR4_PAE, "IA-32e mode guest needs CR0.PG and CR4.PAE");
    else
        RULE(!(f->guest_cr4 & CR4_PCIDE), "guest CR4.PCIDE needs IA-32e mode guest");
    RULE(rule_physical(v, f->guest_cr3), "guest CR3 is within MAXPHYADDR");
    if (f->entry_controls & ENTRYC_LOAD_DEBUG)
        RULE(!(f->guest_dr7 >> 32), "guest DR7: bits 63:32 are 0");
    RULE(rule_canonical(x, f->guest_sysenter_esp), "guest IA32_SYSENTER_ESP is canonical");
    RULE(rule_canonical(x, f->guest_sysenter_eip), "guest IA32_SYSENTER_EIP is canonical");
    if (f->entry_controls & ENTRYC_LOAD_PAT)
        RULE(msr_pat_valid(f->guest_pat), "guest IA32_PAT has legal memory types");
    if (f->entry_controls & ENTRYC_LOAD_EFER) {
        RULE(!(f->guest_efer & ~(msr_efer_valid(v) | EFER_LMA)), "guest IA32_EFER: reserved bits are 0");
        RULE(!(f->guest_efer & EFER_LMA) == !ia32e, "guest IA32_EFER.LMA equals IA-32e mode guest");
        RULE(!(f->guest_cr0 & CR0_PG) || !(f->guest_efer & EFER_LMA) == !(f->guest_efer & EFER_LME),
             "guest IA32_EFER.LME equals LMA if CR0.PG is 1");
    }
    return true;
}

#undef SECTION
#define SECTION SDM("Checks on Guest Segment Registers")

static bool check_selectors_bases(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    RULE(!(f->guest_sel[SEG_TR] & SEL_TI), "guest TR selector: TI is 0");
    RULE(!usable(x, SEG_LDTR) || !(f->guest_sel[SEG_LDTR] & SEL_TI), "guest LDTR selector: TI is 0 if usable");
    if (!guest_v86(x) && !unrestricted(x))
        RULE((f->guest_sel[SEG_SS] & SEL_RPL) == (f->guest_sel[SEG_CS] & SEL_RPL), "guest SS.RPL equals CS.RPL");
    if (guest_v86(x)) {
        for (unsigned i = SEG_ES; i <= SEG_GS; i++)
            RULE(f->guest_base[i] == (u64)f->guest_sel[i] << 4, "virtual-8086 segment base is selector times 16");
    }
    RULE(rule_canonical(x, f->guest_base[SEG_TR]), "guest TR base is canonical");
    RULE(rule_canonical(x, f->guest_base[SEG_FS]), "guest FS base is canonical");
    RULE(rule_canonical(x, f->guest_base[SEG_GS]), "guest GS base is canonical");
    RULE(!usable(x, SEG_LDTR) || rule_canonical(x, f->guest_base[SEG_LDTR]), "guest LDTR base is canonical if usable");
    RULE(!(f->guest_base[SEG_CS] >> 32), "guest CS base: bits 63:32 are 0");
    RULE(!usable(x, SEG_SS) || !(f->guest_base[SEG_SS] >> 32), "guest SS base: bits 63:32 are 0 if usable");
    RULE(!usable(x, SEG_DS) || !(f->guest_base[SEG_DS] >> 32), "guest DS base: bits 63:32 are 0 if usable");
    RULE(!usable(x, SEG_ES) || !(f->guest_base[SEG_ES] >> 32), "guest ES base: bits 63:32 are 0 if usable");
    return true;
}

static bool granularity_ok(u32 attr, u32 limit)
{
    if (attr & SEG_G)
        return (limit & PAGE_MASK) == PAGE_MASK;
    return !(limit >> 20);
}

#define ATTR_RESERVED 0xfffe0f00u
/* Types are compared by the manual's numbers; this is 3, read/write data, accessed. */
#define TYPE_DATA (SEG_TYPE_WRITE | SEG_TYPE_ACCESSED)

static bool check_code(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    u32 attr = f->guest_attr[SEG_CS], type = attr & SEG_TYPE_MASK;
    u32 dpl = segment_dpl(attr), ss_dpl = segment_dpl(f->guest_attr[SEG_SS]);
    RULE(type == 9 || type == 11 || type == 13 || type == 15 || (type == TYPE_DATA && unrestricted(x)),
         "guest CS type is accessed code (or 3 for an unrestricted guest)");
    RULE(attr & SEG_S, "guest CS is a code or data segment");
    if (type == TYPE_DATA)
        RULE(dpl == 0, "guest CS.DPL is 0 for type 3");
    else if (type < 12)
        RULE(dpl == ss_dpl, "guest CS.DPL equals SS.DPL for non-conforming code");
    else
        RULE(dpl <= ss_dpl, "guest CS.DPL is at most SS.DPL for conforming code");
    RULE(attr & SEG_P, "guest CS is present");
    RULE(!(attr & ATTR_RESERVED), "guest CS access rights: reserved bits are 0");
    RULE(!(f->entry_controls & ENTRYC_IA32E_GUEST) || !(attr & SEG_L) || !(attr & SEG_DB),
         "guest CS.D/B is 0 for 64-bit code");
    RULE(granularity_ok(attr, f->guest_limit[SEG_CS]), "guest CS granularity fits its limit");
    return true;
}

static bool check_stack(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    u32 attr = f->guest_attr[SEG_SS], type = attr & SEG_TYPE_MASK, dpl = segment_dpl(attr);
    if (usable(x, SEG_SS))
        RULE((type == TYPE_DATA || type == 7) && attr & SEG_S, "guest SS type is writable accessed data");
    if (!unrestricted(x))
        RULE(dpl == (f->guest_sel[SEG_SS] & SEL_RPL), "guest SS.DPL equals SS.RPL");
    if ((f->guest_attr[SEG_CS] & SEG_TYPE_MASK) == TYPE_DATA || !(f->guest_cr0 & CR0_PE))
        RULE(dpl == 0, "guest SS.DPL is 0 if CS type is 3 or CR0.PE is 0");
    if (usable(x, SEG_SS)) {
        RULE(attr & SEG_P, "guest SS is present");
        RULE(!(attr & ATTR_RESERVED), "guest SS access rights: reserved bits are 0");
        RULE(granularity_ok(attr, f->guest_limit[SEG_SS]), "guest SS granularity fits its limit");
    }
    return true;
}

static bool check_data(struct vcpu *v, struct vmx *x, unsigned seg)
{
    u32 attr = x->f.guest_attr[seg], type = attr & SEG_TYPE_MASK, dpl = segment_dpl(attr);
    if (attr & SEG_UNUSABLE)
        return true;
    RULE(type & SEG_TYPE_ACCESSED, "guest DS, ES, FS, GS type is accessed");
    RULE(!(type & SEG_TYPE_CODE) || type & SEG_TYPE_WRITE, "guest DS, ES, FS, GS type is readable if it is code");
    RULE(attr & SEG_S, "guest DS, ES, FS, GS is a code or data segment");
    RULE(unrestricted(x) || type > 11 || dpl >= (x->f.guest_sel[seg] & SEL_RPL),
         "guest DS, ES, FS, GS: DPL is at least RPL unless conforming");
    RULE(attr & SEG_P, "guest DS, ES, FS, GS is present");
    RULE(!(attr & ATTR_RESERVED), "guest DS, ES, FS, GS access rights: reserved bits are 0");
    RULE(granularity_ok(attr, x->f.guest_limit[seg]), "guest DS, ES, FS, GS granularity fits the limit");
    return true;
}

static bool check_system(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    u32 attr = f->guest_attr[SEG_TR], type = attr & SEG_TYPE_MASK;
    RULE(type == SYS_TSS_BUSY || (type == SYS_TSS16_BUSY && !(f->entry_controls & ENTRYC_IA32E_GUEST)),
         "guest TR type is a busy TSS (32-bit or 64-bit in IA-32e mode)");
    RULE(!(attr & SEG_S), "guest TR is a system segment");
    RULE(attr & SEG_P, "guest TR is present");
    RULE(!(attr & ATTR_RESERVED), "guest TR access rights: reserved bits are 0");
    RULE(granularity_ok(attr, f->guest_limit[SEG_TR]), "guest TR granularity fits its limit");
    RULE(!(attr & SEG_UNUSABLE), "guest TR is usable");
    attr = f->guest_attr[SEG_LDTR];
    if (attr & SEG_UNUSABLE)
        return true;
    RULE((attr & SEG_TYPE_MASK) == SYS_LDT, "guest LDTR type is LDT");
    RULE(!(attr & SEG_S), "guest LDTR is a system segment");
    RULE(attr & SEG_P, "guest LDTR is present");
    RULE(!(attr & ATTR_RESERVED), "guest LDTR access rights: reserved bits are 0");
    RULE(granularity_ok(attr, f->guest_limit[SEG_LDTR]), "guest LDTR granularity fits its limit");
    return true;
}

static bool check_segments(struct vcpu *v, struct vmx *x)
{
    if (!check_selectors_bases(v, x))
        return false;
    if (guest_v86(x)) {
        for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
            RULE(x->f.guest_limit[i] == 0xffff, "virtual-8086 segment limit is FFFFH");
            RULE(x->f.guest_attr[i] == 0xf3, "virtual-8086 segment access rights are F3H");
        }
        return check_system(v, x);
    }
    return check_code(v, x) && check_stack(v, x) && check_data(v, x, SEG_DS) && check_data(v, x, SEG_ES) &&
           check_data(v, x, SEG_FS) && check_data(v, x, SEG_GS) && check_system(v, x);
}

#undef SECTION
#define SECTION SDM("Checks on Guest Descriptor-Table Registers")

static bool check_tables(struct vcpu *v, struct vmx *x)
{
    RULE(rule_canonical(x, x->f.guest_gdtr_base), "guest GDTR base is canonical");
    RULE(rule_canonical(x, x->f.guest_idtr_base), "guest IDTR base is canonical");
    RULE(!(x->f.guest_gdtr_limit >> 16), "guest GDTR limit: bits 31:16 are 0");
    RULE(!(x->f.guest_idtr_limit >> 16), "guest IDTR limit: bits 31:16 are 0");
    return true;
}

#undef SECTION
#define SECTION SDM("Checks on Guest RIP, RFLAGS, and SSP")

static bool injects(const struct vmx *x, u32 type)
{
    return x->f.entry_intr_info & INTR_VALID && INTR_TYPE(x->f.entry_intr_info) == type;
}

static bool check_rip_rflags(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    bool ia32e = f->entry_controls & ENTRYC_IA32E_GUEST;
    if (!ia32e || !(f->guest_attr[SEG_CS] & SEG_L)) {
        RULE(!(f->guest_rip >> 32), "guest RIP: bits 63:32 are 0 outside 64-bit mode");
    } else {
        s64 top = (s64)f->guest_rip >> (x->cr4_may & CR4_LA57 ? 57 : 48);
        RULE(top == 0 || top == -1, "guest RIP: bits beyond the linear-address width are identical");
    }
    RULE(!(f->guest_rflags & RFLAGS_RESERVED) && f->guest_rflags & FLAG_ONE,
         "guest RFLAGS: reserved bits are 0, bit 1 is 1");
    RULE(!guest_v86(x) || (!ia32e && f->guest_cr0 & CR0_PE), "guest RFLAGS.VM is 0 in IA-32e mode and if CR0.PE is 0");
    RULE(f->guest_rflags & FLAG_IF || !injects(x, EVENT_EXTINT),
         "guest RFLAGS.IF is 1 to inject an external interrupt");
    return true;
}

#undef SECTION
#define SECTION SDM("Checks on Guest Non-Register State")

static bool check_activity(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    u32 info = f->entry_intr_info, type = INTR_TYPE(info), vector = info & INTR_VECTOR_MASK;
    RULE(f->guest_activity <= GUEST_WAIT_SIPI, "activity state is one that the CPU has");
    RULE(f->guest_activity != GUEST_HLT || !(segment_dpl(f->guest_attr[SEG_SS])),
         "activity state is not HLT unless SS.DPL is 0");
    RULE(f->guest_activity == GUEST_ACTIVE || !(f->guest_interruptibility & BLOCKING),
         "activity state is active under blocking by STI or by MOV SS");
    if (!(info & INTR_VALID))
        return true;
    bool machine_check = type == EVENT_EXCEPTION && vector == EXC_MC;
    if (f->guest_activity == GUEST_HLT)
        RULE(type == EVENT_EXTINT || type == EVENT_NMI || machine_check || type == INTR_TYPE_OTHER ||
                 (type == EVENT_EXCEPTION && vector == EXC_DB),
             "an event injected in the HLT state is an interrupt, NMI, #DB, #MC or MTF");
    if (f->guest_activity == GUEST_SHUTDOWN)
        RULE(type == EVENT_NMI || machine_check, "an event injected in the shutdown state is an NMI or #MC");
    RULE(f->guest_activity != GUEST_WAIT_SIPI, "no event is injected in the wait-for-SIPI state");
    return true;
}

static bool check_interruptibility(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    u32 state = f->guest_interruptibility;
    RULE(!(state >> 5), "interruptibility: bits 31:5 are 0");
    RULE((state & BLOCKING) != BLOCKING, "interruptibility: blocking by STI and by MOV SS are not both 1");
    RULE(!(state & INTERRUPTIBILITY_STI) || f->guest_rflags & FLAG_IF, "blocking by STI needs RFLAGS.IF");
    RULE(!injects(x, EVENT_EXTINT) || !(state & BLOCKING),
         "no blocking by STI or by MOV SS if an external interrupt is injected");
    RULE(!injects(x, EVENT_NMI) || !(state & INTERRUPTIBILITY_MOVSS), "no blocking by MOV SS if an NMI is injected");
    RULE(!(state & INTERRUPTIBILITY_SMI), "no blocking by SMI outside SMM");
    RULE(!injects(x, EVENT_NMI) || !(f->pin & PIN_VIRTUAL_NMIS) || !(state & INTERRUPTIBILITY_NMI),
         "no blocking by NMI if an NMI is injected with virtual NMIs");
    RULE(!(state & INTERRUPTIBILITY_ENCLAVE), "no enclave interruption on a CPU without SGX");
    return true;
}

static bool check_pending_debug(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    u64 may = PENDING_DBG_B_MASK | PENDING_DBG_ENABLED_BP | PENDING_DBG_BS;
    RULE(!(f->guest_pending_debug & ~may), "pending debug exceptions: reserved bits are 0");
    if (f->guest_interruptibility & BLOCKING || f->guest_activity == GUEST_HLT) {
        u64 debugctl = f->entry_controls & ENTRYC_LOAD_DEBUG ? f->guest_debugctl : v->debugctl;
        bool step = f->guest_rflags & FLAG_TF && !(debugctl & DEBUGCTL_BTF);
        RULE(!(f->guest_pending_debug & PENDING_DBG_BS) == !step,
             "pending debug exceptions: BS is 1 exactly if TF is 1 and BTF 0, under blocking or in HLT");
    }
    return true;
}

static bool check_link(struct vcpu *v, struct vmx *x)
{
    u64 link = x->f.link;
    if (link == VMX_NO_POINTER)
        return true;
    RULE(rule_page(v, link), "VMCS link pointer is page-aligned and within MAXPHYADDR");
    u32 revision, shadow = x->proc2 & PROC2_SHADOW_VMCS ? VMCS_SHADOW : 0;
    phys_read(v, GPA(link), &revision, 4);
    RULE(revision == (VMCS_REVISION | shadow),
         "VMCS link pointer: revision identifier, and shadow indicator equal to VMCS shadowing");
    return true;
}

#undef SECTION
#define SECTION SDM("Checks on Guest Page-Directory-Pointer-Table Entries")

static bool check_pdptes(struct vcpu *v, struct vmx *x)
{
    const struct vmcs *f = &x->f;
    if (!(f->guest_cr0 & CR0_PG) || !(f->guest_cr4 & CR4_PAE) || f->entry_controls & ENTRYC_IA32E_GUEST)
        return true;
    u64 table[4];
    const u64 *pdpte = f->guest_pdpte;
    if (!(x->proc2 & PROC2_EPT)) {
        phys_read(v, GPA(f->guest_cr3 & CR3_PAE_ADDRESS), table, sizeof(table));
        pdpte = table;
    }
    for (unsigned i = 0; i < 4; i++)
        RULE(!(pdpte[i] & PTE_P) || (!(pdpte[i] & PDPTE_RESERVED) && rule_physical(v, pdpte[i])),
             "PDPTE: reserved bits are 0 if present");
    return true;
}

bool vmx_check_guest(struct vcpu *v, struct vmx *x, u64 *qualification)
{
    *qualification = QUAL_NONE;
    if (!check_registers(v, x) || !check_segments(v, x) || !check_tables(v, x) || !check_rip_rflags(v, x) ||
        !check_activity(v, x) || !check_interruptibility(v, x) || !check_pending_debug(v, x))
        return false;
    *qualification = QUAL_LINK;
    if (!check_link(v, x))
        return false;
    *qualification = QUAL_PDPTE;
    return check_pdptes(v, x);
}
