/*
 * SMIs in VMX operation, by the default treatment: the handler runs outside of VMX operation and cannot enter it; RSM
 * brings it back, with L2 where L2 ran.
 */
#include "unit/test.h"

#include "cpu/event/exception.h"
#include "cpu/mmu/cr.h"
#include "unit/vmx_machine.h"
#include "x86/smram.h"

#define SMBASE 0x200000u

static struct cpu_state state;

static void with_smm(void)
{
    const struct ram_region g = {.size = CORE_RAM, .host = ram};
    vm.smm = true;
    if (ram_slot_set(core_ram, 1, &g))
        abort();
    v->smm.base = SMBASE;
}

static struct smram64 *area(void)
{
    return (struct smram64 *)(ram + SMBASE + SMRAM_STATE);
}

static void smi(void)
{
    v->insn = NULL;
    v->rip = v->next_rip;
    v->smi_pending = true;
    CHECK_EQ(events_process(v), CPU_OK);
    CHECK(v->smm.on && !v->in_guest && !x->on && !v->cr4 && !v->efer && v->rip == SMM_ENTRY);
    CHECK(v->ram == &vm.ram[1] && !v->smi_pending && v->nmi_blocked);
}

static void handler(void)
{
    CHECK_EQ(cr4_write(v, CR4_VMXE), CPU_FAULT);
    v->cr0 |= CR0_PE;
    CHECK_EQ(op_vmxon(v, &plain), CPU_FAULT);
    CHECK_EQ(op_vmresume(v, &plain), CPU_FAULT);
    v->fault.valid = false;
}

static void root(void)
{
    TEST("an SMI in root operation");
    machine_ready();
    with_smm();
    u64 cr4 = v->cr4;
    smi();
    CHECK(area()->rip == L1_RIP + plain.len && area()->cr4 == (cr4 & ~CR4_VMXE) && area()->efer & EFER_LMA);
    handler();
    CHECK_EQ(op_rsm(v, &plain), CPU_OK);
    CHECK(!v->smm.on && x->on && !v->in_guest && x->vmxon == VMXON_AT && x->current == VMCS_AT && v->cr4 == cr4);
    CHECK(v->next_rip == L1_RIP + plain.len && in_64bit(v) && v->ram == &vm.ram[0] && !v->nmi_blocked);

    TEST("CR4.VMXE in the state save area is a shutdown");
    smi();
    area()->cr4 |= CR4_VMXE;
    CHECK_EQ(op_rsm(v, &plain), CPU_EXIT);
    CHECK_EQ(v->exit, CPU_EXIT_SHUTDOWN);

    TEST("CR4.VMXE comes back without VMX operation too");
    machine_create();
    with_smm();
    smi();
    CHECK_EQ(op_rsm(v, &plain), CPU_OK);
    CHECK(v->cr4 & CR4_VMXE && !x->on);
}

static void guest(void)
{
    TEST("an SMI in L2: no VM exit");
    machine_ready();
    with_smm();
    machine_launch();
    struct vmcs before = x->f;
    v->nmi_blocked = true; /* virtual NMIs' */
    smi();
    CHECK(area()->rip == L2_RIP + 2 && area()->cr3 == L2_CR3 && !memcmp(&before, &x->f, sizeof(before)));
    CHECK(v->smm.nmi_blocked);
    handler();

    TEST("the vCPU moves in the handler");
    CHECK(cpu_state_get(v, &state, STATE_ALL) == STATE_ALL);
    CHECK(state.events.smm && !state.nested.guest && state.nested.vmx.smm_guest && state.nested.vmx.smm_vmxon);
    const char *bad = NULL;
    memset(x, 0, sizeof(*x));
    x->caps = &vmx_offered;
    x->cr4_may = cr4_allowed(vm.features);
    CHECK_EQ(cpu_state_set(v, &state, STATE_ALL, &bad), 0);

    TEST("RSM to L2");
    CHECK_EQ(op_rsm(v, &plain), CPU_OK);
    CHECK(v->in_guest && x->on && v->next_rip == L2_RIP + 2 && v->cr3 == L2_CR3 && v->cr4 & CR4_VMXE);
    CHECK(v->nmi_blocked && v->gpr[RSP] == L2_RSP);
    v->rip = v->next_rip;
    v->insn = &plain;
    v->next_rip = v->rip + 1;
    CHECK_EQ(nested_check(v, IC_HLT, 0, 0), CPU_NESTED_EXIT);
    machine_exited(EXIT_HLT);
    CHECK_EQ(x->f.guest_rip, L2_RIP + 2);
}

int main(void)
{
    root();
    guest();
    return TEST_END();
}
