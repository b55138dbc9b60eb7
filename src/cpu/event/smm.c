/*
 * The way into system management mode. events.c calls smm_enter between two instructions; RSM is the way back
 * (insn/rsm.c).
 *
 * VMX and SVM operation end for the time of the handler, whether L1 or L2 ran: that is the "default treatment" of SMIs.
 * What the handler must not see of them stays in struct vmx and struct svm.
 * Source: SDM volume 3C, "SMI Handler Execution Environment", "Default Treatment of SMI Delivery"; APM volume 2,
 * "System-Management Mode".
 */
#include "cpu/event/smm.h"

#include "cpu/core/copy.h"
#include "cpu/core/nested.h"
#include "cpu/mmu/mmu.h"
#include "x86/smram.h"

/* Null selectors have no attribute of their own in the save area: they are not present. */
static u16 attr_saved(const struct segment *s)
{
    return (u16)(s->attr & SEG_UNUSABLE ? s->attr & ~SEG_P : s->attr);
}

static struct smram_segment64 segment64(const struct segment *s)
{
    return (struct smram_segment64){.sel = s->sel, .attr = attr_saved(s), .limit = s->limit, .base = s->base};
}

static void save64(const struct vcpu *v, struct smram64 *m)
{
    for (unsigned i = 0; i <= SEG_GS; i++)
        m->seg[i] = segment64(&v->seg[i]);
    m->ldtr = segment64(&v->seg[SEG_LDTR]);
    m->tr = segment64(&v->seg[SEG_TR]);
    m->gdtr = (struct smram_segment64){.limit = v->gdtr.limit, .base = v->gdtr.base};
    m->idtr = (struct smram_segment64){.limit = v->idtr.limit, .base = v->idtr.base};
    m->halt_restart = v->activity == ACTIVITY_HLT;
    m->nmi_masked = v->nmi_blocked;
    m->shadow = v->shadow;
    m->efer = v->efer;
    m->revision = SMRAM_REVISION_64;
    m->smbase = (u32)v->smm.base;
    m->cr4 = v->cr4;
    m->cr3 = v->cr3;
    m->cr0 = v->cr0;
    m->dr7 = v->dr7;
    m->dr6 = v->dr6;
    m->rflags = rflags_get(v);
    m->rip = v->rip;
    for (unsigned i = 0; i < GPR_COUNT; i++)
        m->gpr[GPR_COUNT - 1 - i] = v->gpr[i];
}

static struct smram_segment32 segment32(const struct segment *s)
{
    return (struct smram_segment32){.attr = (u32)attr_saved(s) << 8, .limit = s->limit, .base = (u32)s->base};
}

static void save32(const struct vcpu *v, struct smram32 *m)
{
    for (unsigned i = 0; i < 3; i++) {
        m->low[i] = segment32(&v->seg[SEG_ES + i]);
        m->high[i] = segment32(&v->seg[SEG_DS + i]);
    }
    for (unsigned i = 0; i <= SEG_GS; i++)
        m->sel[i] = v->seg[i].sel;
    m->ldtr = segment32(&v->seg[SEG_LDTR]);
    m->ldtr_sel = v->seg[SEG_LDTR].sel;
    m->tr = segment32(&v->seg[SEG_TR]);
    m->tr_sel = v->seg[SEG_TR].sel;
    m->gdtr = (struct smram_segment32){.limit = v->gdtr.limit, .base = (u32)v->gdtr.base};
    m->idtr = (struct smram_segment32){.limit = v->idtr.limit, .base = (u32)v->idtr.base};
    m->halt_restart = v->activity == ACTIVITY_HLT;
    m->shadow = v->shadow;
    m->revision = SMRAM_REVISION_32;
    m->smbase = (u32)v->smm.base;
    m->cr4 = (u32)v->cr4;
    m->cr3 = (u32)v->cr3;
    m->cr0 = (u32)v->cr0;
    m->dr7 = (u32)v->dr7;
    m->dr6 = (u32)v->dr6;
    m->eflags = (u32)rflags_get(v);
    m->eip = (u32)v->rip;
    for (unsigned i = 0; i < ARRAY_LEN(m->gpr); i++)
        m->gpr[i] = (u32)v->gpr[i];
}

/* SDM "Initial SMM Execution Environment". IDTR as under KVM: a handler that wants interrupts loads its own. */
static void set_environment(struct vcpu *v)
{
    const u32 attr = SEG_P | SEG_S | SEG_G | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED;
    for (unsigned i = 0; i <= SEG_GS; i++)
        v->seg[i] = (struct segment){.limit = 0xffffffff, .attr = attr};
    v->seg[SEG_CS].sel = (u16)(v->smm.base >> 4);
    v->seg[SEG_CS].base = v->smm.base;
    v->idtr = (struct desc_table){0};
    v->rip = v->next_rip = SMM_ENTRY;
    rflags_set_arith(v, 0);
    v->flags = FLAG_ONE;
    v->cr0 &= ~(CR0_PE | CR0_EM | CR0_TS | CR0_PG);
    v->cr4 = v->efer = 0;
    v->dr7 = DR7_FIXED;
    v->cpl = 0;
    v->shadow = 0;
    v->activity = ACTIVITY_ACTIVE;
    v->monitor_armed = v->step_owed = false;
}

void smm_enter(struct vcpu *v)
{
    union smram m;
    bool wide = cpu_has(v->vm, FEATURE_LM);
    fill_bytes(&m, 0, sizeof(m));
    /* RSM finds the CPL in the DPL of SS, which AMD's SYSRET leaves at 0. */
    v->seg[SEG_SS].attr = (v->seg[SEG_SS].attr & ~SEG_DPL_MASK) | v->cpl << SEG_DPL_SHIFT;
    if (v->nested)
        v->nested->smm_enter(v, wide ? &m.w : NULL);
    if (wide)
        save64(v, &m.w);
    else
        save32(v, &m.n);
    vcpu_space_set(v, 1);
    phys_write(v, GPA(v->smm.base + SMRAM_STATE), &m, sizeof(m));
    v->smm.on = true;
    v->smm.count++;
    v->smm.nmi_blocked = v->nmi_blocked;
    v->nmi_blocked = true;
    copy_bytes(v->smm.pdpte, v->pdpte, sizeof(v->pdpte));
    set_environment(v);
    mode_update(v);
    mmu_flush_all(v);
}

void smm_reset(struct vcpu *v)
{
    v->smm.on = v->smm.nmi_blocked = false;
    v->smm.base = SMBASE_RESET;
    v->smm.count = 0;
    vcpu_space_set(v, 0);
}
