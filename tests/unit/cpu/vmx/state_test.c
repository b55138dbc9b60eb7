/* The state of a vCPU in VMX operation, in L1 and in the middle of L2. */
#include "unit/test.h"

#include "unit/vmx_machine.h"

#include "unit/nested_state.h"

/* L2 in all the states that it can be in besides its registers. */
static void enter_l2(void)
{
    machine_ready();
    x->f.pin |= PIN_PREEMPTION_TIMER;
    x->f.proc |= PROC_TSC_OFFSETTING | PROC_MONITOR_TRAP;
    x->f.proc2 |= PROC2_TSC_SCALING;
    x->f.tsc_offset = 0x123456789a;
    x->f.tsc_multiplier = TSC_UNSCALED / 3;
    x->f.guest_preemption_timer = 1000000;
    x->f.guest_interruptibility = INTERRUPTIBILITY_NMI;
    x->f.entry_intr_info = INTR_VALID | EVENT_EXCEPTION << INTR_TYPE_SHIFT | EXC_UD;
    machine_launch();
    v->next_rip = L2_RIP; /* between two instructions */
    v->insn = NULL;
    CHECK(v->in_guest && v->inject.valid && x->timer_on);
    x->tpr_pending = true;
}

/* Exits for a reason that stores everything, and gives the VMCS. */
static struct vmcs exit_now(void)
{
    v->inject.valid = false;
    CHECK_EQ(vmx_exit(v, EXIT_CPUID, 0), CPU_NESTED_EXIT);
    return x->f;
}

static void test_l2_goes_on(void)
{
    TEST("L2 goes on where it was: after a reset and with the state set, its exit is the same");
    enter_l2();
    v->gpr[RBX] = 0x1234;
    v->cr2 = 0x5678;
    saved.msrs = 0;
    cpu_state_get(v, &saved, STATE_ALL);
    u64 offset = v->tsc_offset - v->tsc_offset_l1, end = x->timer_end;
    struct vmcs expected = exit_now(), is;
    u64 rip = v->rip;
    cpu_reset(v);
    CHECK(!v->in_guest && !x->on && !x->timer_on && !v->tsc_mul);
    CHECK_EQ(set(&saved), 0);
    CHECK(v->in_guest && x->on && x->timer_on && x->tpr_pending);
    CHECK_EQ(v->tsc_offset - v->tsc_offset_l1, offset);
    CHECK_EQ(v->tsc_mul, TSC_UNSCALED / 3);
    CHECK_EQ(x->timer_end, end);
    CHECK(v->mode & MODE_STEP && v->mode & MODE_GUEST);
    CHECK(v->request & REQ_EVENT);
    CHECK(core_timer[0] >= core_now);
    is = exit_now();
    CHECK(memcmp(&is, &expected, sizeof(is)) == 0);
    CHECK(v->rip == rip && !v->in_guest && v->gpr[RBX] == 0x1234 && v->cr2 == 0x5678);

    TEST("a state without L2 takes a vCPU out of it");
    static struct cpu_state l1;
    cpu_state_get(v, &l1, STATE_ALL);
    CHECK_EQ(set(&saved), 0);
    CHECK(v->in_guest);
    CHECK_EQ(set(&l1), 0);
    CHECK(!v->in_guest && x->on && !x->timer_on && v->tsc_offset == v->tsc_offset_l1 && !v->tsc_mul);
}

static void test_refusals(void)
{
    struct cpu_nested *n = &tried.nested;
    TEST("what cannot be is refused by name");
    enter_l2();
    saved.msrs = 0;
    cpu_state_get(v, &saved, STATE_ALL);
    tried = saved;
    n->kind = CPU_NESTED_SVM;
    refused("nested.kind");
    n->vmx.vmxon = 0x123;
    refused("vmx.vmxon");
    n->vmx.vmxon = STATE_NO_POINTER;
    refused("vmx.current");
    n->vmx.current = n->vmx.vmxon;
    refused("vmx.current");
    n->vmx.vmcs[0] ^= 1;
    refused("layout");
    n->vmx.has_shadow = true;
    refused("vmx.shadow_vmcs");
    n->vmx.vmcs[VMCS_LAUNCH_OFFSET] = 0;
    refused("nested.guest");
    n->guest = false;
    refused("nested.guest");
    n->vmx.vmcs[VMCS_DATA_OFFSET + offsetof(struct vmcs, vpid)] = 0;
    refused("VPID");
    n->vmx.vmcs[VMCS_DATA_OFFSET + offsetof(struct vmcs, host_sel[SEG_CS])] = 3;
    refused("host selectors");

    TEST("a vCPU without the extension");
    core_create(VENDOR_INTEL, false, 1, NULL);
    v = vm.vcpu[0];
    refused("nested.kind");
    cpu_state_get(v, &tried, STATE_NESTED);
    CHECK_EQ(n->kind, CPU_NESTED_NONE);
    CHECK_EQ(cpu_state_set(v, &tried, STATE_NESTED, &bad), 0);
}

int main(void)
{
    machine_create();
    walk("L1 outside VMX operation: every bit");
    machine_ready();
    walk("L1 with a current VMCS: every bit");
    enter_l2();
    walk("L2: every bit");
    test_l2_goes_on();
    test_refusals();
    return TEST_END();
}
