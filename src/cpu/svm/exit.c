/*
 * #VMEXIT: L2's state goes to the VMCB, then L1's state comes back and GIF is cleared. What finds a reason to exit
 * (intercept.c, events.c, npt.c) calls svm_exit or a variant of it; when that returns, the vCPU is L1 behind VMRUN.
 *
 * v->rip is L2's RIP to save: the intercepted or faulting instruction, or the next one after an asynchronous event.
 * What the manual does not list (FS, GS, TR, LDTR, DR0 to DR3, most MSRs) keeps L2's values: VMSAVE and L1 move it.
 * Source: AMD APM volume 2, "#VMEXIT", "State Saved on Exit", "Intercepts During IDT Event Delivery".
 */
#include "cpu/core/copy.h"
#include "cpu/core/rule.h"
#include "cpu/core/stats.h"
#include "cpu/core/world.h"
#include "cpu/event/lapic.h"
#include "cpu/event/perf.h"
#include "cpu/svm/segattr.h"
#include "cpu/svm/svm.h"

struct vmcb *svm_vmcb(struct vcpu *v, gpa_t pa)
{
    const struct ram_slot *slot = vcpu_slot(v, pa);
    return slot && !(slot->flags & RAM_READONLY) ? ram_host(slot, pa) : NULL;
}

/* EXITINTINFO: the event whose delivery did not finish, or the injection that did not start. */
static u64 exit_int_info(const struct vcpu *v)
{
    const struct event *e = v->delivering.valid ? &v->delivering : &v->inject;
    if (!e->valid)
        return 0;
    u64 type = SVM_EVENT_EXCEPTION;
    if (e->type == EVENT_NMI || (e->vector == EXC_NMI && v->svm->injecting_nmi))
        type = SVM_EVENT_NMI;
    else if (e->type == EVENT_EXTINT)
        type = SVM_EVENT_INTR;
    else if (e->type == EVENT_SOFT_INT)
        type = SVM_EVENT_SOFT_INT;
    u64 info = SVM_EVENT_V | type << SVM_EVENT_TYPE_SHIFT | e->vector;
    return e->has_error ? info | SVM_EVENT_EV | (u64)e->error << 32 : info;
}

static void save_guest(struct vcpu *v, struct vmcb *m)
{
    struct svm *s = v->svm;
    struct vmcb_save *g = &m->save;
    g->es = segment_to_vmcb(&v->seg[SEG_ES]);
    g->cs = segment_to_vmcb(&v->seg[SEG_CS]);
    g->ss = segment_to_vmcb(&v->seg[SEG_SS]);
    g->ds = segment_to_vmcb(&v->seg[SEG_DS]);
    g->gdtr.base = v->gdtr.base;
    g->gdtr.limit = v->gdtr.limit;
    g->idtr.base = v->idtr.base;
    g->idtr.limit = v->idtr.limit;
    g->cpl = (u8)v->cpl;
    g->efer = v->efer;
    g->cr4 = v->cr4;
    g->cr3 = v->cr3;
    g->cr0 = v->cr0;
    g->cr2 = v->cr2;
    g->dr7 = v->dr7;
    g->dr6 = v->dr6;
    g->rflags = rflags_get(v);
    g->rip = v->rip;
    g->rsp = v->gpr[RSP];
    g->rax = v->gpr[RAX];
    if (s->control.nested & NESTED_NP_ENABLE)
        g->g_pat = v->pat;
    if (s->control.virt_ext & VIRT_EXT_LBR) {
        g->dbgctl = v->debugctl;
        copy_bytes(g->lbr, v->lbr, sizeof v->lbr);
    }

    struct vmcb_control *c = &m->control;
    if (s->control.vintr & VINTR_NMI_ENABLE) {
        s->control.vintr &= ~VINTR_NMI_MASK;
        if (v->nmi_blocked)
            s->control.vintr |= VINTR_NMI_MASK;
    }
    c->vintr = s->control.vintr;
    c->interrupt_shadow = (c->interrupt_shadow & ~1ull) | (v->shadow != 0);
    c->exit_int_info = exit_int_info(v);
    c->event_inject &= ~SVM_EVENT_V;
}

static enum outcome load_host(struct vcpu *v)
{
    struct svm *s = v->svm;
    const struct svm_host *h = &s->host;
    bool npt = s->control.nested & NESTED_NP_ENABLE;

    v->in_guest = false;
    perf_level_changed(v);
    v->stat[STAT_NESTED_EXIT]++;
    v->gif = false;
    v->inject.valid = false;
    v->delivering.valid = false;
    v->fault.valid = false;
    v->iret_unblocks = false;
    v->shadow = 0;
    v->activity = ACTIVITY_ACTIVE;
    tsc_of_l1(v);
    if (s->control.vintr & VINTR_NMI_ENABLE)
        v->nmi_blocked = h->nmi_blocked;
    if (npt)
        v->pat = h->pat;
    if (s->control.virt_ext & VIRT_EXT_LBR) {
        v->debugctl = h->debugctl;
        copy_bytes(v->lbr, h->lbr, sizeof v->lbr);
    }
    mmu_set_stage2(v, STAGE2_NONE, 0, 0);

