/* VM-entry checks: from a state that passes, one field at a time is broken, and the rule that names it must fail. */
#include "unit/rules.h"
#include "unit/test.h"
#include "unit/vmx_machine.h"

enum stage { PASS, CONTROLS, HOST, GUEST };
enum { QUALIFICATION_PDPTE = 2, QUALIFICATION_LINK = 4 };

static u64 qualification;

static enum stage run(void)
{
    v->broken_rule = NULL;
    x->proc2 = x->f.proc & PROC_SECONDARY ? x->f.proc2 : 0;
    if (!vmx_check_controls(v, x))
        return CONTROLS;
    if (!vmx_check_host(v, x))
        return HOST;
    return vmx_check_guest(v, x, &qualification) ? PASS : GUEST;
}

/* The VMCS as it is now fails in that stage by a rule with that text (NULL: whichever), or passes. */
static bool ends(enum stage stage, const char *text)
{
    enum stage got = run();
    const struct rule *r = rules_note(v);
    if (got == stage && (!text || rules_named(r, text)))
        return true;
    printf("# stage %d not %d, rule \"%s\" not \"%s\"\n", got, stage, r ? r->text : "", text ? text : "");
    return false;
}

struct broken {
    u32 encoding;
    u64 value;
    enum stage stage;
    const char *rule; /* part of its text */
};

#define NO_CANON 0x0000800000000000ull
#define BAD_PAT 2
#define DPL3 (3u << SEG_DPL_SHIFT)
#define EVENT(type, vector) (INTR_VALID | (type) << INTR_TYPE_SHIFT | (vector))
#define RIGHTS(seg) VMCS_SEGMENT(VMCS_GUEST_ACCESS_RIGHTS, seg)
#define BASE(seg) VMCS_SEGMENT(VMCS_GUEST_BASE, seg)
#define LIMIT(seg) VMCS_SEGMENT(VMCS_GUEST_LIMIT, seg)
#define SELECTOR(seg) VMCS_SEGMENT(VMCS_GUEST_SELECTOR, seg)

