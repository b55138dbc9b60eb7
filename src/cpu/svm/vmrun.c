/*
 * VMRUN: copies and checks the VMCB, saves L1's state, loads L2's, arranges event injection.
 *
 * The host save area in memory (VM_HSAVE_PA) is opaque to software and stays unused: L1's state is kept in svm.host.
 * Clean bits are not looked at: copying what they would spare costs less than deciding.
 * Source: AMD APM volume 2, "VMRUN Instruction", "Event Injection", "TLB Control", "Nested Paging".
 */
#include "cpu/core/copy.h"
#include "cpu/core/rule.h"
#include "cpu/core/stats.h"
#include "cpu/event/lapic.h"
#include "cpu/event/perf.h"
#include "cpu/insn/ops.h"
#include "cpu/svm/insn.h"
#include "cpu/svm/segattr.h"
#include "cpu/svm/svm.h"
#include "x86/msr.h"

static void read_vmcb(struct vcpu *v, gpa_t pa)
{
    struct svm *s = v->svm;
    const struct vmcb *m = vcpu_ram(v, pa);
    s->vmcb = pa;
    if (likely(m)) {
        copy_bytes(&s->control, &m->control, sizeof s->control);
        copy_bytes(&s->save, &m->save, sizeof s->save);
    } else {
        phys_read(v, pa, &s->control, sizeof s->control);
        phys_read(v, GPA(pa.a + VMCB_SAVE_OFFSET), &s->save, sizeof s->save);
    }
}

static void save_host(struct vcpu *v)
{
    struct svm_host *h = &v->svm->host;
    h->es = v->seg[SEG_ES];
    h->cs = v->seg[SEG_CS];
    h->ss = v->seg[SEG_SS];
    h->ds = v->seg[SEG_DS];
    h->gdtr = v->gdtr;
    h->idtr = v->idtr;
    h->efer = v->efer;
    h->cr0 = v->cr0;
    h->cr3 = v->cr3;
    h->cr4 = v->cr4;
    h->rflags = rflags_get(v);
    h->rip = v->next_rip;
    h->rsp = v->gpr[RSP];
    h->rax = v->gpr[RAX];
    h->pat = v->pat;
    h->nmi_blocked = v->nmi_blocked;
}

static void load_guest(struct vcpu *v)
{
    const struct svm *s = v->svm;
    const struct vmcb_save *g = &s->save;
    v->cr4 = g->cr4; /* CR4 comes first: its LA57 says how bases are canonicalized */
    v->cr0 = (g->cr0 & CR0_DEFINED) | CR0_ET;
    v->cr3 = g->cr3;
    v->cr2 = g->cr2;
    v->efer = g->efer & ~EFER_LMA;
    if ((g->efer & EFER_LME) && (g->cr0 & CR0_PG))
        v->efer |= EFER_LMA;
    v->seg[SEG_ES] = segment_from_vmcb(v, &g->es);
    v->seg[SEG_CS] = segment_from_vmcb(v, &g->cs);
    v->seg[SEG_SS] = segment_from_vmcb(v, &g->ss);
    v->seg[SEG_DS] = segment_from_vmcb(v, &g->ds);
    v->seg[SEG_CS].attr &= ~SEG_UNUSABLE; /* CS is never null */
    v->gdtr = (struct desc_table){.base = canonicalize(v, g->gdtr.base), .limit = (u16)g->gdtr.limit};
    v->idtr = (struct desc_table){.base = canonicalize(v, g->idtr.base), .limit = (u16)g->idtr.limit};
    v->dr6 = (g->dr6 & DR6_WRITABLE) | DR6_FIXED;
    v->dr7 = (g->dr7 & ~DR7_ZERO) | DR7_FIXED;
    v->rip = v->next_rip = g->rip;
    v->gpr[RSP] = g->rsp;
    v->gpr[RAX] = g->rax;
    if (s->control.nested & NESTED_NP_ENABLE)
        v->pat = g->g_pat;
    if (!(v->cr0 & CR0_PE))
        v->cpl = 0;
    else
        v->cpl = g->rflags & FLAG_VM ? 3 : g->cpl & 3;
    rflags_set(v, (g->rflags & FLAGS_DEFINED) | FLAG_ONE);
}

/* "LBR Virtualization": DEBUGCTL and the last branch are L2's own. */
static void load_lbr(struct vcpu *v)
{
    struct svm *s = v->svm;
    if (!(s->control.virt_ext & VIRT_EXT_LBR))
        return;
    s->host.debugctl = v->debugctl;
    copy_bytes(s->host.lbr, v->lbr, sizeof v->lbr);
    v->debugctl = s->save.dbgctl & (DEBUGCTL_LBR | DEBUGCTL_BTF);
    copy_bytes(v->lbr, s->save.lbr, sizeof v->lbr);
}