    v->seg[SEG_ES] = h->es;
    v->seg[SEG_CS] = h->cs;
    v->seg[SEG_SS] = h->ss;
    v->seg[SEG_DS] = h->ds;
    v->gdtr = h->gdtr;
    v->idtr = h->idtr;
    v->efer = h->efer;
    v->cr0 = h->cr0;
    v->cr3 = h->cr3;
    v->cr4 = h->cr4;
    v->cpl = 0;
    v->dr7 = DR7_FIXED;
    v->rip = v->next_rip = h->rip;
    v->gpr[RSP] = h->rsp;
    v->gpr[RAX] = h->rax;
    rflags_set(v, h->rflags & ~FLAG_RF);
    /* "VMRUN and TF/RF Bits in EFLAGS": to L1, VMRUN is one instruction that ends here. */
    v->trap_pending = h->rflags & FLAG_TF;
    v->trap_dr6 = v->trap_pending ? DR6_BS : 0;
    mode_update(v);
    if (unlikely((v->cr0 & CR0_PG) && (v->cr4 & CR4_PAE) && !in_long_mode(v)) && mmu_load_pdptes(v, v->cr3) != CPU_OK) {
        v->fault.valid = false;
        v->exit = CPU_EXIT_SHUTDOWN;
        return CPU_EXIT;
    }
    return CPU_NESTED_EXIT;
}

static void store_code(struct vmcb *m, u64 code, u64 info1, u64 info2, u64 nrip)
{
    struct vmcb_control *c = &m->control;
    c->exit_code = code;
    c->exit_info1 = info1;
    c->exit_info2 = info2;
    c->nrip = nrip;
}

static void count(struct vcpu *v, u64 code, u64 info1, u64 info2)
{
    exits_left(&v->exits, exits_slot(VENDOR_AMD, code), code == SVM_EXIT_VMRUN);
    if (likely(!world_wants_exits(v)))
        return;
    struct cpu_exit_seen seen = {
        .level = 2 + v->exits.depth, .rip = v->rip, .gpr = v->gpr, .code = code, .info1 = info1, .info2 = info2};
    world_exited(v, &seen);
}

struct bytes {
    u8 count;
    u8 byte[15];
};

static enum outcome leave(struct vcpu *v, u64 code, u64 info1, u64 info2, u64 nrip, const struct bytes *insn)
{
    struct svm *s = v->svm;
    struct vmcb *m = svm_vmcb(v, s->vmcb);
    count(v, code, info1, info2);
    if (likely(m)) {
        save_guest(v, m);
        store_code(m, code, info1, info2, nrip);
        m->control.insn_len = insn ? insn->count : 0;
        if (insn)
            for (unsigned i = 0; i < sizeof insn->byte; i++)
                m->control.insn_bytes[i] = insn->byte[i];
        phys_written(v, s->vmcb, sizeof *m);
    }
    return load_host(v);
}

enum outcome svm_exit(struct vcpu *v, u64 code, u64 info1, u64 info2)
{
    return leave(v, code, info1, info2, 0, NULL);
}

enum outcome svm_exit_insn(struct vcpu *v, u64 code, u64 info1, u64 info2)
{
    return leave(v, code, info1, info2, v->next_rip, NULL);
}

/* "Decode Assists": up to 15 bytes at L2's CS:RIP, fewer if the next page cannot be fetched. */
enum outcome svm_exit_bytes(struct vcpu *v, u64 code, u64 info1, u64 info2)
{
    struct svm *s = v->svm;
    struct bytes b = {0};
    u64 la = v->rip;
    if (!in_64bit(v))
        la = (u32)(la + v->seg[SEG_CS].base);
    s->probing = true;
    while (b.count < sizeof b.byte) {
        u64 at = la + b.count;
        u64 left = PAGE_SIZE - (at & PAGE_MASK);
        unsigned n = sizeof b.byte - b.count;
        gpa_t gpa;
        if (mmu_fetch(v, at, &gpa) != CPU_OK)
            break;
        if (left < n)
            n = (unsigned)left;
        phys_read(v, gpa, b.byte + b.count, n);
        b.count += (u8)n;
    }
    s->probing = false;
    return leave(v, code, info1, info2, 0, &b);
}

/* VMEXIT_INVALID: L1 sees the code, the trace of VM entries shows the rule. */
static void store_invalid(struct vcpu *v, u64 l1_rip)
{
    struct vmcb *m = svm_vmcb(v, v->svm->vmcb);
    rule_trace(v, l1_rip);
    count(v, SVM_EXIT_INVALID, 0, 0);
    if (m) {
        store_code(m, SVM_EXIT_INVALID, 0, 0, 0);
        phys_written(v, v->svm->vmcb, sizeof *m);
    }
}

void svm_invalid_early(struct vcpu *v)
{
    store_invalid(v, v->rip);
    v->gif = false;
    v->dr7 = DR7_FIXED;
    mode_update(v);
}

enum outcome svm_invalid_late(struct vcpu *v)
{
    store_invalid(v, v->svm->host.rip);
    return load_host(v);
}