static const struct broken table[] = {
    /* controls */
    {VMCS_PIN_CONTROLS, 0, CONTROLS, "pin-based"},
    {VMCS_PIN_CONTROLS, ~0u, CONTROLS, "pin-based"},
    {VMCS_PROC_CONTROLS, 0, CONTROLS, "primary"},
    {VMCS_PROC2_CONTROLS, PROC2_PML, CONTROLS, "secondary"},
    {VMCS_CR3_TARGET_COUNT, 5, CONTROLS, "CR3-target"},
    {VMCS_IO_BITMAP_A, BITMAPS_AT + 1, CONTROLS, "I/O-bitmap"},
    {VMCS_IO_BITMAP_B, BIT64(40), CONTROLS, "I/O-bitmap"},
    {VMCS_MSR_BITMAP, BITMAPS_AT + 0x800, CONTROLS, "MSR-bitmap"},
    {VMCS_VIRTUAL_APIC, VAPIC_AT + 0x10, CONTROLS, "virtual-APIC"},
    {VMCS_TPR_THRESHOLD, 0x10, CONTROLS, "TPR threshold: bits"},
    {VMCS_TPR_THRESHOLD, 1, CONTROLS, "VTPR"},
    {VMCS_VPID, 0, CONTROLS, "VPID"},
    {VMCS_EPTP, EPT_AT | MEMTYPE_WP | EPTP_WALK_4, CONTROLS, "EPTP"},
    {VMCS_EPTP, EPT_AT | MEMTYPE_WB | 2 << 3, CONTROLS, "EPTP"},
    {VMCS_EPTP, EPT_AT | MEMTYPE_WB | EPTP_WALK_4 | BIT(7), CONTROLS, "EPTP"},
    {VMCS_EPTP, BIT64(40) | MEMTYPE_WB | EPTP_WALK_4, CONTROLS, "EPTP"},
    {VMCS_PROC2_CONTROLS, PROC2_UNRESTRICTED_GUEST, CONTROLS, "need enable EPT"},
    {VMCS_PROC2_CONTROLS, PROC2_EPT | PROC2_SHADOW_VMCS, PASS, NULL},
    {VMCS_PROC2_CONTROLS, PROC2_EPT | PROC2_TSC_SCALING, CONTROLS, "TSC multiplier"},
    {VMCS_EXIT_CONTROLS, 0, CONTROLS, "VM-exit controls"},
    {VMCS_EXIT_MSR_STORE_COUNT, 1, PASS, NULL},
    {VMCS_ENTRY_CONTROLS, 0, CONTROLS, "VM-entry controls"},
    {VMCS_ENTRY_INTR_INFO, EVENT(1, 32), CONTROLS, "reserved 1"},
    {VMCS_ENTRY_INTR_INFO, EVENT(EVENT_NMI, 3), CONTROLS, "vector is 2"},
    {VMCS_ENTRY_INTR_INFO, EVENT(EVENT_EXCEPTION, 32), CONTROLS, "at most 31"},
    {VMCS_ENTRY_INTR_INFO, EVENT(INTR_TYPE_OTHER, 1), CONTROLS, "vector is 0"},
    {VMCS_ENTRY_INTR_INFO, EVENT(EVENT_EXCEPTION, EXC_GP), CONTROLS, "deliver-error-code"},
    {VMCS_ENTRY_INTR_INFO, EVENT(EVENT_EXCEPTION, EXC_UD) | INTR_ERROR_VALID, CONTROLS, "deliver-error-code"},
    {VMCS_ENTRY_INTR_INFO, EVENT(EVENT_EXCEPTION, EXC_UD) | BIT(12), CONTROLS, "30:12"},
    {VMCS_ENTRY_INTR_INFO, EVENT(EVENT_EXCEPTION, EXC_GP) | INTR_ERROR_VALID, PASS, NULL},
    {VMCS_ENTRY_INTR_INFO, EVENT(INTR_TYPE_OTHER, 0), PASS, NULL},
    /* host state */
    {VMCS_HOST_CR0, CR0_PE | CR0_PG, HOST, "host CR0"},
    {VMCS_HOST_CR0, CR0_PE | CR0_PG | CR0_NE | BIT64(32), HOST, "host CR0"},
    {VMCS_HOST_CR4, CR4_PAE, HOST, "host CR4"},
    {VMCS_HOST_CR4, CR4_PAE | CR4_VMXE | CR4_SMXE, HOST, "host CR4"},
    {VMCS_HOST_CR4, CR4_VMXE, HOST, "CR4.PAE"},
    {VMCS_HOST_CR3, BIT64(40), HOST, "host CR3"},
    {VMCS_HOST_SYSENTER_ESP, NO_CANON, HOST, "SYSENTER_ESP"},
    {VMCS_HOST_SYSENTER_EIP, NO_CANON, HOST, "SYSENTER_EIP"},
    {VMCS_HOST_PAT, BAD_PAT, HOST, "host IA32_PAT"},
    {VMCS_HOST_EFER, EFER_LMA | EFER_LME | BIT64(1), HOST, "host IA32_EFER: reserved"},
    {VMCS_HOST_EFER, EFER_LMA, HOST, "LMA and LME"},
    {VMCS_SEGMENT(VMCS_HOST_SELECTOR, SEG_ES), 1, HOST, "RPL 0"},
    {VMCS_HOST_TR_SELECTOR, 4, HOST, "RPL 0"},
    {VMCS_SEGMENT(VMCS_HOST_SELECTOR, SEG_CS), 0, HOST, "host CS"},
    {VMCS_HOST_TR_SELECTOR, 0, HOST, "host TR"},
    {VMCS_SEGMENT(VMCS_HOST_SELECTOR, SEG_SS), 0, PASS, NULL},
    {VMCS_HOST_FS_BASE, NO_CANON, HOST, "host FS"},
    {VMCS_HOST_GS_BASE, NO_CANON, HOST, "host GS"},
    {VMCS_HOST_TR_BASE, NO_CANON, HOST, "host TR base"},
    {VMCS_HOST_GDTR_BASE, NO_CANON, HOST, "host GDTR"},
    {VMCS_HOST_IDTR_BASE, NO_CANON, HOST, "host IDTR"},
    {VMCS_HOST_RIP, NO_CANON, HOST, "host RIP"},
    /* guest registers */
    {VMCS_GUEST_CR0, CR0_PE | CR0_PG, GUEST, "guest CR0"},
    {VMCS_GUEST_CR0, CR0_NE | CR0_PG, GUEST, "CR0.PG needs"},
    {VMCS_GUEST_CR4, CR4_PAE, GUEST, "guest CR4"},
    {VMCS_GUEST_CR4, CR4_VMXE, GUEST, "IA-32e mode guest needs"},
    {VMCS_GUEST_DEBUGCTL, BIT64(15), GUEST, "DEBUGCTL"},
    {VMCS_GUEST_CR3, BIT64(40), GUEST, "guest CR3"},
    {VMCS_GUEST_DR7, BIT64(32), GUEST, "DR7"},
    {VMCS_GUEST_SYSENTER_ESP, NO_CANON, GUEST, "SYSENTER_ESP"},
    {VMCS_GUEST_SYSENTER_EIP, NO_CANON, GUEST, "SYSENTER_EIP"},
    {VMCS_GUEST_PAT, BAD_PAT, GUEST, "guest IA32_PAT"},
    {VMCS_GUEST_EFER, EFER_LMA | EFER_LME | BIT64(1), GUEST, "EFER: reserved"},
    {VMCS_GUEST_EFER, EFER_LME, GUEST, "EFER.LMA"},
    {VMCS_GUEST_EFER, EFER_LMA, GUEST, "EFER.LME"},
    /* segments */
    {SELECTOR(SEG_TR), SEL_TSS | SEL_TI, GUEST, "TR selector"},
    {BASE(SEG_TR), NO_CANON, GUEST, "TR base"},
    {BASE(SEG_FS), NO_CANON, GUEST, "FS base"},
    {BASE(SEG_GS), NO_CANON, GUEST, "GS base"},
    {BASE(SEG_CS), BIT64(63), GUEST, "CS base"},
    {BASE(SEG_SS), BIT64(32), GUEST, "SS base"},
    {BASE(SEG_DS), BIT64(32), GUEST, "DS base"},
    {BASE(SEG_ES), BIT64(32), GUEST, "ES base"},
    {RIGHTS(SEG_CS), CODE64_ATTR & ~SEG_TYPE_ACCESSED, GUEST, "CS type"},
    {RIGHTS(SEG_CS), CODE64_ATTR & ~SEG_S, GUEST, "CS is a code"},
    {RIGHTS(SEG_CS), CODE64_ATTR | DPL3, GUEST, "CS.DPL equals"},
    {RIGHTS(SEG_CS), CODE64_ATTR | SEG_TYPE_EXPAND | DPL3, GUEST, "CS.DPL is at most"},
    {RIGHTS(SEG_CS), CODE64_ATTR & ~SEG_P, GUEST, "CS is present"},
    {RIGHTS(SEG_CS), CODE64_ATTR | BIT(8), GUEST, "CS access rights"},
    {RIGHTS(SEG_CS), CODE64_ATTR | SEG_DB, GUEST, "CS.D/B"},
    {RIGHTS(SEG_CS), CODE64_ATTR & ~SEG_G, GUEST, "CS granularity"},
    {RIGHTS(SEG_SS), DATA_ATTR & ~SEG_TYPE_WRITE, GUEST, "SS type"},
    {RIGHTS(SEG_SS), DATA_ATTR & ~SEG_P, GUEST, "SS is present"},
    {RIGHTS(SEG_SS), SEG_UNUSABLE, PASS, NULL},
    {RIGHTS(SEG_DS), DATA_ATTR & ~SEG_TYPE_ACCESSED, GUEST, "accessed"},
    {RIGHTS(SEG_DS), (DATA_ATTR & ~SEG_TYPE_WRITE) | SEG_TYPE_CODE, GUEST, "readable"},
    {RIGHTS(SEG_FS), DATA_ATTR & ~SEG_S, GUEST, "code or data"},
    {RIGHTS(SEG_GS), DATA_ATTR & ~SEG_P, GUEST, "present"},
    {LIMIT(SEG_FS), 0xffff0000, GUEST, "granularity"},
    {RIGHTS(SEG_TR), SYS_TSS_AVAIL | SEG_P, GUEST, "TR type"},
    {RIGHTS(SEG_TR), SYS_TSS16_BUSY | SEG_P, GUEST, "TR type"},
    {RIGHTS(SEG_TR), SYS_TSS_BUSY | SEG_P | SEG_S, GUEST, "TR is a system"},
    {RIGHTS(SEG_TR), SYS_TSS_BUSY, GUEST, "TR is present"},
    {RIGHTS(SEG_TR), SYS_TSS_BUSY | SEG_P | SEG_UNUSABLE, GUEST, "TR is usable"},
    {RIGHTS(SEG_LDTR), SYS_TSS16_BUSY | SEG_P, GUEST, "LDTR type"},
    {RIGHTS(SEG_LDTR), SYS_LDT, GUEST, "LDTR is present"},
    {RIGHTS(SEG_LDTR), SYS_LDT | SEG_P, PASS, NULL},
    {VMCS_GUEST_GDTR_BASE, NO_CANON, GUEST, "GDTR base"},
    {VMCS_GUEST_IDTR_BASE, NO_CANON, GUEST, "IDTR base"},
    {VMCS_GUEST_GDTR_LIMIT, 0x10000, GUEST, "GDTR limit"},
    {VMCS_GUEST_IDTR_LIMIT, 0x10000, GUEST, "IDTR limit"},
    /* RIP, RFLAGS and the rest */
    {VMCS_GUEST_RIP, NO_CANON, PASS, NULL},
    {VMCS_GUEST_RIP, BIT64(48), GUEST, "guest RIP"},
    {VMCS_GUEST_RFLAGS, 0, GUEST, "RFLAGS: reserved"},
    {VMCS_GUEST_RFLAGS, FLAG_ONE | BIT64(3), GUEST, "RFLAGS: reserved"},
    {VMCS_ENTRY_INTR_INFO, EVENT(EVENT_EXTINT, 32), GUEST, "RFLAGS.IF"},
    {VMCS_GUEST_ACTIVITY, 4, GUEST, "activity state is one"},
    {VMCS_GUEST_ACTIVITY, GUEST_HLT, PASS, NULL},
    {VMCS_GUEST_INTERRUPTIBILITY, BIT(5), GUEST, "31:5"},
    {VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_STI | INTERRUPTIBILITY_MOVSS, GUEST, "not both"},
    {VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_STI, GUEST, "blocking by STI needs"},
    {VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_SMI, GUEST, "SMI"},
    {VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_ENCLAVE, GUEST, "enclave"},
    {VMCS_GUEST_INTERRUPTIBILITY, INTERRUPTIBILITY_NMI, PASS, NULL},
    {VMCS_GUEST_PENDING_DEBUG, BIT64(4), GUEST, "pending debug exceptions: reserved"},
    {VMCS_LINK_POINTER, 0x1234, GUEST, "link pointer"},
    {VMCS_LINK_POINTER, OTHER_VMCS_AT, GUEST, "revision"},
};

