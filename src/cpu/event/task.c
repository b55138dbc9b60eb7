/*
 * Hardware task switches by JMP, CALL, IRET with NT, and task gates in the IDT, with 16- and 32-bit TSSs.
 *
 * Up to the commit every check and every page is tried first, and a fault belongs to the old task. From the commit on
 * the new task is current: a bad selector in its TSS faults there, with RIP at its first instruction, all segments that
 * are not loaded yet being unusable.
 *
 * Source: SDM vol. 3A "Task Management": "Task Switching", table "Exception Conditions Checked During a Task Switch".
 */
#include "cpu/core/nested.h"
#include "cpu/event/frame.h"

/* The registers of a TSS of either size. */
struct task_state {
    u32 cr3, eip, eflags;
    u32 gpr[8];
    u16 sel[6]; /* in the order of enum seg */
    u16 ldt;
    bool trap;
};

struct tss_layout {
    u8 min_limit;
    u8 size; /* of a register */
    u8 cr3, eip, eflags, gpr, seg, seg_count, seg_stride, ldt, trap;
};

static const struct tss_layout layout16 = {.min_limit = 0x2b,
                                           .size = 2,
                                           .eip = 0x0e,
                                           .eflags = 0x10,
                                           .gpr = 0x12,
                                           .seg = 0x22,
                                           .seg_count = 4,
                                           .seg_stride = 2,
                                           .ldt = 0x2a};
static const struct tss_layout layout32 = {.min_limit = TSS_LIMIT_LEAST,
                                           .size = 4,
                                           .cr3 = 0x1c,
                                           .eip = 0x20,
                                           .eflags = 0x24,
                                           .gpr = 0x28,
                                           .seg = 0x48,
                                           .seg_count = 6,
                                           .seg_stride = 4,
                                           .ldt = 0x60,
                                           .trap = 0x64};

#define IMPLICIT_READ (ACCESS_READ | ACCESS_IMPLICIT)
#define IMPLICIT_WRITE (ACCESS_WRITE | ACCESS_IMPLICIT)

static const struct tss_layout *layout_of(u32 attr)
{
    return (attr & SEG_TYPE_MASK & ~2u) == SYS_TSS_AVAIL ? &layout32 : &layout16;
}

static u32 get(const u8 *tss, unsigned offset, unsigned size)
{
    u32 x = tss[offset] | tss[offset + 1] << 8;
    return size == 4 ? x | tss[offset + 2] << 16 | (u32)tss[offset + 3] << 24 : x;
}

static void put(u8 *tss, unsigned offset, unsigned size, u32 value)
{
    for (unsigned i = 0; i < size; i++)
        tss[offset + i] = (u8)(value >> (8 * i));
}

static void state_parse(struct task_state *t, const struct tss_layout *l, const u8 *tss)
{
    *t = (struct task_state){
        .eip = get(tss, l->eip, l->size), .eflags = get(tss, l->eflags, l->size), .ldt = (u16)get(tss, l->ldt, 2)};
    for (unsigned i = 0; i < 8; i++) {
        t->gpr[i] = get(tss, l->gpr + i * l->size, l->size);
        if (l->size == 2)
            t->gpr[i] |= 0xffff0000;
    }
    for (unsigned i = 0; i < l->seg_count; i++)
        t->sel[i] = (u16)get(tss, l->seg + i * l->seg_stride, 2);
    if (l->size == 4) {
        t->cr3 = get(tss, l->cr3, 4);
        t->trap = tss[l->trap] & 1;
    }
}

/* Registers of the old task, in the part of its TSS that a switch writes: EIP to the last segment register. */
static unsigned state_build(const struct vcpu *v, const struct tss_layout *l, u32 eflags, u8 *tss)
{
    put(tss, l->eip, l->size, (u32)v->next_rip);
    put(tss, l->eflags, l->size, eflags);
    for (unsigned i = 0; i < 8; i++)
        put(tss, l->gpr + i * l->size, l->size, (u32)v->gpr[i]);
    for (unsigned i = 0; i < l->seg_count; i++)
        put(tss, l->seg + i * l->seg_stride, l->seg_stride, v->seg[i].sel);
    return l->seg + l->seg_count * l->seg_stride - l->eip;
}

