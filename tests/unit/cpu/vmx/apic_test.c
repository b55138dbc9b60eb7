/* L2's APIC-access page and virtual TPR, through the MMU. */
#include "unit/test.h"

#include "cpu/cpu.h"
#include "unit/vmx_machine.h"

#define ACCESS_AT 0x20000u

/* L2 without a second stage, in L1's tables. VTPR is 0x50. */
static void enter(u32 proc)
{
    machine_ready();
    x->f.proc = (x->f.proc & ~PROC_TPR_SHADOW) | proc;
    x->f.proc2 = PROC2_APIC_ACCESSES | PROC2_VPID;
    x->f.guest_cr3 = v->cr3;
    x->f.apic_access = ACCESS_AT;
    x->f.virtual_apic = VAPIC_AT;
    x->f.tpr_threshold = 3;
    ram[VAPIC_AT + APIC_TPR] = 0x50;
    machine_launch();
}

static void left(u64 qualification)
{
    machine_exited(EXIT_APIC_ACCESS);
    CHECK_EQ(x->f.qualification, qualification);
    CHECK_EQ(x->f.exit_insn_len, 2);
    CHECK(x->f.guest_rflags & FLAG_RF);
}

static void test_exits(void)
{
    u64 value = 0;
    gpa_t gpa;
    TEST("reads, writes, exchanges and fetches exit");
    enter(0);
    CHECK_EQ(mem_read(v, ACCESS_AT + 0x20, &value, 4, ACCESS_READ), CPU_NESTED_EXIT);
    left(0x20);
    enter(0);
    CHECK_EQ(mem_write(v, ACCESS_AT + 0xb0, &value, 4, ACCESS_WRITE), CPU_NESTED_EXIT);
    left(0xb0 | APICQ_WRITE << APICQ_TYPE_SHIFT);
    enter(0);
    CHECK_EQ(mem_cmpxchg(v, ACCESS_AT + 0xb0, &value, 1, 4, ACCESS_IMPLICIT), CPU_NESTED_EXIT);
    left(0xb0 | APICQ_WRITE << APICQ_TYPE_SHIFT);
    enter(0);
    CHECK_EQ(mmu_fetch(v, ACCESS_AT + 0x100, &gpa), CPU_NESTED_EXIT);
    left(0x100 | APICQ_FETCH << APICQ_TYPE_SHIFT);

    TEST("in the delivery of an event");
    enter(0);
    v->delivering = (struct event){.valid = true, .vector = EXC_UD, .type = EVENT_EXCEPTION, .rf = true};
    CHECK_EQ(mem_write(v, ACCESS_AT + 0x7f8, &value, 8, ACCESS_WRITE), CPU_NESTED_EXIT);
    left(0x7f8 | APICQ_EVENT << APICQ_TYPE_SHIFT);
    CHECK_EQ(x->f.idt_info, INTR_VALID | EVENT_EXCEPTION << INTR_TYPE_SHIFT | EXC_UD);

    TEST("L1 accesses memory");
    CHECK_EQ(mem_write(v, ACCESS_AT + 0x20, &value, 4, ACCESS_WRITE), CPU_OK);
}

static void test_virtual(void)
{
    u64 value = 0, old = 0x50;
    void *host;
    u64 room;
    TEST("the virtual TPR");
    enter(PROC_TPR_SHADOW);
    CHECK_EQ(mem_read(v, ACCESS_AT + APIC_TPR, &value, 4, ACCESS_READ), CPU_OK);
    CHECK_EQ(value, 0x50);
    value = 0x11111140;
    CHECK_EQ(mem_write(v, ACCESS_AT + APIC_TPR, &value, 4, ACCESS_WRITE), CPU_OK);
    CHECK_EQ(*(u32 *)(ram + VAPIC_AT + APIC_TPR), 0x40);
    CHECK_EQ(*(u32 *)(ram + ACCESS_AT + APIC_TPR), 0);
    CHECK(!x->tpr_pending);
    old = 0x40;
    CHECK_EQ(mem_cmpxchg(v, ACCESS_AT + APIC_TPR, &old, 0x20, 4, ACCESS_READ), CPU_OK);
    CHECK_EQ(old, 0x40);
    CHECK_EQ(ram[VAPIC_AT + APIC_TPR], 0x20);
    CHECK(x->tpr_pending && v->request & REQ_EVENT);
    CHECK_EQ(mem_pointer(v, ACCESS_AT + APIC_TPR, ACCESS_READ, &host, &room), CPU_OK);
    CHECK(!host);
    CHECK_EQ(vmx_windows(v), CPU_NESTED_EXIT);
    machine_exited(EXIT_TPR_BELOW_THRESHOLD);

    TEST("which is not wider than 4 bytes");
    enter(PROC_TPR_SHADOW);
    CHECK_EQ(mem_read(v, ACCESS_AT + APIC_TPR, &value, 8, ACCESS_READ), CPU_NESTED_EXIT);
    left(APIC_TPR);
}

static void test_state(void)
{
    static struct cpu_state saved;
    const char *bad;
    u64 value;
    TEST("a state that is set brings the page along, and one of L1 takes it away");
    enter(0);
    saved.msrs = 0;
    cpu_state_get(v, &saved, STATE_ALL);
    cpu_reset(v);
    CHECK_EQ(cpu_state_set(v, &saved, STATE_ALL, &bad), 0);
    v->rip = L2_RIP;
    v->next_rip = L2_RIP + 2;
    v->insn = &plain;
    CHECK_EQ(mem_read(v, ACCESS_AT + 0x20, &value, 4, ACCESS_READ), CPU_NESTED_EXIT);
    left(0x20);
    CHECK_EQ(cpu_state_set(v, &saved, STATE_ALL, &bad), 0);
    cpu_reset(v);
    CHECK_EQ(mem_read(v, ACCESS_AT + 0x20, &value, 4, ACCESS_READ), CPU_OK);
}

static void test_missing(void)
{
    TEST("a page that is no RAM: as it is, or as KVM has it");
    machine_ready();
    x->f.proc2 |= PROC2_APIC_ACCESSES;
    x->f.apic_access = 0xfed00000;
    vm.fetch_exits = CPU_FETCH_SUPERVISOR;
    CHECK_EQ(op_vmlaunch(v, &plain), CPU_EXIT);
    CHECK(v->exit == CPU_EXIT_APIC_PAGE && !v->in_guest && !x->launched);
    vm.fetch_exits = CPU_FETCH_NEVER;
    CHECK_EQ(op_vmlaunch(v, &plain), CPU_OK);
    CHECK(v->in_guest);
}

int main(void)
{
    test_exits();
    test_virtual();
    test_state();
    test_missing();
    return TEST_END();
}