static void test_table(void)
{
    TEST("the unbroken state passes");
    machine_ready();
    CHECK(ends(PASS, NULL));
    TEST("each broken field fails its own rule");
    machine_create();
    for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
        const struct broken *b = &table[i];
        machine_vmcs();
        field(b->encoding, b->value);
        if (!ends(b->stage, b->rule)) {
            test_bad++;
            printf("# row %u, field %x = %llx\n", i, b->encoding, (unsigned long long)b->value);
        }
    }
}

static void test_controls(void)
{
    TEST("controls that need each other");
    machine_ready();
    x->f.pin &= ~PIN_NMI_EXITING;
    CHECK(ends(CONTROLS, "virtual NMIs need"));
    machine_vmcs();
    x->f.pin &= ~PIN_VIRTUAL_NMIS;
    x->f.proc |= PROC_NMI_WINDOW;
    CHECK(ends(CONTROLS, "NMI-window exiting needs"));
    machine_vmcs();
    x->f.exit_controls |= EXITC_SAVE_PREEMPTION_TIMER;
    CHECK(ends(CONTROLS, "save VMX-preemption timer"));
    machine_vmcs();
    x->f.proc &= ~PROC_TPR_SHADOW;
    x->f.proc2 |= PROC2_X2APIC_MODE;
    CHECK(ends(CONTROLS, "need use TPR shadow"));
    machine_vmcs();
    x->f.proc2 |= PROC2_APIC_ACCESSES | PROC2_X2APIC_MODE;
    CHECK(ends(CONTROLS, "excludes virtualize APIC accesses"));
    machine_vmcs();
    x->f.proc2 |= PROC2_APIC_ACCESSES;
    x->f.apic_access = VAPIC_AT + 1;
    CHECK(ends(CONTROLS, "APIC-access address"));

    TEST("areas and bitmaps of controls that are on");
    machine_ready();
    x->f.exit_store_count = 1;
    x->f.exit_msr_store = LISTS_AT + 8;
    CHECK(ends(CONTROLS, "MSR-store area"));
    machine_vmcs();
    x->f.exit_load_count = 2;
    x->f.exit_msr_load = BIT64(40) - 16;
    CHECK(ends(CONTROLS, "VM-exit MSR-load area"));
    machine_vmcs();
    x->f.entry_load_count = 1;
    x->f.entry_msr_load = LISTS_AT + 8;
    CHECK(ends(CONTROLS, "VM-entry MSR-load area"));
    machine_vmcs();
    x->f.proc2 |= PROC2_SHADOW_VMCS;
    x->f.vmread_bitmap = BITMAPS_AT + 1;
    CHECK(ends(CONTROLS, "VMREAD-bitmap"));
    x->f.vmread_bitmap = BITMAPS_AT;
    x->f.vmwrite_bitmap = BITMAPS_AT + 1;
    CHECK(ends(CONTROLS, "VMWRITE-bitmap"));

    TEST("injection");
    machine_ready();
    x->f.entry_intr_info = EVENT(EVENT_EXCEPTION, EXC_GP) | INTR_ERROR_VALID;
    x->f.entry_error = 0x10000;
    CHECK(ends(CONTROLS, "error code: bits 31:16"));
    machine_vmcs();
    x->f.entry_intr_info = EVENT(EVENT_SOFT_INT, 0x80);
    x->f.entry_insn_len = 16;
    CHECK(ends(CONTROLS, "instruction length"));
}

