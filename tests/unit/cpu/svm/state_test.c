/* The state of a vCPU with SVM, in L1 and in the middle of L2. */
#include "unit/test.h"

#include "unit/svm_machine.h"

#include "unit/nested_state.h"

static void enter_l2(void)
{
    machine_ready();
    intercept(SVM_EXIT_NMI);
    intercept(SVM_EXIT_PAUSE);
    vmcb->control.tsc_offset = 0x123456789a;
    vmcb->control.pause_count = 3000;
    vmcb->control.virt_ext = VIRT_EXT_LBR;
    vmcb->control.vintr = VINTR_MASKING | VINTR_NMI_ENABLE | VINTR_GIF_ENABLE | VINTR_GIF | 5;
    vmcb->control.event_inject = SVM_EVENT_V | SVM_EVENT_EXCEPTION << SVM_EVENT_TYPE_SHIFT | EXC_UD;
    v->svm->tsc_ratio = TSC_RATIO_ONE / 2;
    v->nmi_blocked = true;
    v->debugctl = DEBUGCTL_BTF;
    v->lbr[1] = 77;
    CHECK_EQ(vmrun(), CPU_OK);
    CHECK(v->in_guest && v->inject.valid);
}

static struct vmcb exit_now(void)
{
    CHECK_EQ(svm_exit(v, SVM_EXIT_CPUID, 0, 0), CPU_NESTED_EXIT);
    return *vmcb;
}

static void test_l2_goes_on(void)
{
    static struct vmcb expected, is;
    static struct cpu_state l1, l1_expected;
    TEST("L2 goes on where it was: after a reset and with the state set, its exit is the same");
    enter_l2();
    v->gpr[RBX] = 0x1234;
    saved.msrs = 0;
    cpu_state_get(v, &saved, STATE_ALL);
    u64 offset = v->tsc_offset - v->tsc_offset_l1;
    u16 pauses = v->svm->pause_left;
    expected = exit_now();
    l1_expected.msrs = 0;
    cpu_state_get(v, &l1_expected, STATE_ALL);
    machine_vmcb();
    cpu_reset(v);
    CHECK(!v->in_guest && !v->tsc_mul);
    CHECK_EQ(set(&saved), 0);
    CHECK(v->in_guest && v->inject.valid && v->gif && v->tsc_mul == TSC_UNSCALED / 2);
    CHECK_EQ(v->tsc_offset - v->tsc_offset_l1, offset);
    CHECK_EQ(v->svm->pause_left, pauses);
    intercept(SVM_EXIT_NMI);
    intercept(SVM_EXIT_PAUSE);
    vmcb->control = expected.control; /* what #VMEXIT does not write */
    is = exit_now();
    CHECK(memcmp(&is.save, &expected.save, sizeof(is.save)) == 0);
    CHECK(memcmp(&is.control, &expected.control, sizeof(is.control)) == 0);
    l1.msrs = 0;
    cpu_state_get(v, &l1, STATE_ALL);
    const char *differs = difference(&l1, &l1_expected, STATE_ALL);
    if (differs)
        printf("# %s\n", differs);
    CHECK(!differs);
    CHECK(v->rip == L1_RIP + insn_vmrun.len && v->gpr[RBX] == 0x1234 && !v->gif);

    TEST("a state without L2 takes a vCPU out of it");
    CHECK_EQ(set(&saved), 0);
    CHECK(v->in_guest);
    CHECK_EQ(set(&l1), 0);
    CHECK(!v->in_guest && !v->gif && v->tsc_offset == v->tsc_offset_l1 && !v->tsc_mul);
}

static void test_refusals(void)
{
    struct cpu_nested *n = &tried.nested;
    struct vmcb *m = (struct vmcb *)n->svm.vmcb_image;
    TEST("what cannot be is refused by name");
    enter_l2();
    saved.msrs = 0;
    cpu_state_get(v, &saved, STATE_ALL);
    tried = saved;
    n->kind = CPU_NESTED_VMX;
    refused("nested.kind");
    n->svm.vmcb = 0x123;
    refused("svm.vmcb");
    m->save.kernel_gs_base = 1;
    refused("svm.vmcb_image");
    m->save.cr0 = CR0_PG;
    refused("CR0 of L1");
    m->save.cr4 = BIT64(40);
    refused("CR4 of L1");
    m->save.efer ^= EFER_LMA;
    refused("EFER of L1");
    m->control.asid = 0;
    refused("ASID");
    m->control.nested = NESTED_NP_ENABLE;
    m->save.cr0 = CR0_PE | CR0_ET;
    m->save.efer = EFER_SVME;
    refused("NP_ENABLE");
    n->guest = false;
    refused("nested.guest");
}

int main(void)
{
    machine_create();
    v->gif = false;
    walk("L1: every bit");
    enter_l2();
    walk("L2: every bit");
    test_l2_goes_on();
    test_refusals();
    return TEST_END();
}
