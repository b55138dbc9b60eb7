/* VMRUN: its consistency checks, from a VMCB that passes with one field at a time broken; and what it does without. */
#include "unit/rules.h"
#include "unit/test.h"

#include "unit/svm_machine.h"

#define INTERCEPTS(code) FIELD(control.intercept[(code) / 32])
#define FIELD(member) #member, offsetof(struct vmcb, member), sizeof(((struct vmcb *)0)->member)
#define EVENT(type, vector) (SVM_EVENT_V | (u64)(type) << SVM_EVENT_TYPE_SHIFT | (vector))
#define MEMORY_END BIT64(40)

static const struct {
    const char *name;
    u16 offset;
    u8 size;
    u64 value;
    const char *rule; /* part of its text, NULL: none is broken */
} table[] = {
    {INTERCEPTS(SVM_EXIT_VMRUN), 0, "the VMRUN intercept"},
    {FIELD(control.asid), 0, "ASID"},
    {FIELD(control.tlb_control), 2, "TLB_CONTROL"},
    {FIELD(control.tlb_control), 8, "TLB_CONTROL"},
    {FIELD(control.tlb_control), TLB_CONTROL_FLUSH_ALL, NULL},
    {FIELD(control.tlb_control), TLB_CONTROL_FLUSH_ASID, NULL},
    {FIELD(control.tlb_control), TLB_CONTROL_FLUSH_ASID_LOCAL, NULL},
    {FIELD(control.msrpm), MEMORY_END - MSRPM_SIZE, "the MSR permissions map"},
    {FIELD(control.msrpm), BIT64(45), "the MSR permissions map"},
    {FIELD(control.iopm), MEMORY_END - 0x2000, "the I/O permissions map"},
    {FIELD(control.iopm), MEMORY_END - IOPM_SIZE, NULL},
    {FIELD(control.ncr3), NCR3 | BIT64(41), "nCR3"},
    {FIELD(control.vintr), VINTR_NMI_ENABLE, "NMI virtualization"},
    {FIELD(control.event_inject), EVENT(1, 0), "EVENTINJ.TYPE"},
    {FIELD(control.event_inject), EVENT(7, 0), "EVENTINJ.TYPE"},
    {FIELD(control.event_inject), EVENT(SVM_EVENT_EXCEPTION, EXC_NMI), "EVENTINJ injects an exception"},
    {FIELD(control.event_inject), EVENT(SVM_EVENT_EXCEPTION, EXC_COUNT), "EVENTINJ injects an exception"},
    {FIELD(control.event_inject), EVENT(SVM_EVENT_EXCEPTION, 9), "EVENTINJ injects an exception"},
    {FIELD(control.event_inject), EVENT(SVM_EVENT_EXCEPTION, 15), "EVENTINJ injects an exception"},
    {FIELD(control.event_inject), EVENT(SVM_EVENT_EXCEPTION, EXC_CP), "EVENTINJ injects an exception"},
    {FIELD(control.event_inject), EVENT(SVM_EVENT_EXCEPTION, 31), "EVENTINJ injects an exception"},
    {FIELD(control.event_inject), EVENT(SVM_EVENT_EXCEPTION, EXC_OF), "EVENTINJ injects no #OF"},
    {FIELD(control.event_inject), EVENT(SVM_EVENT_EXCEPTION, EXC_BR), "EVENTINJ injects no #OF"},
    {FIELD(control.event_inject), EVENT(SVM_EVENT_EXCEPTION, EXC_BP), NULL},
    {FIELD(control.event_inject), EVENT(SVM_EVENT_EXCEPTION, EXC_SX), NULL},
    {FIELD(control.event_inject), EVENT(SVM_EVENT_SOFT_INT, EXC_OF), NULL},
    {FIELD(control.event_inject), EVENT(SVM_EVENT_SOFT_INT, EXC_NMI), NULL},
    {FIELD(control.event_inject), EVENT(SVM_EVENT_INTR, EXC_BR), NULL},
    {FIELD(control.event_inject), EVENT(SVM_EVENT_NMI, EXC_COUNT), NULL},
    {FIELD(control.event_inject), EVENT(7, 0) & ~SVM_EVENT_V, NULL},
    {FIELD(save.g_pat), 2, "G_PAT"},
    {FIELD(save.efer), L2_EFER & ~EFER_SVME, "EFER.SVME"},
    {FIELD(save.efer), L2_EFER | BIT64(9), "EFER: reserved"},
    {FIELD(save.cr0), L2_CR0 | CR0_NW, "CR0.NW"},
    {FIELD(save.cr0), L2_CR0 | CR0_NW | CR0_CD, NULL},
    {FIELD(save.cr0), L2_CR0 | BIT64(32), "CR0: bits 63:32"},
    {FIELD(save.cr0), L2_CR0 & ~CR0_PE, "need CR0.PE"},
    {FIELD(save.cr3), L2_CR3 | BIT64(52), "CR3: reserved"},
    {FIELD(save.cr4), L2_CR4 | CR4_VMXE, "CR4: reserved"},
    {FIELD(save.cr4), L2_CR4 | BIT64(40), "CR4: reserved"},
    {FIELD(save.cr4), L2_CR4 & ~CR4_PAE, "need CR4.PAE"},
    {FIELD(save.dr6), DR6_FIXED | BIT64(32), "DR6"},
    {FIELD(save.dr7), DR7_FIXED | BIT64(63), "DR7"},
    {FIELD(save.cs.attr), CODE64_ATTR | VMCB_ATTR_DB, "CS.L and CS.D"},
};

