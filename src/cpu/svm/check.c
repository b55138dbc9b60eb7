/*
 * VMRUN's consistency checks. Each failed check is named by the rule it breaks: svm_check gives the text of the first
 * one, which is kept in svm.failed and traced. The checks look at VMRUN's copy of the VMCB, never at guest memory, so
 * that no other vCPU can change what was checked.
 * Source: AMD APM volume 2, "VMRUN Instruction", "Canonicalization and Consistency Checks" and the sections named.
 */
#include "cpu/core/cpuid.h"
#include "cpu/insn/msr.h"
#include "cpu/mmu/cr.h"
#include "cpu/svm/svm.h"

#define CONSISTENCY " (APM 2, Canonicalization and Consistency Checks)"
#define NESTED_PAGING " (APM 2, Enabling Nested Paging)"
#define INJECTION " (APM 2, Event Injection)"
#define NMI_VIRTUALIZATION " (APM 2, NMI Virtualization)"
#define TLB_FLUSH " (APM 2, TLB Control)"

/* The rest of a table at a base whose low 12 bits are ignored must lie below the end of physical memory. The MSR map's
 * 8 KiB are checked as 16, which is what hypervisors' own tests expect. */
#define MSRPM_CHECKED 0x4000u

bool svm_page_valid(const struct vcpu *v, u64 pa)
{
    return !(pa & PAGE_MASK) && !(pa >> v->vm->phys_bits);
}

static bool table_fits(const struct vcpu *v, u64 base, u64 size)
{
    u64 limit = BIT64(v->vm->phys_bits);
    base &= ~PAGE_MASK;
    return base < limit && size <= limit - base;
}

static const char *check_control(const struct vcpu *v, const struct vmcb_control *c, const struct vmcb_save *g)
{
    if (!(c->intercept[SVM_EXIT_VMRUN / 32] & BIT(SVM_EXIT_VMRUN % 32)))
        return "the VMRUN intercept is clear" CONSISTENCY;
    if (!c->asid)
        return "ASID is 0" CONSISTENCY;
    if (c->tlb_control & ~TLB_CONTROL_FLUSH_ASID_LOCAL ||
        !(BIT(c->tlb_control) & (BIT(TLB_CONTROL_NOTHING) | BIT(TLB_CONTROL_FLUSH_ALL) | BIT(TLB_CONTROL_FLUSH_ASID) |
                                 BIT(TLB_CONTROL_FLUSH_ASID_LOCAL))))
        return "TLB_CONTROL is reserved" TLB_FLUSH;
    if (!table_fits(v, c->msrpm, MSRPM_CHECKED))
        return "the MSR permissions map lies beyond physical memory" CONSISTENCY;
    if (!table_fits(v, c->iopm, IOPM_SIZE))
        return "the I/O permissions map lies beyond physical memory" CONSISTENCY;
    if (c->nested & NESTED_NP_ENABLE) {
        if (!(v->cr0 & CR0_PG))
            return "NP_ENABLE is set and host CR0.PG is clear" NESTED_PAGING;
        if (c->ncr3 >> v->vm->phys_bits)
            return "nCR3 has reserved bits set" NESTED_PAGING;
        if (!msr_pat_valid(g->g_pat))
            return "G_PAT has a reserved memory type" NESTED_PAGING;
    }
    if ((c->vintr & VINTR_NMI_ENABLE) && !(c->intercept[SVM_EXIT_NMI / 32] & BIT(SVM_EXIT_NMI % 32)))
        return "NMI virtualization is on and the NMI intercept is clear" NMI_VIRTUALIZATION;
    return NULL;
}

static const char *check_injection(const struct vmcb_control *c)
{
    if (!(c->event_inject & SVM_EVENT_V))
        return NULL;
    unsigned vector = c->event_inject & 0xff;
    unsigned type = c->event_inject >> SVM_EVENT_TYPE_SHIFT & 7;
    if (type != SVM_EVENT_INTR && type != SVM_EVENT_NMI && type != SVM_EVENT_EXCEPTION && type != SVM_EVENT_SOFT_INT)
        return "EVENTINJ.TYPE is reserved" INJECTION;
    if (type == SVM_EVENT_EXCEPTION && (vector == EXC_NMI || vector > 31))
        return "EVENTINJ injects an exception with a vector that is none" INJECTION;
    return NULL;
}

static const char *check_guest(const struct vcpu *v, const struct vmcb_save *g)
{
    bool paging = g->cr0 & CR0_PG;
    bool long_mode = paging && (g->efer & EFER_LME);

    if (!(g->efer & EFER_SVME))
        return "EFER.SVME is clear" CONSISTENCY;
    if (!(g->cr0 & CR0_CD) && (g->cr0 & CR0_NW))
        return "CR0.CD is clear and CR0.NW is set" CONSISTENCY;
    if (g->cr0 >> 32)
        return "CR0[63:32] is not zero" CONSISTENCY;
    if (long_mode && g->cr3 >> v->vm->phys_bits)
        return "CR3 has reserved bits set" CONSISTENCY;
    if (g->cr4 & ~cr4_allowed(v->vm))
        return "CR4 has reserved bits set" CONSISTENCY;
    if (g->dr6 >> 32)
        return "DR6[63:32] is not zero" CONSISTENCY;
    if (g->dr7 >> 32)
        return "DR7[63:32] is not zero" CONSISTENCY;
    if (g->efer & ~(msr_efer_valid(v) | EFER_LMA | EFER_SVME))
        return "EFER has reserved bits set" CONSISTENCY;
    if ((g->efer & (EFER_LMA | EFER_LME)) && !cpu_has(v->vm, FEATURE_LM))
        return "EFER.LME or LMA is set and the processor has no long mode" CONSISTENCY;
    if (long_mode && !(g->cr4 & CR4_PAE))
        return "EFER.LME and CR0.PG are set and CR4.PAE is clear" CONSISTENCY;
    if (long_mode && !(g->cr0 & CR0_PE))
        return "EFER.LME and CR0.PG are set and CR0.PE is clear" CONSISTENCY;
    if (long_mode && (g->cs.attr & VMCB_ATTR_L) && (g->cs.attr & VMCB_ATTR_DB))
        return "EFER.LME, CR0.PG, CR4.PAE, CS.L and CS.D are all set" CONSISTENCY;
    return NULL;
}

const char *svm_check(const struct vcpu *v, const struct vmcb_control *c, const struct vmcb_save *g)
{
    const char *broken = check_control(v, c, g);
    if (!broken)
        broken = check_injection(c);
    if (!broken)
        broken = check_guest(v, g);
    return broken;
}
