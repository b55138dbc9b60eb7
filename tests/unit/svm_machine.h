/*
 * One vCPU with SVM and a VMCB that passes every check: L1 in 64-bit mode with an identity map, about to execute VMRUN,
 * L2 likewise with nested paging. For the tests of cpu/svm; handlers are called directly, no translated code runs.
 */
#ifndef TESTS_UNIT_SVM_MACHINE_H
#define TESTS_UNIT_SVM_MACHINE_H

#include "cpu/insn/ops.h"
#include "cpu/svm/svm.h"
#include "unit/core.h"
#include "x86/paging.h"

#define VMCB_AT 0x10000u
#define IOPM_AT 0x20000u
#define MSRPM_AT 0x24000u
#define NCR3 0x30000u

#define L1_RIP 0x4000u
#define L1_RSP 0x8000u
#define L2_RIP 0x123456u
#define L2_RSP 0x9000u
#define L2_RAX 0xaaaau
#define L2_CR3 0x40000u

#define L2_CR0 (CR0_PE | CR0_PG | CR0_ET | CR0_NE)
#define L2_CR4 CR4_PAE
#define L2_EFER (EFER_SVME | EFER_LME | EFER_LMA)
#define CODE64_ATTR                                                                                                    \
    (SEG_TYPE_CODE | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED | SEG_S | VMCB_ATTR_P | VMCB_ATTR_L | VMCB_ATTR_G)
#define DATA_ATTR (SEG_TYPE_WRITE | SEG_TYPE_ACCESSED | SEG_S | VMCB_ATTR_P | VMCB_ATTR_DB | VMCB_ATTR_G)
enum { SEL_CODE = 8, SEL_DATA = 16 };

static struct vcpu *v;
static struct vmcb *vmcb;

static const struct insn insn_vmrun = {.asz = 8, .len = 3};

/* A new vCPU in L1 at a VMRUN of an empty VMCB. */
static inline void machine_create(void)
{
    core_create(VENDOR_AMD, true, 1, NULL);
    v = vm.vcpu[0];
    vmcb = (struct vmcb *)(vm.ram->slot[0].host + VMCB_AT);
    core_mode64(v);
    v->efer |= EFER_SVME;
    v->gpr[RAX] = VMCB_AT;
    v->gpr[RSP] = L1_RSP;
    v->rip = L1_RIP;
    v->next_rip = L1_RIP + insn_vmrun.len;
}

static inline void intercept(unsigned code)
{
    vmcb->control.intercept[code / 32] |= BIT(code % 32);
}

/* Makes the VMCB one that passes all checks. */
static inline void machine_vmcb(void)
{
    memset(vmcb, 0, sizeof *vmcb);
    struct vmcb_control *c = &vmcb->control;
    intercept(SVM_EXIT_VMRUN);
    intercept(SVM_EXIT_VMMCALL);
    c->asid = 1;
    c->iopm = IOPM_AT;
    c->msrpm = MSRPM_AT;
    c->nested = NESTED_NP_ENABLE;
    c->ncr3 = NCR3;
    struct vmcb_save *g = &vmcb->save;
    g->efer = L2_EFER;
    g->cr0 = L2_CR0;
    g->cr4 = L2_CR4;
    g->cr3 = L2_CR3;
    g->cs = (struct vmcb_segment){.sel = SEL_CODE, .attr = CODE64_ATTR, .limit = ~0u};
    g->ss = (struct vmcb_segment){.sel = SEL_DATA, .attr = DATA_ATTR, .limit = ~0u};
    g->dr6 = DR6_FIXED;
    g->dr7 = DR7_FIXED;
    g->rflags = FLAG_ONE;
    g->rip = L2_RIP;
    g->rsp = L2_RSP;
    g->rax = L2_RAX;
    g->g_pat = PAT_RESET;
}

/* A new vCPU at a VMRUN of such a VMCB. */
static inline void machine_ready(void)
{
    machine_create();
    machine_vmcb();
}

static inline enum outcome vmrun(void)
{
    return op_vmrun(v, &insn_vmrun);
}

#endif