/* Controls that this CPU does not offer have rules too. */
static void test_other_capabilities(void)
{
    TEST("rules of controls that are not offered");
    struct vmx_caps caps = vmx_offered;
    machine_ready();
    x->caps = &caps;
    caps.proc &= ~PROC_MONITOR_TRAP;
    x->f.entry_intr_info = EVENT(INTR_TYPE_OTHER, 0);
    CHECK(ends(CONTROLS, "monitor trap flag"));
}

static void host_32bit(void)
{
    machine_vmcs();
    x->f.exit_controls &= ~EXITC_HOST_64;
    x->f.host_efer = EFER_NXE;
    x->f.host_sel[SEG_SS] = SEL_DATA;
}

/* L1 itself, at the VMLAUNCH, is outside IA-32e mode. */
static void host_outside_long_mode(void)
{
    core_mode32(v);
    v->cr0 |= CR0_PG;
    v->cr4 |= CR4_VMXE | CR4_PAE;
    host_32bit();
    x->f.host_rip = L1_RIP;
    x->f.entry_controls &= ~ENTRYC_IA32E_GUEST;
    x->f.guest_efer = 0;
    x->f.guest_attr[SEG_CS] = (CODE64_ATTR & ~SEG_L) | SEG_DB;
}

static void test_host(void)
{
    TEST("the host's address-space size");
    machine_ready();
    host_32bit();
    CHECK(ends(HOST, "size is 1 if"));
    machine_create();
    host_outside_long_mode();
    CHECK(ends(PASS, NULL));
    host_outside_long_mode();
    x->f.entry_controls |= ENTRYC_IA32E_GUEST;
    CHECK(ends(HOST, "needs a 64-bit host"));
    host_outside_long_mode();
    x->f.host_cr4 |= CR4_PCIDE;
    CHECK(ends(HOST, "CR4.PCIDE is 0"));
    host_outside_long_mode();
    x->f.host_rip |= BIT64(32);
    CHECK(ends(HOST, "host RIP: bits 63:32"));
    host_outside_long_mode();
    x->f.host_sel[SEG_SS] = 0;
    CHECK(ends(HOST, "host SS"));
    host_outside_long_mode();
    x->f.exit_controls |= EXITC_HOST_64;
    x->f.host_efer |= EFER_LMA | EFER_LME;
    CHECK(ends(HOST, "size is 0 if"));
}