/* VMRUN did not enter the guest, and named the rule. */
static bool refused(const char *rule)
{
    return !v->in_guest && !v->gif && vmcb->control.exit_code == SVM_EXIT_INVALID &&
           v->next_rip == L1_RIP + insn_vmrun.len && rules_named(rules_note(v), rule);
}

static void test_table(void)
{
    TEST("each broken field fails its own rule");
    for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
        machine_ready();
        memcpy((u8 *)vmcb + table[i].offset, &table[i].value, table[i].size);
        CHECK_EQ(vmrun(), CPU_OK);
        if (table[i].rule ? refused(table[i].rule) : v->in_guest && !v->broken_rule)
            continue;
        test_bad++;
        printf("# row %u, %s = %llx: rule \"%s\" not \"%s\"\n", i, table[i].name, (unsigned long long)table[i].value,
               v->broken_rule ? v->broken_rule->text : "", table[i].rule ? table[i].rule : "");
    }
}

static void test_other_rules(void)
{
    TEST("host paging off with nested paging");
    machine_ready();
    v->cr0 &= ~CR0_PG;
    v->efer &= ~(EFER_LME | EFER_LMA);
    v->cr4 = 0;
    CHECK_EQ(vmrun(), CPU_OK);
    CHECK(refused("NP_ENABLE"));

    TEST("long mode on a processor that has none");
    core_create(VENDOR_AMD, true, 1, "max,-lm");
    v = vm.vcpu[0];
    vmcb = (struct vmcb *)(vm.ram->slot[0].host + VMCB_AT);
    machine_vmcb();
    vmcb->control.nested = 0;
    vmcb->save.efer = EFER_SVME | EFER_LMA;
    v->svm->control = vmcb->control;
    v->svm->save = vmcb->save;
    CHECK(!svm_check(v));
    CHECK(rules_named(rules_note(v), "need a processor with long mode"));

    TEST("#OF and #BR are injected outside 64-bit mode");
    for (unsigned i = 0; i < 4; i++) {
        machine_ready();
        vmcb->control.event_inject = EVENT(SVM_EVENT_EXCEPTION, i & 1 ? EXC_BR : EXC_OF);
        vmcb->save.cs.attr = (vmcb->save.cs.attr & ~VMCB_ATTR_L) | VMCB_ATTR_DB;
        if (i & 2) { /* real mode */
            vmcb->save.cr0 &= ~(CR0_PG | CR0_PE);
            vmcb->save.efer = EFER_SVME;
        }
        CHECK_EQ(vmrun(), CPU_OK);
        CHECK(v->in_guest && v->inject.valid && v->inject.vector == (i & 1 ? EXC_BR : EXC_OF));
        CHECK_EQ(v->inject.type, i & 1 ? EVENT_EXCEPTION : EVENT_SOFT_EXC);
    }

    TEST("CR3 in every other mode of paging");
    static const struct {
        u64 cr0, cr4;
    } modes[] = {{L2_CR0, L2_CR4}, {L2_CR0, 0}, {L2_CR0 & ~CR0_PG, 0}, {L2_CR0 & ~CR0_PG, L2_CR4}};
    for (unsigned i = 0; i < ARRAY_LEN(modes); i++) {
        machine_ready();
        vmcb->save.efer = EFER_SVME;
        vmcb->save.cr0 = modes[i].cr0;
        vmcb->save.cr4 = modes[i].cr4;
        vmcb->save.cr3 |= MEMORY_END;
        CHECK_EQ(vmrun(), CPU_OK);
        CHECK(refused("CR3: reserved"));
    }

    TEST("a PDPE of the guest with reserved bits, once guest state is loaded");
    machine_ready();
    vmcb->control.nested = 0;
    vmcb->save.efer = EFER_SVME;
    u64 pdpe = PTE_P | PTE_A;
    memcpy(vm.ram->slot[0].host + L2_CR3, &pdpe, sizeof pdpe);
    CHECK_EQ(vmrun(), CPU_NESTED_EXIT);
    CHECK(refused("PDPEs"));

    TEST("no rule without a test");
    rules_check_all("APM");
}

