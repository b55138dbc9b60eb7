/* VM-entry checks: from a state that passes, one field at a time is broken, and the rule that names it must fail. */
#include "unit/test.h"
#include "unit/vmx_machine.h"

enum stage { PASS, CONTROLS, HOST, GUEST };

static u64 qualification;

static enum stage run(void)
{
    x->rule = NULL;
    x->proc2 = x->f.proc & PROC_SECONDARY ? x->f.proc2 : 0;
    if (!vmx_check_controls(v, x))
        return CONTROLS;
    if (!vmx_check_host(v, x))
        return HOST;
    return vmx_check_guest(v, x, &qualification) ? PASS : GUEST;
}

struct broken {
    u32 encoding;
    u64 value;
    enum stage stage;
    const char *rule; /* part of its text */
};

#define ALL_64 0x8000000000000000ull
#define NO_CANON 0x0000800000000000ull

static const struct broken table[] = {
    /* controls */
    {0x4000, 0, CONTROLS, "pin-based"},
    {0x4000, ~0u, CONTROLS, "pin-based"},
    {0x4002, 0, CONTROLS, "primary"},
    {0x401e, PROC2_PML, CONTROLS, "secondary"},
    {0x400a, 5, CONTROLS, "CR3-target"},
    {0x2000, 0x12001, CONTROLS, "I/O-bitmap"},
    {0x2002, 1ull << 40, CONTROLS, "I/O-bitmap"},
    {0x2004, 0x14800, CONTROLS, "MSR-bitmap"},
    {0x2012, 0x15010, CONTROLS, "virtual-APIC"},
    {0x401c, 0x10, CONTROLS, "TPR threshold: bits"},
    {0x401c, 1, CONTROLS, "VTPR"},
    {0x0000, 0, CONTROLS, "VPID"},
    {0x201a, EPT_AT | 5 | 3 << 3, CONTROLS, "EPTP"},
    {0x201a, EPT_AT | 6 | 2 << 3, CONTROLS, "EPTP"},
    {0x201a, EPT_AT | 6 | 3 << 3 | 0x80, CONTROLS, "EPTP"},
    {0x201a, 1ull << 40 | 6 | 3 << 3, CONTROLS, "EPTP"},
    {0x401e, PROC2_UNRESTRICTED_GUEST, CONTROLS, "need enable EPT"},
    {0x401e, PROC2_EPT | PROC2_SHADOW_VMCS, PASS, NULL},
    {0x400c, 0, CONTROLS, "VM-exit controls"},
    {0x400e, 1, PASS, NULL},
    {0x4012, 0, CONTROLS, "VM-entry controls"},
    {0x4016, INTR_VALID | 1 << 8 | 32, CONTROLS, "reserved 1"},
    {0x4016, INTR_VALID | EVENT_NMI << 8 | 3, CONTROLS, "vector is 2"},
    {0x4016, INTR_VALID | EVENT_EXCEPTION << 8 | 32, CONTROLS, "at most 31"},
    {0x4016, INTR_VALID | 7 << 8 | 1, CONTROLS, "vector is 0"},
    {0x4016, INTR_VALID | EVENT_EXCEPTION << 8 | EXC_GP, CONTROLS, "deliver-error-code"},
    {0x4016, INTR_VALID | EVENT_EXCEPTION << 8 | EXC_UD | INTR_ERROR_VALID, CONTROLS, "deliver-error-code"},
    {0x4016, INTR_VALID | EVENT_EXCEPTION << 8 | EXC_UD | 1 << 12, CONTROLS, "30:12"},
    {0x4016, INTR_VALID | EVENT_EXCEPTION << 8 | EXC_GP | INTR_ERROR_VALID, PASS, NULL},
    {0x4016, INTR_VALID | 7 << 8, PASS, NULL},
    /* host state */
    {0x6c00, CR0_PE | CR0_PG, HOST, "host CR0"},
    {0x6c00, CR0_PE | CR0_PG | CR0_NE | 1ull << 32, HOST, "host CR0"},
    {0x6c04, CR4_PAE, HOST, "host CR4"},
    {0x6c04, CR4_PAE | CR4_VMXE | CR4_SMXE, HOST, "host CR4"},
    {0x6c04, CR4_VMXE, HOST, "CR4.PAE"},
    {0x6c02, 1ull << 40, HOST, "host CR3"},
    {0x6c10, NO_CANON, HOST, "SYSENTER_ESP"},
    {0x6c12, NO_CANON, HOST, "SYSENTER_EIP"},
    {0x2c00, 2, HOST, "host IA32_PAT"},
    {0x2c02, EFER_LMA | EFER_LME | 2, HOST, "host IA32_EFER: reserved"},
    {0x2c02, EFER_LMA, HOST, "LMA and LME"},
    {0x0c00, 1, HOST, "RPL 0"},
    {0x0c0c, 4, HOST, "RPL 0"},
    {0x0c02, 0, HOST, "host CS"},
    {0x0c0c, 0, HOST, "host TR"},
    {0x0c04, 0, PASS, NULL},
    {0x6c06, NO_CANON, HOST, "host FS"},
    {0x6c08, NO_CANON, HOST, "host GS"},
    {0x6c0a, NO_CANON, HOST, "host TR base"},
    {0x6c0c, NO_CANON, HOST, "host GDTR"},
    {0x6c0e, NO_CANON, HOST, "host IDTR"},
    {0x6c16, NO_CANON, HOST, "host RIP"},
    /* guest registers */
    {0x6800, CR0_PE | CR0_PG, GUEST, "guest CR0"},
    {0x6800, CR0_NE | CR0_PG, GUEST, "CR0.PG needs"},
    {0x6804, CR4_PAE, GUEST, "guest CR4"},
    {0x6804, CR4_VMXE, GUEST, "IA-32e mode guest needs"},
    {0x2802, 1ull << 15, GUEST, "DEBUGCTL"},
    {0x6802, 1ull << 40, GUEST, "guest CR3"},
    {0x681a, 1ull << 32, GUEST, "DR7"},
    {0x6824, NO_CANON, GUEST, "SYSENTER_ESP"},
    {0x6826, NO_CANON, GUEST, "SYSENTER_EIP"},
    {0x2804, 2, GUEST, "guest IA32_PAT"},
    {0x2806, EFER_LMA | EFER_LME | 2, GUEST, "EFER: reserved"},
    {0x2806, EFER_LME, GUEST, "EFER.LMA"},
    {0x2806, EFER_LMA, GUEST, "EFER.LME"},
    /* segments */
    {0x080e, 68, GUEST, "TR selector"},
    {0x6814, NO_CANON, GUEST, "TR base"},
    {0x680e, NO_CANON, GUEST, "FS base"},
    {0x6810, NO_CANON, GUEST, "GS base"},
    {0x6808, ALL_64, GUEST, "CS base"},
    {0x680a, 1ull << 32, GUEST, "SS base"},
    {0x680c, 1ull << 32, GUEST, "DS base"},
    {0x6806, 1ull << 32, GUEST, "ES base"},
    {0x4816, 10 | SEG_S | SEG_P | SEG_L | SEG_G, GUEST, "CS type"},
    {0x4816, 11 | SEG_P | SEG_L | SEG_G, GUEST, "CS is a code"},
    {0x4816, 11 | SEG_S | SEG_P | SEG_L | SEG_G | 3 << 5, GUEST, "CS.DPL equals"},
    {0x4816, 15 | SEG_S | SEG_P | SEG_L | SEG_G | 3 << 5, GUEST, "CS.DPL is at most"},
    {0x4816, 11 | SEG_S | SEG_L | SEG_G, GUEST, "CS is present"},
    {0x4816, 11 | SEG_S | SEG_P | SEG_L | SEG_G | 0x100, GUEST, "CS access rights"},
    {0x4816, 11 | SEG_S | SEG_P | SEG_L | SEG_DB | SEG_G, GUEST, "CS.D/B"},
    {0x4816, 11 | SEG_S | SEG_P | SEG_L, GUEST, "CS granularity"},
    {0x4818, 1 | SEG_S | SEG_P | SEG_DB | SEG_G, GUEST, "SS type"},
    {0x4818, 3 | SEG_S | SEG_DB | SEG_G, GUEST, "SS is present"},
    {0x4818, SEG_UNUSABLE, PASS, NULL},
    {0x481a, 2 | SEG_S | SEG_P | SEG_DB | SEG_G, GUEST, "accessed"},
    {0x481a, 9 | SEG_S | SEG_P | SEG_DB | SEG_G, GUEST, "readable"},
    {0x481c, 3 | SEG_P | SEG_DB | SEG_G, GUEST, "code or data"},
    {0x481e, 3 | SEG_S | SEG_DB | SEG_G, GUEST, "present"},
    {0x4808, 0xffff0000, GUEST, "granularity"},
    {0x4822, 9 | SEG_P, GUEST, "TR type"},
    {0x4822, 3 | SEG_P, GUEST, "TR type"},
    {0x4822, 11 | SEG_P | SEG_S, GUEST, "TR is a system"},
    {0x4822, 11, GUEST, "TR is present"},
    {0x4822, 11 | SEG_P | SEG_UNUSABLE, GUEST, "TR is usable"},
    {0x4820, 3 | SEG_P, GUEST, "LDTR type"},
    {0x4820, 2, GUEST, "LDTR is present"},
    {0x4820, 2 | SEG_P, PASS, NULL},
    {0x6816, NO_CANON, GUEST, "GDTR base"},
    {0x6818, NO_CANON, GUEST, "IDTR base"},
    {0x4810, 0x10000, GUEST, "GDTR limit"},
    {0x4812, 0x10000, GUEST, "IDTR limit"},
    /* RIP, RFLAGS and the rest */
    {0x681e, NO_CANON, PASS, NULL},
    {0x681e, 1ull << 48, GUEST, "guest RIP"},
    {0x6820, 0, GUEST, "RFLAGS: reserved"},
    {0x6820, FLAG_ONE | 8, GUEST, "RFLAGS: reserved"},
    {0x4016, INTR_VALID | 32, GUEST, "RFLAGS.IF"},
    {0x4826, 4, GUEST, "activity state is one"},
    {0x4826, GUEST_HLT, PASS, NULL},
    {0x4824, 1 << 5, GUEST, "31:5"},
    {0x4824, 3, GUEST, "not both"},
    {0x4824, INTERRUPTIBILITY_STI, GUEST, "blocking by STI needs"},
    {0x4824, INTERRUPTIBILITY_SMI, GUEST, "SMI"},
    {0x4824, INTERRUPTIBILITY_ENCLAVE, GUEST, "enclave"},
    {0x4824, INTERRUPTIBILITY_NMI, PASS, NULL},
    {0x6822, 1ull << 4, GUEST, "pending debug exceptions: reserved"},
    {0x2800, 0x1234, GUEST, "link pointer"},
    {0x2800, VMCS_AT + 0x1000, GUEST, "revision"},
};