/* L2 without IA-32e mode, in flat 32-bit mode with PAE paging. */
static void guest_pae(void)
{
    machine_vmcs();
    x->f.entry_controls &= ~ENTRYC_IA32E_GUEST;
    x->f.guest_efer = 0;
    x->f.guest_attr[SEG_CS] = (CODE64_ATTR & ~SEG_L) | SEG_DB;
}

static void guest_v86(void)
{
    guest_pae();
    x->f.guest_rflags |= FLAG_VM;
    for (unsigned i = SEG_ES; i <= SEG_GS; i++) {
        x->f.guest_base[i] = (u64)x->f.guest_sel[i] << 4;
        x->f.guest_limit[i] = 0xffff;
        x->f.guest_attr[i] = SEG_P | SEG_S | DPL3 | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED;
    }
}

/* Without unrestricted guest. */
static void guest_restricted(void)
{
    machine_vmcs();
    x->f.proc2 &= ~PROC2_UNRESTRICTED_GUEST;
    x->f.guest_sel[SEG_SS] = SEL_DATA;
}

static void test_guest(void)
{
    TEST("without unrestricted guest");
    machine_ready();
    guest_restricted();
    CHECK(ends(PASS, NULL));
    x->f.guest_sel[SEG_SS] |= SEL_RPL;
    CHECK(ends(GUEST, "SS.RPL equals CS.RPL"));
    guest_restricted();
    x->f.guest_cr0 &= ~CR0_PG;
    CHECK(ends(GUEST, "guest CR0"));
    guest_restricted();
    x->f.guest_attr[SEG_SS] |= DPL3;
    x->f.guest_attr[SEG_CS] |= DPL3;
    CHECK(ends(GUEST, "SS.DPL equals SS.RPL"));
    guest_restricted();
    x->f.guest_sel[SEG_DS] |= SEL_RPL;
    CHECK(ends(GUEST, "DPL is at least RPL"));

    TEST("real mode of an unrestricted guest");
    machine_ready();
    guest_pae();
    x->f.guest_cr0 &= ~(CR0_PE | CR0_PG);
    CHECK(ends(PASS, NULL));
    x->f.guest_attr[SEG_CS] = DATA_ATTR;
    CHECK(ends(PASS, NULL));
    x->f.guest_attr[SEG_CS] |= DPL3;
    CHECK(ends(GUEST, "CS.DPL is 0 for type 3"));
    x->f.guest_attr[SEG_CS] = DATA_ATTR;
    x->f.guest_attr[SEG_SS] |= DPL3;
    CHECK(ends(GUEST, "SS.DPL is 0 if CS type is 3"));

    TEST("virtual-8086 mode");
    machine_ready();
    guest_v86();
    CHECK(ends(PASS, NULL));
    x->f.guest_base[SEG_GS]++;
    CHECK(ends(GUEST, "selector times 16"));
    guest_v86();
    x->f.guest_limit[SEG_ES] = ~0u;
    CHECK(ends(GUEST, "limit is FFFFH"));
    guest_v86();
    x->f.guest_attr[SEG_DS] |= SEG_DB;
    CHECK(ends(GUEST, "access rights are F3H"));
    guest_v86();
    x->f.guest_cr0 &= ~(CR0_PE | CR0_PG);
    CHECK(ends(GUEST, "RFLAGS.VM is 0"));

    TEST("outside IA-32e mode");
    machine_ready();
    guest_pae();
    CHECK(ends(PASS, NULL));
    x->f.guest_cr4 |= CR4_PCIDE;
    CHECK(ends(GUEST, "CR4.PCIDE needs"));
    guest_pae();
    x->f.guest_rip |= BIT64(32);
    CHECK(ends(GUEST, "bits 63:32 are 0 outside 64-bit mode"));
}

