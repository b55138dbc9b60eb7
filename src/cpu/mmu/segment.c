/*
 * Segment descriptors and the loading of segment registers.
 *
 * Descriptors are read with implicit supervisor accesses, and their accessed bits set with locked ones, so a load may
 * end in a page fault, an EPT violation or an NPT fault like any other access; nothing has changed then but, at most,
 * an accessed bit. CS is loaded by far transfers only: far.c, iret.c, idt.c, task.c.
 *
 * Source: SDM vol. 3A "Segment Descriptors", "Privilege Checking When Accessing Data Segments"; vol. 2 "MOV".
 */
#include "cpu/mmu/segment.h"

void descriptor_decode(struct descriptor *d, u64 raw)
{
    d->raw = raw;
    d->base = (raw >> 16 & 0xffffff) | (raw >> 32 & 0xff000000);
    d->limit = (raw & 0xffff) | (raw >> 32 & 0xf0000);
    d->attr = (raw >> 40 & 0xff) | (raw >> 40 & 0xf000);
    if (d->attr & SEG_G)
        d->limit = d->limit << 12 | 0xfff;
    d->high = 0;
}

static enum outcome table_read(struct vcpu *v, u64 la, u64 *value)
{
    return mem_read(v, in_long_mode(v) ? la : (u32)la, value, 8, ACCESS_READ | ACCESS_IMPLICIT);
}

enum outcome descriptor_find(struct vcpu *v, u16 sel, struct descriptor *d, bool *found)
{
    u64 base = v->gdtr.base;
    u32 limit = v->gdtr.limit;
    u32 offset = sel & ~7u;
    *found = false;
    if (sel_null(sel))
        return CPU_OK;
    if (sel & SEL_TI) {
        const struct segment *ldt = &v->seg[SEG_LDTR];
        if (ldt->attr & SEG_UNUSABLE)
            return CPU_OK;
        base = ldt->base;
        limit = ldt->limit;
    }
    if (offset + 7 > limit)
        return CPU_OK;
    u64 raw;
    u64 la = base + offset;
    TRY(table_read(v, la, &raw));
    descriptor_decode(d, raw);
    d->la = in_long_mode(v) ? la : (u32)la;
    if (in_long_mode(v) && !(d->attr & SEG_S)) {
        if (offset + 15 > limit)
            return CPU_OK;
        TRY(table_read(v, la + 8, &raw));
        d->base |= raw << 32;
        d->high = raw >> 32;
    }
    *found = true;
    return CPU_OK;
}

enum outcome descriptor_read(struct vcpu *v, u16 sel, struct descriptor *d, u8 vector)
{
    bool found;
    TRY(descriptor_find(v, sel, d, &found));
    return found ? CPU_OK : raise_event(v, vector, true, sel & ~SEL_RPL, 0);
}

enum outcome descriptor_update(struct vcpu *v, struct descriptor *d, u32 clear, u32 set)
{
    u64 old = d->raw >> 32;
    for (;;) {
        u64 expected = old;
        u64 wanted = (old & ~(u64)clear) | set;
        TRY(mem_cmpxchg(v, d->la + 4, &old, wanted, 4, ACCESS_WRITE | ACCESS_IMPLICIT));
        if (old == expected) {
            d->raw = (u32)d->raw | wanted << 32;
            d->attr = (d->attr & ~0xffu) | (wanted >> 8 & 0xff);
            return CPU_OK;
        }
    }
}

enum outcome descriptor_accessed(struct vcpu *v, struct descriptor *d)
{
    if (likely(d->attr & SEG_TYPE_ACCESSED))
        return CPU_OK;
    return descriptor_update(v, d, 0, SEG_TYPE_ACCESSED << 8);
}

void segment_load_real(struct vcpu *v, unsigned seg, u16 sel)
{
    struct segment *s = &v->seg[seg];
    s->sel = sel;
    s->base = (u64)sel << 4;
    if (in_v86(v)) {
        s->limit = 0xffff;
        s->attr = SEG_P | SEG_DPL_MASK | SEG_S | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED;
    } else if (s->attr & SEG_UNUSABLE) {
        /* Real mode leaves limit and attributes as they are; a null segment has none that could stay. */
        s->limit = 0xffff;
        s->attr = SEG_P | SEG_S | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED;
    }
}

static enum outcome load_ss(struct vcpu *v, u16 sel)
{
    struct descriptor d;
    u32 rpl = sel & SEL_RPL;
    if (sel_null(sel)) {
        if (!in_64bit(v) || v->cpl == 3 || rpl != v->cpl)
            return raise_gp(v, 0);
        v->seg[SEG_SS] = (struct segment){.sel = sel, .attr = SEG_UNUSABLE | v->cpl << SEG_DPL_SHIFT};
        return CPU_OK;
    }
    u32 error = sel & ~SEL_RPL;
    TRY(descriptor_read(v, sel, &d, EXC_GP));
    if (rpl != v->cpl || !descriptor_is_writable(&d) || segment_dpl(d.attr) != v->cpl)
        return raise_gp(v, error);
    if (!(d.attr & SEG_P))
        return raise_ss(v, error);
    TRY(descriptor_accessed(v, &d));
    v->seg[SEG_SS] = segment_from(sel, &d);
    return CPU_OK;
}

static enum outcome load_data(struct vcpu *v, unsigned seg, u16 sel)
{
    struct descriptor d;
    if (sel_null(sel)) {
        v->seg[seg] = (struct segment){.sel = sel, .attr = SEG_UNUSABLE};
        return CPU_OK;
    }
    u32 error = sel & ~SEL_RPL;
    TRY(descriptor_read(v, sel, &d, EXC_GP));
    if (!(d.attr & SEG_S) || (d.attr & (SEG_TYPE_CODE | SEG_TYPE_WRITE)) == SEG_TYPE_CODE)
        return raise_gp(v, error);
    u32 dpl = segment_dpl(d.attr);
    if (!descriptor_is_conforming(&d) && ((sel & SEL_RPL) > dpl || v->cpl > dpl))
        return raise_gp(v, error);
    if (!(d.attr & SEG_P))
        return raise_np(v, error);
    TRY(descriptor_accessed(v, &d));
    v->seg[seg] = segment_from(sel, &d);
    return CPU_OK;
}

enum outcome segment_load(struct vcpu *v, unsigned seg, u16 sel)
{
    if (!in_protected(v) || in_v86(v))
        segment_load_real(v, seg, sel);
    else if (seg == SEG_SS)
        TRY(load_ss(v, sel));
    else
        TRY(load_data(v, seg, sel));
    if (!in_64bit(v) && seg <= SEG_DS)
        mode_update(v);
    return CPU_OK;
}

void cpl_set(struct vcpu *v, u32 cpl)
{
    v->cpl = cpl;
    mode_update(v);
}
