/*
 * SMIs in SVM operation: GIF, the intercept, a handler that L2 is interrupted for, and RSM back to it.
 */
#include "unit/test.h"

#include "cpu/event/exception.h"
#include "unit/svm_machine.h"
#include "x86/msr.h"
#include "x86/smram.h"

#define SMBASE 0x200000u

static const struct insn insn_rsm = {.asz = 8, .len = 2};

static void create(void)
{
    machine_create();
    machine_vmcb();
    const struct ram_region g = {.size = CORE_RAM, .host = vm.ram->slot[0].host};
    vm.smm = true;
    if (ram_slot_set(core_ram, 1, &g))
        abort();
    v->smm.base = SMBASE;
}

static struct smram64 *area(void)
{
    return (struct smram64 *)(vm.ram->slot[0].host + SMBASE + SMRAM_STATE);
}

static void enter_guest(void)
{
    CHECK_EQ(op_vmrun(v, &insn_vmrun), CPU_OK);
    CHECK(v->in_guest);
}

static void gif(void)
{
    TEST("an SMI waits for GIF");
    create();
    v->gif = false;
    v->smi_pending = true;
    CHECK(events_process(v) == CPU_OK && v->smi_pending && !v->smm.on);
    v->gif = true;
    CHECK(events_process(v) == CPU_OK && !v->smi_pending && v->smm.on);
    CHECK(!area()->svm_guest && area()->efer & EFER_SVME && !v->efer);
    CHECK_EQ(msr_write(v, MSR_EFER, EFER_SVME), CPU_FAULT);
    CHECK_EQ(op_rsm(v, &insn_rsm), CPU_OK);
    CHECK(!v->smm.on && v->efer & EFER_SVME && v->gif);
}

static void intercepted(void)
{
    TEST("an intercepted SMI stays pending, until GIF is set");
    create();
    intercept(SVM_EXIT_SMI);
    enter_guest();
    v->smi_pending = true;
    CHECK_EQ(events_process(v), CPU_NESTED_EXIT);
    CHECK(!v->in_guest && v->smi_pending && !v->smm.on && vmcb->control.exit_code == SVM_EXIT_SMI);
    CHECK(events_process(v) == CPU_OK && v->smi_pending);
    v->gif = true;
    CHECK(events_process(v) == CPU_OK && v->smm.on);
}

static void guest(void)
{
    TEST("an SMI in L2, and RSM back to it");
    create();
    enter_guest();
    v->rip = v->next_rip;
    v->smi_pending = true;
    CHECK_EQ(events_process(v), CPU_OK);
    CHECK(v->smm.on && !v->in_guest && v->ram == &vm.ram[1]);
    CHECK(area()->svm_guest == 1 && area()->svm_vmcb == VMCB_AT && area()->cr3 == L2_CR3 && area()->rip == L2_RIP);

    TEST("the vCPU moves in the handler");
    static struct cpu_state state;
    const char *bad = NULL;
    CHECK(cpu_state_get(v, &state, STATE_ALL) == STATE_ALL);
    CHECK(state.events.smm && state.nested.svm.smm_guest && !state.nested.guest && state.nested.svm.vmcb == VMCB_AT);
    v->svm->smm_guest = false;
    memset(&v->svm->host, 0, sizeof(v->svm->host));
    CHECK_EQ(cpu_state_set(v, &state, STATE_ALL, &bad), 0);
    CHECK_EQ(op_rsm(v, &insn_rsm), CPU_OK);
    CHECK(v->in_guest && v->next_rip == L2_RIP && v->cr3 == L2_CR3 && v->gpr[RSP] == L2_RSP && v->efer == L2_EFER);
    v->rip = v->next_rip;
    CHECK_EQ(svm_exit(v, SVM_EXIT_INTR, 0, 0), CPU_NESTED_EXIT);
    CHECK(v->gpr[RSP] == L1_RSP && v->rip == L1_RIP + insn_vmrun.len && vmcb->save.rip == L2_RIP);

    TEST("RSM to L2 without EFER.SVME is a shutdown");
    create();
    enter_guest();
    v->rip = v->next_rip;
    v->smi_pending = true;
    CHECK_EQ(events_process(v), CPU_OK);
    area()->efer &= ~EFER_SVME;
    CHECK_EQ(op_rsm(v, &insn_rsm), CPU_EXIT);
}

int main(void)
{
    gif();
    intercepted();
    guest();
    return TEST_END();
}