static void test_run(void)
{
    TEST("a VMCB that breaks no rule enters the guest");
    machine_ready();
    CHECK_EQ(vmrun(), CPU_OK);
    CHECK(v->in_guest && v->gif && !v->broken_rule);
    CHECK_EQ(v->rip, L2_RIP);
    CHECK_EQ(v->next_rip, L2_RIP);
    CHECK_EQ(v->gpr[RAX], L2_RAX);
    CHECK_EQ(v->cr3, L2_CR3);

    TEST("an intercepted instruction of the guest leaves it");
    machine_ready();
    u64 host_cr3 = v->cr3;
    CHECK_EQ(vmrun(), CPU_OK);
    static const struct insn vmmcall = {.len = 3};
    v->next_rip = L2_RIP + vmmcall.len;
    CHECK_EQ(op_vmmcall(v, &vmmcall), CPU_NESTED_EXIT);
    CHECK(!v->in_guest && !v->gif);
    CHECK_EQ(vmcb->control.exit_code, SVM_EXIT_VMMCALL);
    CHECK_EQ(vmcb->control.nrip, L2_RIP + vmmcall.len);
    CHECK_EQ(vmcb->save.rip, L2_RIP);
    CHECK_EQ(v->rip, L1_RIP + insn_vmrun.len);
    CHECK_EQ(v->next_rip, L1_RIP + insn_vmrun.len);
    CHECK_EQ(v->cr3, host_cr3);
    CHECK_EQ(v->gpr[RSP], L1_RSP);
    CHECK_EQ(v->gpr[RAX], VMCB_AT);
}

static bool faults(u8 vector)
{
    return vmrun() == CPU_FAULT && v->fault.vector == vector;
}

static void test_faults(void)
{
    TEST("addresses that no VMCB has");
    machine_ready();
    v->gpr[RAX] = VMCB_AT + 8;
    CHECK(faults(EXC_GP));
    v->gpr[RAX] = MEMORY_END;
    CHECK(faults(EXC_GP));

    TEST("without EFER.SVME");
    machine_ready();
    v->efer &= ~EFER_SVME;
    CHECK(faults(EXC_UD));

    TEST("above CPL 0");
    machine_ready();
    v->cpl = 3;
    CHECK(faults(EXC_GP));
}

int main(void)
{
    test_run();
    test_table();
    test_other_rules();
    test_faults();
    return TEST_END();
}
