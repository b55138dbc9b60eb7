/* VM entry and VM exit: what is loaded and saved, failed entries, injection. */
#include "unit/test.h"

#include "unit/vmx_machine.h"
#include "x86/paging.h"

#include "x86/msr.h"

static void test_entry_exit(void)
{
    TEST("VMLAUNCH loads the guest, CPUID exits, VMRESUME goes on");
    machine_ready();
    x->f.guest_rflags = FLAG_ONE | FLAG_ZF | FLAG_IF;
    CHECK_EQ(op_vmresume(v, &plain), CPU_OK);
    CHECK_EQ(x->f.insn_error, VMERR_VMRESUME_NOT_LAUNCHED);
    CHECK_EQ(op_vmlaunch(v, &plain), CPU_OK);
    CHECK(v->in_guest);
    CHECK_EQ(v->rip, L2_RIP);
    CHECK_EQ(v->next_rip, L2_RIP);
    CHECK_EQ(v->gpr[RSP], L2_RSP);
    CHECK_EQ(v->cr3, L2_CR3);
    CHECK_EQ(rflags_get(v), FLAG_ONE | FLAG_ZF | FLAG_IF);
    v->next_rip = L2_RIP + 2;
    v->insn = &plain;
    CHECK_EQ(vmx_intercept(v, IC_CPUID, 0, 0), CPU_NESTED_EXIT);
    machine_exited(EXIT_CPUID);
    CHECK_EQ(x->f.exit_insn_len, 2);
    CHECK_EQ(x->f.guest_rip, L2_RIP);
    CHECK_EQ(x->f.guest_rflags, FLAG_ONE | FLAG_ZF | FLAG_IF);
    CHECK_EQ(x->f.idt_info, 0);
    CHECK_EQ(op_vmlaunch(v, &plain), CPU_OK);
    CHECK_EQ(x->f.insn_error, VMERR_VMLAUNCH_NOT_CLEAR);
    CHECK_EQ(op_vmresume(v, &plain), CPU_OK);
    CHECK(v->in_guest);
    CHECK_EQ(vmx_intercept(v, IC_INVD, 0, 0), CPU_NESTED_EXIT);
}

static void test_failures(void)
{
    TEST("an entry that a control fails");
    machine_ready();
    x->f.vpid = 0;
    CHECK_EQ(op_vmlaunch(v, &plain), CPU_OK);
    CHECK_EQ(x->f.insn_error, VMERR_ENTRY_CONTROLS);

    TEST("an entry that host state fails");
    machine_ready();
    x->f.host_cr0 = 0;
    CHECK_EQ(op_vmlaunch(v, &plain), CPU_OK);
    CHECK_EQ(x->f.insn_error, VMERR_ENTRY_HOST_STATE);

    TEST("an entry that guest state fails");
    machine_ready();
    x->f.guest_rflags = 0;
    CHECK_EQ(op_vmlaunch(v, &plain), CPU_NESTED_EXIT);
    machine_exited(EXIT_ENTRY_GUEST_STATE | EXIT_REASON_ENTRY_FAILURE);
    CHECK(!x->launched);

    TEST("an entry that its second MSR fails");
    machine_ready();
    x->f.entry_load_count = 2;
    x->f.entry_msr_load = LISTS_AT;
    u64 list[4] = {MSR_PAT, PAT_RESET, MSR_FS_BASE, 0};
    memcpy(ram + LISTS_AT, list, sizeof list);
    CHECK_EQ(op_vmlaunch(v, &plain), CPU_NESTED_EXIT);
    machine_exited(EXIT_ENTRY_MSR_LOAD | EXIT_REASON_ENTRY_FAILURE);
    CHECK_EQ(x->f.qualification, 2);

    TEST("an entry under blocking by MOV SS");
    machine_ready();
    v->shadow = SHADOW_MOVSS;
    CHECK_EQ(op_vmlaunch(v, &plain), CPU_OK);
    CHECK_EQ(x->f.insn_error, VMERR_ENTRY_MOVSS);
}

static void test_injection(void)
{
    TEST("injection");
    machine_ready();
    x->f.entry_intr_info = INTR_VALID | INTR_ERROR_VALID | EVENT_EXCEPTION << INTR_TYPE_SHIFT | EXC_PF;
    x->f.entry_error = PFERR_W;
    v->cr2 = 0x5555;
    machine_launch();
    CHECK(v->inject.valid);
    CHECK_EQ(v->inject.vector, EXC_PF);
    CHECK_EQ(v->inject.error, PFERR_W);
    CHECK_EQ(v->inject.payload, 0x5555);
    CHECK(v->request & REQ_EVENT);
    v->inject.valid = false;
    CHECK_EQ(vmx_intercept(v, IC_CPUID, 0, 0), CPU_NESTED_EXIT);
    CHECK(!(x->f.entry_intr_info & INTR_VALID));
}

/* SDM "Changes to Instruction Behavior in VMX Non-Root Operation", RDTSC. */
static void test_tsc(void)
{
    static const struct {
        u32 proc, proc2;
        u64 mul, offset;
    } seen[] = {
        {0, 0, 0, 0},
        {PROC_TSC_OFFSETTING, 0, 0, 1000},
        {0, PROC2_TSC_SCALING, 0, 0},
        {PROC_TSC_OFFSETTING, PROC2_TSC_SCALING, 3 * TSC_UNSCALED, 1000},
    };
    TEST("the TSC multiplier counts with an offset only, and ends at the exit");
    for (unsigned i = 0; i < ARRAY_LEN(seen); i++) {
        machine_ready();
        x->f.proc |= seen[i].proc;
        x->f.proc2 |= seen[i].proc2;
        x->f.tsc_offset = 1000;
        x->f.tsc_multiplier = 3 * TSC_UNSCALED;
        machine_launch();
        CHECK_EQ(v->tsc_mul, seen[i].mul);
        CHECK_EQ(v->tsc_offset - v->tsc_offset_l1, seen[i].offset);
        CHECK_EQ(vmx_intercept(v, IC_CPUID, 0, 0), CPU_NESTED_EXIT);
        CHECK(!v->tsc_mul && v->tsc_offset == v->tsc_offset_l1);
    }
}

int main(void)
{
    test_entry_exit();
    test_tsc();
    test_failures();
    test_injection();
    return TEST_END();
}