/* A segment register other than CS, from the new task's selector. */
static enum outcome load_data(struct vcpu *v, unsigned seg, u16 sel)
{
    struct descriptor d;
    u32 error = sel & ~SEL_RPL;
    if (sel_null(sel))
        return CPU_OK;
    TRY(descriptor_read(v, sel, &d, EXC_TS));
    u32 dpl = segment_dpl(d.attr);
    if (!(d.attr & SEG_S) || (d.attr & (SEG_TYPE_CODE | SEG_TYPE_WRITE)) == SEG_TYPE_CODE)
        return raise_ts(v, error);
    if (!descriptor_is_conforming(&d) && (dpl < v->cpl || dpl < (sel & SEL_RPL)))
        return raise_ts(v, error);
    if (!(d.attr & SEG_P))
        return raise_np(v, error);
    TRY(descriptor_accessed(v, &d));
    v->seg[seg] = segment_from(sel, &d);
    return CPU_OK;
}

static enum outcome load_stack(struct vcpu *v, u16 sel)
{
    struct descriptor d;
    u32 error = sel & ~SEL_RPL;
    if (sel_null(sel))
        return raise_ts(v, 0);
    TRY(descriptor_read(v, sel, &d, EXC_TS));
    if (!descriptor_is_writable(&d) || segment_dpl(d.attr) != v->cpl || (sel & SEL_RPL) != v->cpl)
        return raise_ts(v, error);
    if (!(d.attr & SEG_P))
        return raise_ss(v, error);
    TRY(descriptor_accessed(v, &d));
    v->seg[SEG_SS] = segment_from(sel, &d);
    return CPU_OK;
}

static enum outcome load_code(struct vcpu *v, u16 sel)
{
    struct descriptor d;
    u32 error = sel & ~SEL_RPL;
    u32 rpl = sel & SEL_RPL;
    if (sel_null(sel))
        return raise_ts(v, 0);
    TRY(descriptor_read(v, sel, &d, EXC_TS));
    u32 dpl = segment_dpl(d.attr);
    if (!descriptor_is_code(&d) || (descriptor_is_conforming(&d) ? dpl > rpl : dpl != rpl))
        return raise_ts(v, error);
    if (!(d.attr & SEG_P))
        return raise_np(v, error);
    TRY(descriptor_accessed(v, &d));
    v->seg[SEG_CS] = segment_from(sel, &d);
    return CPU_OK;
}

static enum outcome load_ldt(struct vcpu *v, u16 sel)
{
    struct descriptor d;
    u32 error = sel & ~SEL_RPL;
    if (sel_null(sel))
        return CPU_OK;
    if (sel & SEL_TI)
        return raise_ts(v, error);
    TRY(descriptor_read(v, sel, &d, EXC_TS));
    if (descriptor_type(&d) != SYS_LDT || !(d.attr & SEG_P))
        return raise_ts(v, error);
    v->seg[SEG_LDTR] = segment_from(sel, &d);
    return CPU_OK;
}

static enum outcome load_cr3(struct vcpu *v, u32 cr3)
{
    v->cr3 = cr3;
    if (v->cr4 & CR4_PAE)
        TRY(mmu_load_pdptes(v, cr3));
    mmu_flush_nonglobal(v);
    mmu_select(v);
    return CPU_OK;
}

/* After the commit: the new task's own state. */
static enum outcome load_state(struct vcpu *v, const struct task_state *t)
{
    static const u8 data[] = {SEG_DS, SEG_ES, SEG_FS, SEG_GS};
    TRY(load_ldt(v, t->ldt));
    if (in_v86(v)) {
        for (unsigned i = 0; i < 6; i++)
            segment_load_real(v, i, t->sel[i]);
    } else {
        TRY(load_code(v, t->sel[SEG_CS]));
        TRY(load_stack(v, t->sel[SEG_SS]));
        for (unsigned i = 0; i < ARRAY_LEN(data); i++)
            TRY(load_data(v, data[i], t->sel[data[i]]));
    }
    return t->eip <= v->seg[SEG_CS].limit ? CPU_OK : raise_gp(v, 0);
}

