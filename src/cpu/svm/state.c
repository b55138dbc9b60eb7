/*
 * SVM as a part of the vCPU's state: cpu/state.c calls these functions while the vCPU does not run. While L2 runs, its
 * registers are the vCPU's; the control area is in force as VMRUN read it, except for what the processor changes in it;
 * L1's registers wait in svm.host, and take the place of the VMCB's save area here, as they do in KVM's nested state.
 */
#include "cpu/core/copy.h"
#include "cpu/core/rule.h"
#include "cpu/event/lapic.h"
#include "cpu/insn/msr.h"
#include "cpu/mmu/cr.h"
#include "cpu/svm/segattr.h"
#include "cpu/svm/svm.h"

_Static_assert(sizeof(struct vmcb) == STATE_VMCS_SIZE, "the state has room for a VMCB");

static void host_to_save(const struct svm_host *h, struct vmcb_save *g)
{
    g->es = segment_to_vmcb(&h->es);
    g->cs = segment_to_vmcb(&h->cs);
    g->ss = segment_to_vmcb(&h->ss);
    g->ds = segment_to_vmcb(&h->ds);
    g->gdtr = (struct vmcb_segment){.limit = h->gdtr.limit, .base = h->gdtr.base};
    g->idtr = (struct vmcb_segment){.limit = h->idtr.limit, .base = h->idtr.base};
    g->efer = h->efer;
    g->cr0 = h->cr0;
    g->cr3 = h->cr3;
    g->cr4 = h->cr4;
    g->rflags = h->rflags;
    g->rip = h->rip;
    g->rsp = h->rsp;
    g->rax = h->rax;
    g->g_pat = h->pat;
    g->dbgctl = h->debugctl;
    copy_bytes(g->lbr, h->lbr, sizeof(g->lbr));
}

/* Bases stay as they are: L1's CR4 says how wide they are, not L2's. */
static struct segment host_segment(const struct vmcb_segment *s)
{
    return (struct segment){.base = s->base, .limit = s->limit, .attr = attr_from_vmcb(s->attr), .sel = s->sel};
}

static void host_from_save(struct svm_host *h, const struct vmcb_save *g)
{
    h->es = host_segment(&g->es);
    h->cs = host_segment(&g->cs);
    h->ss = host_segment(&g->ss);
    h->ds = host_segment(&g->ds);
    h->gdtr = (struct desc_table){.base = g->gdtr.base, .limit = (u16)g->gdtr.limit};
    h->idtr = (struct desc_table){.base = g->idtr.base, .limit = (u16)g->idtr.limit};
    h->efer = g->efer;
    h->cr0 = g->cr0;
    h->cr3 = g->cr3;
    h->cr4 = g->cr4;
    h->rflags = g->rflags;
    h->rip = g->rip;
    h->rsp = g->rsp;
    h->rax = g->rax;
    h->pat = g->g_pat;
    h->debugctl = g->dbgctl;
    copy_bytes(h->lbr, g->lbr, sizeof(h->lbr));
}

void svm_state_get(struct vcpu *v, struct cpu_nested *n)
{
    const struct svm *s = v->svm;
    struct vmcb *m = (struct vmcb *)n->svm.vmcb_image;
    fill_bytes(n, 0, sizeof(*n));
    n->kind = CPU_NESTED_SVM;
    n->vmx.vmxon = n->vmx.current = STATE_NO_POINTER;
    n->guest = v->in_guest;
    n->svm.gif = v->gif;
    n->svm.smm_guest = s->smm_guest;
    if (!v->in_guest && !s->smm_guest)
        return;
    n->svm.injecting_nmi = s->injecting_nmi;
    n->svm.host_nmi_blocked = s->host.nmi_blocked;
    n->svm.pause_left = s->pause_left;
    n->svm.vmcb = s->vmcb.a;
    copy_bytes(&m->control, &s->control, sizeof(m->control));
    host_to_save(&s->host, &m->save);
}

/* -- what is refused -- */

static bool same(const void *a, const void *b, size_t n)
{
    u8 differs = 0;
    for (size_t i = 0; i < n; i++)
        differs |= ((const u8 *)a)[i] ^ ((const u8 *)b)[i];
    return !differs;
}

