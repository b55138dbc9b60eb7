/*
 * RSM: the way back from system management mode (event/smm.c). What the state save area holds is checked before any of
 * it is loaded; a state that the CPU cannot have is a shutdown.
 * Source: SDM volume 3C, "Exiting From SMM", "Default Treatment of RSM"; APM volume 2, "Leaving SMM".
 */
#include "cpu/core/copy.h"
#include "cpu/core/nested.h"
#include "cpu/event/smm.h"
#include "cpu/insn/msr.h"
#include "cpu/insn/ops.h"
#include "cpu/mmu/cr.h"
#include "cpu/mmu/mmu.h"
#include "x86/paging.h"
#include "x86/smram.h"

/* The state that the area holds, whichever its layout. */
struct saved {
    struct segment seg[SEG_COUNT];
    struct desc_table gdtr, idtr;
    u64 cr0, cr3, cr4, efer, dr6, dr7, rflags, rip, gpr[GPR_COUNT];
    u32 smbase;
    bool halted;
    u8 shadow;
    u64 pdpte[4];
};

static struct segment segment(u16 sel, u32 attr, u32 limit, u64 base)
{
    if (!(attr & SEG_P))
        attr |= SEG_UNUSABLE;
    return (struct segment){.sel = sel, .attr = attr, .limit = limit, .base = base};
}

static struct segment segment64(const struct smram_segment64 *s)
{
    return segment(s->sel, s->attr & 0xf0ff, s->limit, s->base);
}

static void read64(const struct smram64 *m, struct saved *s)
{
    for (unsigned i = 0; i <= SEG_GS; i++)
        s->seg[i] = segment64(&m->seg[i]);
    s->seg[SEG_LDTR] = segment64(&m->ldtr);
    s->seg[SEG_TR] = segment64(&m->tr);
    s->gdtr = (struct desc_table){.base = m->gdtr.base, .limit = (u16)m->gdtr.limit};
    s->idtr = (struct desc_table){.base = m->idtr.base, .limit = (u16)m->idtr.limit};
    s->cr0 = m->cr0;
    s->cr3 = m->cr3;
    s->cr4 = m->cr4;
    s->efer = m->efer;
    s->dr6 = m->dr6;
    s->dr7 = m->dr7;
    s->rflags = m->rflags;
    s->rip = m->rip;
    for (unsigned i = 0; i < GPR_COUNT; i++)
        s->gpr[i] = m->gpr[GPR_COUNT - 1 - i];
    s->smbase = m->smbase;
    s->halted = m->halt_restart & 1;
    s->shadow = m->shadow & (SHADOW_STI | SHADOW_MOVSS);
}

static struct segment segment32(u32 sel, const struct smram_segment32 *s)
{
    return segment((u16)sel, s->attr >> 8 & 0xf0ff, s->limit, s->base);
}

static void read32(const struct smram32 *m, struct saved *s)
{
    for (unsigned i = 0; i < 3; i++) {
        s->seg[SEG_ES + i] = segment32(m->sel[SEG_ES + i], &m->low[i]);
        s->seg[SEG_DS + i] = segment32(m->sel[SEG_DS + i], &m->high[i]);
    }
    s->seg[SEG_LDTR] = segment32(m->ldtr_sel, &m->ldtr);
    s->seg[SEG_TR] = segment32(m->tr_sel, &m->tr);
    s->gdtr = (struct desc_table){.base = m->gdtr.base, .limit = (u16)m->gdtr.limit};
    s->idtr = (struct desc_table){.base = m->idtr.base, .limit = (u16)m->idtr.limit};
    s->cr0 = m->cr0;
    s->cr3 = m->cr3;
    s->cr4 = m->cr4;
    s->dr6 = m->dr6;
    s->dr7 = m->dr7;
    s->rflags = m->eflags;
    s->rip = m->eip;
    for (unsigned i = 0; i < ARRAY_LEN(m->gpr); i++)
        s->gpr[i] = m->gpr[i];
    s->smbase = m->smbase;
    s->halted = m->halt_restart & 1;
    s->shadow = m->shadow & (SHADOW_STI | SHADOW_MOVSS);
}

static bool uses_pdptes(const struct saved *s)
{
    return s->cr0 & CR0_PG && s->cr4 & CR4_PAE && !(s->efer & EFER_LMA);
}