/* The checks on the new TSS that may still fail in the old task. */
static enum outcome new_tss(struct vcpu *v, u16 sel, unsigned source, struct descriptor *d)
{
    u32 error = sel & ~SEL_RPL;
    bool iret = source == TASK_IRET;
    u8 vector = iret ? EXC_TS : EXC_GP;
    if (sel & SEL_TI)
        return raise_event(v, vector, true, error, 0);
    TRY(descriptor_read(v, sel, d, vector));
    u32 type = descriptor_type(d);
    bool right =
        iret ? type == SYS_TSS16_BUSY || type == SYS_TSS_BUSY : type == SYS_TSS16_AVAIL || type == SYS_TSS_AVAIL;
    if (!right)
        return raise_event(v, vector, true, error, 0);
    if (!(d->attr & SEG_P))
        return raise_np(v, error);
    if (d->limit < layout_of(d->attr)->min_limit)
        return raise_ts(v, error);
    return nested_check(v, IC_TASK_SWITCH, sel, source);
}

/* The descriptor of the current TSS. */
static enum outcome old_tss(struct vcpu *v, struct descriptor *d)
{
    u64 raw;
    u64 la = (u32)(v->gdtr.base + (v->seg[SEG_TR].sel & ~7u));
    TRY(mem_read(v, la, &raw, 8, IMPLICIT_READ));
    descriptor_decode(d, raw);
    d->la = la;
    return mem_probe(v, la + 4, 4, IMPLICIT_WRITE);
}

enum outcome task_enter(struct vcpu *v, u16 sel, unsigned source, bool has_error, u32 error, u64 eflags)
{
    u8 image[TSS_LIMIT_LEAST + 1], saved[TSS_LIMIT_LEAST + 1];
    struct descriptor d, old;
    struct task_state t;
    bool nests = source == TASK_CALL || source == TASK_GATE;
    bool frees = source == TASK_JMP || source == TASK_IRET;
    const struct segment from = v->seg[SEG_TR];
    const struct tss_layout *from_layout = layout_of(from.attr);

    TRY(new_tss(v, sel, source, &d));
    const struct tss_layout *l = layout_of(d.attr);
    u32 base = (u32)d.base;
    unsigned written = state_build(v, from_layout, (u32)eflags, saved);
    u32 save_at = (u32)from.base + from_layout->eip;
    TRY(mem_read(v, base, image, l->min_limit + 1u, IMPLICIT_READ));
    TRY(mem_probe(v, save_at, written, IMPLICIT_WRITE));
    if (nests)
        TRY(mem_probe(v, base, 2, IMPLICIT_WRITE));
    if (source != TASK_IRET)
        TRY(mem_probe(v, d.la + 4, 4, IMPLICIT_WRITE));
    if (frees) {
        TRY(old_tss(v, &old));
        TRY(descriptor_update(v, &old, DESCRIPTOR_BUSY, 0));
    }
    TRY(mem_write(v, save_at, saved + from_layout->eip, written, IMPLICIT_WRITE));
    if (nests)
        TRY(mem_write(v, base, &from.sel, 2, IMPLICIT_WRITE));
    if (source != TASK_IRET)
        TRY(descriptor_update(v, &d, 0, DESCRIPTOR_BUSY));

    /* Commit. */
    state_parse(&t, l, image);
    if (nests)
        t.eflags |= FLAG_NT;
    v->cr0 |= CR0_TS;
    v->seg[SEG_TR] = segment_from(sel, &d);
    v->seg[SEG_TR].attr |= SYS_TYPE_BUSY;
    for (unsigned i = 0; i < 6; i++)
        v->seg[i] = (struct segment){.sel = t.sel[i], .attr = SEG_UNUSABLE};
    v->seg[SEG_LDTR] = (struct segment){.sel = t.ldt, .attr = SEG_UNUSABLE};
    for (unsigned i = 0; i < 8; i++)
        v->gpr[i] = t.gpr[i];
    v->rip = v->next_rip = t.eip;
    v->dr7 &= ~DR7_LOCAL;
    rflags_store(v, t.eflags);
    v->cpl = in_v86(v) ? 3 : t.sel[SEG_CS] & SEL_RPL;
    enum outcome r = v->cr0 & CR0_PG && l->size == 4 ? load_cr3(v, t.cr3) : CPU_OK;
    if (r == CPU_OK)
        r = load_state(v, &t);
    mode_update(v);
    TRY(r);
    if (has_error)
        TRY(stack_push(v, error, l->size));
    if (t.trap) {
        v->trap_pending = true;
        v->trap_dr6 |= DR6_BT;
        request_raise(v, REQ_EVENT);
    }
    return CPU_OK;
}

enum outcome task_switch(struct vcpu *v, u16 tss_sel, unsigned source, bool has_error, u32 error)
{
    return task_enter(v, tss_sel, source, has_error, error, rflags_get(v));
}