/* Returns true if setting the image and getting it again would lose nothing. */
static bool is_kept(const struct vmcb *m)
{
    struct svm_host h = {0};
    struct vmcb again = {.control = m->control};
    host_from_save(&h, &m->save);
    host_to_save(&h, &again.save);
    return same(m, &again, sizeof(again));
}

/* L2 does not run: what means something only while it runs must be zero. */
static const char *idle_refusal(const struct cpu_nested *n)
{
    static const struct vmcb none;
    if (n->svm.injecting_nmi || n->svm.host_nmi_blocked || n->svm.pause_left || n->svm.vmcb)
        return "nested.guest";
    return same(n->svm.vmcb_image, &none, sizeof(none)) ? NULL : "svm.vmcb_image";
}

static const char *host_refusal(struct vcpu *v, const struct vmcb_save *g)
{
    bool long_mode = g->cr0 & CR0_PG && g->efer & EFER_LME;
    if (g->cr0 & ~CR0_DEFINED || (g->cr0 & CR0_PG && !(g->cr0 & CR0_PE)))
        return "svm.vmcb_image: CR0 of L1";
    if (g->efer & ~(msr_efer_valid(v) | EFER_NXE | EFER_LMA) || !(g->efer & EFER_LMA) == long_mode)
        return "svm.vmcb_image: EFER of L1";
    if (g->cr4 & ~cr4_allowed(v->vm->features) || (long_mode && !(g->cr4 & CR4_PAE)))
        return "svm.vmcb_image: CR4 of L1";
    if (long_mode && g->cr3 >> v->vm->phys_bits)
        return "svm.vmcb_image: CR3 of L1";
    if (g->rflags & ~(FLAGS_DEFINED | FLAG_ONE) || !(g->rflags & FLAG_ONE))
        return "svm.vmcb_image: RFLAGS of L1";
    return msr_pat_valid(g->g_pat) ? NULL : "svm.vmcb_image: PAT of L1";
}

const char *svm_state_refusal(struct vcpu *v, const struct cpu_nested *n)
{
    const struct vmcb *m = (const struct vmcb *)n->svm.vmcb_image;
    if (n->kind != CPU_NESTED_SVM)
        return "nested.kind";
    if (n->guest && n->svm.smm_guest)
        return "svm.smm_guest";
    if (!n->guest && !n->svm.smm_guest)
        return idle_refusal(n);
    if (!svm_page_valid(v, n->svm.vmcb))
        return "svm.vmcb";
    if (!is_kept(m))
        return "svm.vmcb_image";
    const char *bad = host_refusal(v, &m->save);
    if (bad)
        return bad;
    const struct rule *broken = v->broken_rule;
    struct svm s = {0};
    copy_bytes(&s.control, &m->control, sizeof(s.control));
    bad = svm_check_control(v, &s, m->save.cr0) ? NULL : v->broken_rule->text;
    v->broken_rule = broken;
    return bad;
}

/* -- setting -- */

void svm_state_set(struct vcpu *v, const struct cpu_nested *n)
{
    struct svm *s = v->svm;
    const struct vmcb *m = (const struct vmcb *)n->svm.vmcb_image;
    v->gif = n->svm.gif;
    v->in_guest = n->guest;
    s->smm_guest = n->svm.smm_guest;
    s->vmcb = GPA(n->svm.vmcb);
    copy_bytes(&s->control, &m->control, sizeof(s->control));
    fill_bytes(&s->save, 0, sizeof(s->save));
    host_from_save(&s->host, &m->save);
    s->host.nmi_blocked = n->svm.host_nmi_blocked;
    s->injecting_nmi = n->svm.injecting_nmi;
    s->pause_left = n->svm.pause_left;
    s->pause_tsc = __builtin_ia32_rdtsc();
    if (n->guest) {
        svm_load_translation(v);
        svm_load_tsc(v);
    } else {
        mmu_set_stage2(v, STAGE2_NONE, 0, 0);
        tsc_of_l1(v);
    }
}