/* PDPTEs of L1. Those of L2 wait in the CPU. */
static bool pdptes_load(struct vcpu *v, struct saved *s)
{
    phys_read(v, GPA(s->cr3 & CR3_PAE_ADDRESS), s->pdpte, sizeof(s->pdpte));
    for (unsigned i = 0; i < ARRAY_LEN(s->pdpte); i++)
        if (s->pdpte[i] & PTE_P && (s->pdpte[i] & PDPTE_RESERVED || s->pdpte[i] >> v->vm->phys_bits))
            return false;
    return true;
}

/* The manuals' reasons for a shutdown; LMA follows from the rest. */
static bool is_legal(struct vcpu *v, struct saved *s)
{
    if (s->cr0 >> 32 || (s->cr0 & CR0_PG && !(s->cr0 & CR0_PE)) || (s->cr0 & CR0_NW && !(s->cr0 & CR0_CD)))
        return false;
    bool active = s->efer & EFER_LME && s->cr0 & CR0_PG;
    if (s->efer & ~(msr_efer_valid(v) | EFER_LMA) || s->cr4 & ~cr4_allowed(v->vm->features))
        return false;
    if (active ? !(s->cr4 & CR4_PAE) || s->cr3 >> v->vm->phys_bits : s->cr4 & CR4_PCIDE)
        return false;
    s->efer = (s->efer & ~EFER_LMA) | (active ? EFER_LMA : 0);
    return !(s->dr6 >> 32 || s->dr7 >> 32);
}

static void load(struct vcpu *v, const struct saved *s)
{
    copy_bytes(v->gpr, s->gpr, sizeof(v->gpr));
    copy_bytes(v->seg, s->seg, sizeof(v->seg));
    v->gdtr = s->gdtr;
    v->idtr = s->idtr;
    v->cr0 = (s->cr0 & CR0_DEFINED) | CR0_ET;
    v->cr3 = s->cr3;
    v->cr4 = s->cr4;
    v->efer = s->efer;
    v->dr6 = (s->dr6 & DR6_WRITABLE) | DR6_FIXED;
    v->dr7 = (s->dr7 & ~(DR7_ZERO | DR7_RTM)) | DR7_FIXED;
    rflags_set_arith(v, s->rflags);
    v->flags = (s->rflags & FLAGS_DEFINED & ~FLAGS_ARITH) | FLAG_ONE;
    v->rip = v->next_rip = s->rip;
    v->cpl = !(v->cr0 & CR0_PE) ? 0 : v->flags & FLAG_VM ? 3 : (v->seg[SEG_SS].attr & SEG_DPL_MASK) >> SEG_DPL_SHIFT;
    v->shadow = s->shadow;
    v->activity = s->halted ? ACTIVITY_HLT : ACTIVITY_ACTIVE;
    copy_bytes(v->pdpte, s->pdpte, sizeof(v->pdpte));
}

static enum outcome shutdown(struct vcpu *v)
{
    v->exit = CPU_EXIT_SHUTDOWN;
    return CPU_EXIT;
}

/* AMD's intercept comes before the #UD outside of system management mode. */
enum outcome op_rsm(struct vcpu *v, const struct insn *in)
{
    union smram m;
    struct saved s = {0};
    if (v->vm->vendor == VENDOR_AMD)
        TRY(nested_check(v, IC_RSM, 0, 0));
    if (!v->smm.on)
        return raise_ud(v);
    phys_read(v, GPA(v->smm.base + SMRAM_STATE), &m, sizeof(m));
    if (cpu_has(v->vm, FEATURE_LM))
        read64(&m.w, &s);
    else
        read32(&m.n, &s);
    if (!is_legal(v, &s) || (v->nested && !v->nested->smm_may_leave(v, s.cr4, s.efer)))
        return shutdown(v);
    vcpu_space_set(v, 0);
    v->smm.on = false;
    v->smm.base = s.smbase;
    bool pdptes = uses_pdptes(&s), loaded = pdptes && pdptes_load(v, &s);
    load(v, &s);
    bool guest = v->nested && v->nested->smm_leave(v);
    if (guest)
        copy_bytes(v->pdpte, v->smm.pdpte, sizeof(v->pdpte));
    else if (pdptes && !loaded)
        return shutdown(v);
    v->nmi_blocked = v->smm.nmi_blocked;
    mode_update(v);
    mmu_flush_all(v);
    request_raise(v, REQ_EVENT);
    return CPU_OK;
}