/* L2 reads L1's TSC * ratio + TSC_OFFSET. */
void svm_load_tsc(struct vcpu *v)
{
    const struct svm *s = v->svm;
    tsc_of_l2(v, s->tsc_ratio << (TSC_FRACTION_BITS - TSC_RATIO_FRACTION_BITS), s->control.tsc_offset);
}

static void flush_tlb(struct vcpu *v)
{
    const struct vmcb_control *c = &v->svm->control;
    if (c->tlb_control == TLB_CONTROL_FLUSH_ALL)
        mmu_flush_all(v);
    else if (c->tlb_control != TLB_CONTROL_NOTHING)
        mmu_flush_space(v, c->asid);
}

/*
 * "Event Injection". Injected NMIs do not block NMIs unless NMI virtualization is on. Exceptions 3 and 4 are the traps
 * of INT3 and INTO, and like software interrupts push nRIP.
 */
static void load_injection(struct vcpu *v)
{
    struct svm *s = v->svm;
    u64 inject = s->control.event_inject;
    s->injecting_nmi = false;
    if (!(inject & SVM_EVENT_V)) {
        v->inject.valid = false;
        return;
    }
    struct event e = {.valid = true, .vector = SVM_EVENT_VECTOR(inject)};
    switch (SVM_EVENT_TYPE(inject)) {
    case SVM_EVENT_INTR: e.type = EVENT_EXTINT; break;
    case SVM_EVENT_NMI:
        e.vector = EXC_NMI;
        e.type = EVENT_NMI;
        if (!(s->control.vintr & VINTR_NMI_ENABLE)) {
            e.type = EVENT_EXTINT;
            s->injecting_nmi = true;
        }
        break;
    case SVM_EVENT_EXCEPTION:
        e.type = e.vector == EXC_BP || e.vector == EXC_OF ? EVENT_SOFT_EXC : EVENT_EXCEPTION;
        e.has_error = inject & SVM_EVENT_EV;
        e.error = (u32)(inject >> 32);
        if (e.vector == EXC_PF)
            e.payload = v->cr2;
        break;
    default: e.type = EVENT_SOFT_INT; break;
    }
    if (e.type == EVENT_SOFT_INT || e.type == EVENT_SOFT_EXC) {
        u64 len = s->control.nrip - v->rip;
        if (len > 0xff) { /* nRIP is not behind RIP: what is pushed is nRIP all the same */
            v->rip = v->next_rip = s->control.nrip;
            len = 0;
        }
        e.insn_len = (u8)len;
    }
    v->inject = e;
}

#define SECTION APM("VMRUN Instruction")

/* `loaded` is the outcome of loading them. */
static bool check_pdpes(struct vcpu *v, enum outcome loaded)
{
    RULE(loaded != CPU_FAULT, "the guest's PDPEs: reserved bits are 0 if present");
    return true;
}

void svm_load_translation(struct vcpu *v)
{
    const struct svm *s = v->svm;
    bool npt = s->control.nested & NESTED_NP_ENABLE;
    mmu_set_npt_control(v, s->host.cr0, s->host.cr4, s->host.efer);
    mmu_set_stage2(v, npt ? STAGE2_NPT : STAGE2_NONE, npt ? s->control.ncr3 : 0, s->control.asid);
}

static enum outcome enter_guest(struct vcpu *v)
{
    struct svm *s = v->svm;
    const struct vmcb_control *c = &s->control;

    v->in_guest = true;
    perf_level_changed(v);
    v->stat[STAT_ENTRY]++;
    v->gif = true;
    flush_tlb(v);
    load_guest(v);
    svm_load_translation(v);
    svm_load_tsc(v);
    load_lbr(v);
    v->shadow = c->interrupt_shadow & 1 ? SHADOW_STI : 0;
    v->trap_pending = false;
    if (c->vintr & VINTR_NMI_ENABLE)
        v->nmi_blocked = c->vintr & VINTR_NMI_MASK;
    s->pause_left = c->pause_count;
    s->pause_tsc = __builtin_ia32_rdtsc();
    load_injection(v);
    mode_update(v);
    if ((v->cr0 & CR0_PG) && (v->cr4 & CR4_PAE) && !in_long_mode(v) && !check_pdpes(v, mmu_load_pdptes(v, v->cr3)))
        return svm_invalid_late(v);
    svm_events_wake(v);
    return CPU_OK;
}

enum outcome op_vmrun(struct vcpu *v, const struct insn *in)
{
    TRY(svm_privileged(v));
    TRY(nested_check(v, IC_VMRUN, 0, 0));
    u64 pa = mask_size(v->gpr[RAX], in->asz);
    if (!svm_page_valid(v, pa))
        return raise_gp(v, 0);

    read_vmcb(v, GPA(pa));
    exits_entered(&v->exits, pa);
    if (unlikely(!svm_check(v))) {
        svm_invalid_early(v);
        return CPU_OK;
    }
    save_host(v);
    return enter_guest(v);
}