static void test_segments(void)
{
    TEST("segments that are usable");
    machine_ready();
    x->f.guest_attr[SEG_SS] |= BIT(8);
    CHECK(ends(GUEST, "SS access rights"));
    machine_vmcs();
    x->f.guest_limit[SEG_SS] = 0xffff0000;
    CHECK(ends(GUEST, "SS granularity"));
    machine_vmcs();
    x->f.guest_attr[SEG_ES] |= BIT(8);
    CHECK(ends(GUEST, "DS, ES, FS, GS access rights"));
    machine_vmcs();
    x->f.guest_attr[SEG_TR] |= BIT(8);
    CHECK(ends(GUEST, "TR access rights"));
    machine_vmcs();
    x->f.guest_limit[SEG_TR] = 0x1000ffff;
    CHECK(ends(GUEST, "TR granularity"));

    TEST("an LDTR that is usable");
    machine_ready();
    x->f.guest_attr[SEG_LDTR] = SYS_LDT | SEG_P;
    x->f.guest_sel[SEG_LDTR] = SEL_TI;
    CHECK(ends(GUEST, "LDTR selector"));
    x->f.guest_sel[SEG_LDTR] = 0;
    x->f.guest_base[SEG_LDTR] = NO_CANON;
    CHECK(ends(GUEST, "LDTR base"));
    x->f.guest_base[SEG_LDTR] = 0;
    x->f.guest_attr[SEG_LDTR] |= SEG_S;
    CHECK(ends(GUEST, "LDTR is a system"));
    x->f.guest_attr[SEG_LDTR] = SYS_LDT | SEG_P | BIT(8);
    CHECK(ends(GUEST, "LDTR access rights"));
    x->f.guest_attr[SEG_LDTR] = SYS_LDT | SEG_P;
    x->f.guest_limit[SEG_LDTR] = 0x1000ffff;
    CHECK(ends(GUEST, "LDTR granularity"));
}

