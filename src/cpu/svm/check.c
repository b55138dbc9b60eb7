/*
 * VMRUN's consistency checks. op_vmrun calls svm_check on the vCPU's own thread before it loads any guest state. The
 * checks look at VMRUN's copy of the VMCB, never at guest memory, so that no other vCPU can change what was checked.
 * Source: AMD APM volume 2, "VMRUN Instruction" and the sections named.
 */
#include "cpu/core/cpuid.h"
#include "cpu/core/rule.h"
#include "cpu/insn/msr.h"
#include "cpu/mmu/cr.h"
#include "cpu/svm/svm.h"

/* The MSR permissions map has 8 KiB; hypervisors' own tests expect that 16 KiB are checked. */
#define MSRPM_CHECKED 0x4000u

bool svm_page_valid(const struct vcpu *v, u64 pa)
{
    return !(pa & PAGE_MASK) && !(pa >> v->vm->phys_bits);
}

/* Returns true if a table lies within physical memory as a whole. The low 12 bits of `base` are ignored. */
static bool table_fits(const struct vcpu *v, u64 base, u64 size)
{
    u64 limit = BIT64(v->vm->phys_bits);
    base &= ~PAGE_MASK;
    return base < limit && size <= limit - base;
}

#define SECTION APM("Canonicalization and Consistency Checks")

static bool check_control(struct vcpu *v, const struct svm *s)
{
    RULE(svm_intercepted(s, SVM_EXIT_VMRUN), "the VMRUN intercept is set");
    RULE(s->control.asid, "ASID is not 0");
    RULE(table_fits(v, s->control.msrpm, MSRPM_CHECKED), "the MSR permissions map lies within physical memory");
    RULE(table_fits(v, s->control.iopm, IOPM_SIZE), "the I/O permissions map lies within physical memory");
    return true;
}

static bool check_guest(struct vcpu *v, const struct vmcb_save *g)
{
    bool long_mode = g->cr0 & CR0_PG && g->efer & EFER_LME;
    RULE(g->efer & EFER_SVME, "EFER.SVME is set");
    RULE(g->cr0 & CR0_CD || !(g->cr0 & CR0_NW), "CR0.NW needs CR0.CD");
    RULE(!(g->cr0 >> 32), "CR0: bits 63:32 are 0");
    RULE(!(g->cr3 >> v->vm->phys_bits), "CR3: reserved bits are 0"); /* whatever the mode of paging is */
    RULE(!(g->cr4 & ~cr4_allowed(v->vm->features)), "CR4: reserved bits are 0");
    RULE(!(g->dr6 >> 32), "DR6: bits 63:32 are 0");
    RULE(!(g->dr7 >> 32), "DR7: bits 63:32 are 0");
    RULE(!(g->efer & ~(msr_efer_valid(v) | EFER_LMA | EFER_SVME)), "EFER: reserved bits are 0");
    RULE(!(g->efer & (EFER_LMA | EFER_LME)) || cpu_has(v->vm, FEATURE_LM),
         "EFER.LME and LMA need a processor with long mode");
    RULE(!long_mode || g->cr4 & CR4_PAE, "EFER.LME and CR0.PG need CR4.PAE");
    RULE(!long_mode || g->cr0 & CR0_PE, "EFER.LME and CR0.PG need CR0.PE");
    RULE(!long_mode || !(g->cs.attr & VMCB_ATTR_L) || !(g->cs.attr & VMCB_ATTR_DB),
         "CS.L and CS.D are not both 1 with EFER.LME and CR0.PG");
    return true;
}

#undef SECTION
#define SECTION APM("TLB Control")

static bool check_tlb_control(struct vcpu *v, const struct vmcb_control *c)
{
    RULE(c->tlb_control == TLB_CONTROL_NOTHING || c->tlb_control == TLB_CONTROL_FLUSH_ALL ||
             c->tlb_control == TLB_CONTROL_FLUSH_ASID || c->tlb_control == TLB_CONTROL_FLUSH_ASID_LOCAL,
         "TLB_CONTROL is not a reserved value");
    return true;
}