static void test_table(void)
{
    TEST("the unbroken state passes");
    machine_vmcs();
    CHECK_EQ(run(), PASS);
    TEST("each broken field fails its own rule");
    for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
        const struct broken *b = &table[i];
        machine_vmcs();
        field(b->encoding, b->value);
        enum stage got = run();
        bool named = !b->rule || (x->rule && strstr(x->rule, b->rule) && x->section);
        if (got != b->stage || !named) {
            test_bad++;
            printf("# row %u, field %x = %llx: stage %d not %d, rule \"%s\" not \"%s\"\n", i, b->encoding,
                   (unsigned long long)b->value, got, b->stage, x->rule ? x->rule : "", b->rule ? b->rule : "");
        }
    }
}

static void test_combinations(void)
{
    TEST("rules over several fields");
    machine_vmcs();
    x->f.pin &= ~PIN_NMI_EXITING;
    CHECK_EQ(run(), CONTROLS);
    machine_vmcs();
    x->f.pin &= ~PIN_VIRTUAL_NMIS;
    x->f.proc |= PROC_NMI_WINDOW;
    CHECK_EQ(run(), CONTROLS);
    machine_vmcs();
    x->f.exit_controls |= EXITC_SAVE_PREEMPTION_TIMER;
    CHECK_EQ(run(), CONTROLS);
    machine_vmcs();
    x->f.exit_load_count = 2;
    x->f.exit_msr_load = (1ull << 40) - 16;
    CHECK_EQ(run(), CONTROLS);
    machine_vmcs();
    x->f.exit_controls &= ~EXITC_HOST_64;
    x->f.host_efer = EFER_NXE;
    CHECK_EQ(run(), HOST);
    machine_vmcs();
    x->f.proc2 &= ~PROC2_UNRESTRICTED_GUEST;
    x->f.guest_sel[SEG_SS] |= 3;
    CHECK_EQ(run(), GUEST);
    machine_vmcs();
    x->f.proc2 = PROC2_EPT | PROC2_VPID;
    x->f.guest_cr0 &= ~CR0_PG;
    CHECK_EQ(run(), GUEST);
    machine_vmcs();
    x->f.entry_intr_info = INTR_VALID | EVENT_NMI << 8 | 2;
    x->f.guest_interruptibility = INTERRUPTIBILITY_NMI;
    CHECK_EQ(run(), GUEST);
    machine_vmcs();
    x->f.guest_interruptibility = INTERRUPTIBILITY_MOVSS;
    x->f.guest_rflags |= FLAG_TF;
    CHECK_EQ(run(), GUEST);
    x->f.guest_pending_debug = PENDING_DBG_BS;
    CHECK_EQ(run(), PASS);
    TEST("the qualification tells link pointer and PDPTEs");
    machine_vmcs();
    x->f.link = VMCS_AT + 0x1000;
    CHECK_EQ(run(), GUEST);
    CHECK_EQ(qualification, 4);
    machine_vmcs();
    x->f.entry_controls &= ~ENTRYC_IA32E_GUEST;
    x->f.guest_efer = 0;
    x->f.guest_attr[SEG_CS] = 11 | SEG_S | SEG_P | SEG_DB | SEG_G;
    x->f.guest_pdpte[2] = 3;
    CHECK_EQ(run(), GUEST);
    CHECK_EQ(qualification, 2);
    x->f.guest_pdpte[2] = 1;
    CHECK_EQ(run(), PASS);
}

int main(void)
{
    machine_create();
    test_table();
    test_combinations();
    return TEST_END();
}