static void test_events(void)
{
    TEST("activity state and injection");
    machine_ready();
    x->f.guest_activity = GUEST_HLT;
    x->f.guest_attr[SEG_SS] |= DPL3;
    x->f.guest_attr[SEG_CS] |= DPL3;
    CHECK(ends(GUEST, "not HLT unless"));
    machine_vmcs();
    x->f.guest_activity = GUEST_HLT;
    x->f.guest_interruptibility = INTERRUPTIBILITY_MOVSS;
    CHECK(ends(GUEST, "active under blocking"));
    machine_vmcs();
    x->f.guest_activity = GUEST_HLT;
    x->f.entry_intr_info = EVENT(EVENT_EXCEPTION, EXC_UD);
    CHECK(ends(GUEST, "injected in the HLT state"));
    x->f.entry_intr_info = EVENT(EVENT_EXCEPTION, EXC_DB);
    CHECK(ends(PASS, NULL));
    x->f.guest_activity = GUEST_SHUTDOWN;
    CHECK(ends(GUEST, "injected in the shutdown state"));
    x->f.entry_intr_info = EVENT(EVENT_NMI, EXC_NMI);
    CHECK(ends(PASS, NULL));
    x->f.guest_activity = GUEST_WAIT_SIPI;
    CHECK(ends(GUEST, "wait-for-SIPI"));

    TEST("blocking and injection");
    machine_ready();
    x->f.entry_intr_info = EVENT(EVENT_EXTINT, 32);
    x->f.guest_rflags |= FLAG_IF;
    x->f.guest_interruptibility = INTERRUPTIBILITY_STI;
    CHECK(ends(GUEST, "if an external interrupt is injected"));
    machine_vmcs();
    x->f.entry_intr_info = EVENT(EVENT_NMI, EXC_NMI);
    x->f.guest_interruptibility = INTERRUPTIBILITY_MOVSS;
    CHECK(ends(GUEST, "MOV SS if an NMI is injected"));
    x->f.guest_interruptibility = INTERRUPTIBILITY_NMI;
    CHECK(ends(GUEST, "no blocking by NMI"));

    TEST("a single step under blocking by MOV SS is pending");
    machine_ready();
    x->f.guest_interruptibility = INTERRUPTIBILITY_MOVSS;
    x->f.guest_rflags |= FLAG_TF;
    CHECK(ends(GUEST, "BS is 1 exactly if"));
    x->f.guest_pending_debug = PENDING_DBG_BS;
    CHECK(ends(PASS, NULL));
}