#undef SECTION
#define SECTION APM("Enabling Nested Paging")

static bool check_nested_paging(struct vcpu *v, const struct svm *s, u64 host_cr0)
{
    if (!(s->control.nested & NESTED_NP_ENABLE))
        return true;
    RULE(host_cr0 & CR0_PG, "NP_ENABLE needs CR0.PG of the host");
    RULE(!(s->control.ncr3 >> v->vm->phys_bits), "nCR3: reserved bits are 0");
    RULE(msr_pat_valid(s->save.g_pat), "G_PAT has legal memory types");
    return true;
}

#undef SECTION
#define SECTION APM("NMI Virtualization")

static bool check_virtual_nmi(struct vcpu *v, const struct svm *s)
{
    RULE(!(s->control.vintr & VINTR_NMI_ENABLE) || svm_intercepted(s, SVM_EXIT_NMI),
         "NMI virtualization needs the NMI intercept");
    return true;
}

#undef SECTION
#define SECTION APM("Event Injection")

/* APM volume 2, "Vectors": the others are reserved. This CPU has no shadow stacks, whose #CP is 21. */
static bool is_exception(unsigned vector)
{
    const u32 exceptions = BIT(EXC_DE) | BIT(EXC_DB) | BIT(EXC_BP) | BIT(EXC_OF) | BIT(EXC_BR) | BIT(EXC_UD) |
                           BIT(EXC_NM) | BIT(EXC_DF) | BIT(EXC_TS) | BIT(EXC_NP) | BIT(EXC_SS) | BIT(EXC_GP) |
                           BIT(EXC_PF) | BIT(EXC_MF) | BIT(EXC_AC) | BIT(EXC_MC) | BIT(EXC_XM) | BIT(EXC_HV) |
                           BIT(EXC_VC) | BIT(EXC_SX);
    return vector < EXC_COUNT && exceptions >> vector & 1;
}

static bool check_injection(struct vcpu *v, u64 event)
{
    if (!(event & SVM_EVENT_V))
        return true;
    unsigned vector = SVM_EVENT_VECTOR(event), type = SVM_EVENT_TYPE(event);
    RULE(type == SVM_EVENT_INTR || type == SVM_EVENT_NMI || type == SVM_EVENT_EXCEPTION || type == SVM_EVENT_SOFT_INT,
         "EVENTINJ.TYPE is not reserved");
    RULE(type != SVM_EVENT_EXCEPTION || is_exception(vector),
         "EVENTINJ injects an exception with an exception's vector");
    return true;
}

/* Checked last: it looks at the guest's mode. */
static bool check_injection_mode(struct vcpu *v, u64 event, const struct vmcb_save *g)
{
    bool in64 = g->efer & EFER_LME && g->cr0 & CR0_PG && g->cs.attr & VMCB_ATTR_L;
    bool overflow = SVM_EVENT_VECTOR(event) == EXC_OF || SVM_EVENT_VECTOR(event) == EXC_BR;
    RULE(!(event & SVM_EVENT_V) || SVM_EVENT_TYPE(event) != SVM_EVENT_EXCEPTION || !overflow || !in64,
         "EVENTINJ injects no #OF and no #BR into 64-bit mode, which has no INTO and no BOUND");
    return true;
}

bool svm_check_control(struct vcpu *v, const struct svm *s, u64 host_cr0)
{
    return check_control(v, s) && check_tlb_control(v, &s->control) && check_nested_paging(v, s, host_cr0) &&
           check_virtual_nmi(v, s) && check_injection(v, s->control.event_inject);
}

bool svm_check(struct vcpu *v)
{
    const struct svm *s = v->svm;
    return svm_check_control(v, s, v->cr0) && check_guest(v, &s->save) &&
           check_injection_mode(v, s->control.event_inject, &s->save);
}