static void test_qualification(void)
{
    TEST("the qualification of a bad link pointer");
    machine_ready();
    x->f.link = OTHER_VMCS_AT;
    CHECK(ends(GUEST, NULL));
    CHECK_EQ(qualification, QUALIFICATION_LINK);

    TEST("the qualification of a bad PDPTE");
    machine_ready();
    guest_pae();
    x->f.guest_pdpte[2] = PTE_P | PTE_W;
    CHECK(ends(GUEST, "PDPTE"));
    CHECK_EQ(qualification, QUALIFICATION_PDPTE);
    x->f.guest_pdpte[2] = PTE_P;
    CHECK(ends(PASS, NULL));
}

static void test_msr_list(void)
{
    TEST("an MSR that cannot be loaded breaks a rule too");
    machine_ready();
    x->f.entry_load_count = 1;
    x->f.entry_msr_load = LISTS_AT;
    u64 entry[2] = {MSR_FS_BASE, 0};
    memcpy(ram + LISTS_AT, entry, sizeof entry);
    CHECK_EQ(op_vmlaunch(v, &plain), CPU_NESTED_EXIT);
    CHECK(rules_named(rules_note(v), "MSR-load area can be loaded"));
}

int main(void)
{
    test_table();
    test_controls();
    test_other_capabilities();
    test_host();
    test_guest();
    test_segments();
    test_events();
    test_qualification();
    test_msr_list();
    TEST("no rule without a test");
    rules_check_all("SDM");
    return TEST_END();
}
