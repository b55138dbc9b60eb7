/*
 * Stack frames of far transfers and events. A frame is collected first, then checked against the segment as separate
 * pushes would be, then written at once, so that a page fault in its middle leaves nothing behind.
 *
 * Source: SDM vol. 2 "CALL", "INT n/INTO/INT3/INT1": the stack parts of the operation sections;
 * vol. 3A "Stack Switching", "Stack Switching in IA-32e Mode".
 */
#include "cpu/event/frame.h"

static u64 moved(const struct stack *st, u64 delta)
{
    u64 sp = mask_size(st->sp + delta, st->asize);
    return st->asize == 2 ? (st->sp & ~0xffffull) | sp : sp;
}

struct stack stack_current(const struct vcpu *v, bool wide)
{
    struct stack st = {.seg = v->seg[SEG_SS], .sp = v->gpr[RSP], .asize = wide ? 8 : stack_asize(v)};
    return st;
}

/* Returns true if the frame's bytes are contiguous in linear memory; *la is then the lowest. */
static bool contiguous(const struct stack *st, unsigned total, u64 *la)
{
    u64 low = mask_size(st->sp - total, st->asize);
    if (st->asize == 8) {
        *la = low;
        return true;
    }
    *la = (u32)(st->seg.base + low);
    return low + total <= (st->asize == 2 ? BIT64(16) : BIT64(32)) && *la + total <= BIT64(32);
}

static u64 push_offset(const struct stack *st, const struct frame *f, unsigned i)
{
    return mask_size(st->sp - (u64)(i + 1) * f->size, st->asize);
}

enum outcome frame_check(struct vcpu *v, const struct stack *st, const struct frame *f)
{
    if (st->asize == 8) {
        u64 low = st->sp - (u64)f->count * f->size;
        if (is_canonical(v, low) && is_canonical(v, st->sp - 1))
            return CPU_OK;
        return raise_ss(v, st->error);
    }
    for (unsigned i = 0; i < f->count; i++)
        if (!segment_allows(v, &st->seg, push_offset(st, f, i), f->size, ACCESS_WRITE))
            return raise_ss(v, st->error);
    return CPU_OK;
}

static enum outcome frame_scatter(struct vcpu *v, struct stack *st, const struct frame *f)
{
    enum access access = ACCESS_WRITE | st->access;
    for (unsigned i = 0; i < f->count; i++)
        TRY(mem_probe(v, (u32)(st->seg.base + push_offset(st, f, i)), f->size, access));
    for (unsigned i = 0; i < f->count; i++)
        TRY(mem_write(v, (u32)(st->seg.base + push_offset(st, f, i)), &f->value[i], f->size, access));
    return CPU_OK;
}

enum outcome frame_write(struct vcpu *v, struct stack *st, const struct frame *f)
{
    unsigned total = f->count * f->size;
    u64 la;
    if (likely(contiguous(st, total, &la))) {
        u8 bytes[FRAME_MAX * 8];
        for (unsigned i = 0; i < f->count; i++) {
            u8 *at = bytes + (f->count - 1 - i) * f->size;
            if (f->size == 8)
                __builtin_memcpy(at, &f->value[i], 8);
            else if (f->size == 4)
                __builtin_memcpy(at, &f->value[i], 4);
            else
                __builtin_memcpy(at, &f->value[i], 2);
        }
        TRY(mem_write(v, la, bytes, total, ACCESS_WRITE | st->access));
    } else {
        TRY(frame_scatter(v, st, f));
    }
    st->sp = moved(st, -(u64)total);
    return CPU_OK;
}

enum outcome stack_peek(struct vcpu *v, u64 depth, unsigned size, unsigned count, u64 *values)
{
    unsigned asize = stack_asize(v);
    for (unsigned i = 0; i < count; i++) {
        values[i] = 0;
        u64 offset = mask_size(v->gpr[RSP] + depth + (u64)i * size, asize);
        TRY(seg_read(v, SEG_SS, offset, &values[i], size));
    }
    return CPU_OK;
}

void stack_release(struct vcpu *v, u64 bytes)
{
    unsigned asize = stack_asize(v);
    reg_write(v, RSP, asize, true, mask_size(v->gpr[RSP] + bytes, asize));
}

static enum outcome tss_read(struct vcpu *v, u32 offset, void *buf, unsigned size)
{
    const struct segment *tr = &v->seg[SEG_TR];
    if (tr->attr & SEG_UNUSABLE || offset + size - 1 > tr->limit)
        return raise_ts(v, tr->sel & ~SEL_RPL);
    u64 la = tr->base + offset;
    return mem_read(v, in_long_mode(v) ? la : (u32)la, buf, size, ACCESS_READ | ACCESS_IMPLICIT);
}

static enum outcome inner_segment(struct vcpu *v, u16 ss, u32 cpl, struct segment *out)
{
    struct descriptor d;
    u32 error = ss & ~SEL_RPL;
    if (sel_null(ss))
        return raise_ts(v, 0);
    TRY(descriptor_read(v, ss, &d, EXC_TS));
    if ((ss & SEL_RPL) != cpl || segment_dpl(d.attr) != cpl || !descriptor_is_writable(&d))
        return raise_ts(v, error);
    if (!(d.attr & SEG_P))
        return raise_ss(v, error);
    TRY(descriptor_accessed(v, &d));
    *out = segment_from(ss, &d);
    return CPU_OK;
}

enum outcome stack_inner(struct vcpu *v, u32 cpl, unsigned ist, struct stack *st)
{
    *st = (struct stack){.access = v->cpl == 3 && cpl < 3 ? ACCESS_IMPLICIT : ACCESS_READ};
    if (in_long_mode(v)) {
        TRY(tss_read(v, ist ? 28 + ist * 8 : 4 + cpl * 8, &st->sp, 8));
        st->asize = 8;
        st->seg = (struct segment){.sel = (u16)cpl, .attr = SEG_UNUSABLE | cpl << SEG_DPL_SHIFT};
        return CPU_OK;
    }
    u16 ss;
    if ((v->seg[SEG_TR].attr & SEG_TYPE_MASK) == SYS_TSS_BUSY) {
        u8 bytes[6];
        u32 esp;
        TRY(tss_read(v, 4 + cpl * 8, bytes, 6));
        __builtin_memcpy(&esp, bytes, 4);
        __builtin_memcpy(&ss, bytes + 4, 2);
        st->sp = esp;
    } else {
        u16 pair[2];
        TRY(tss_read(v, 2 + cpl * 4, pair, 4));
        st->sp = pair[0];
        ss = pair[1];
    }
    TRY(inner_segment(v, ss, cpl, &st->seg));
    st->asize = st->seg.attr & SEG_DB ? 4 : 2;
    st->error = ss & ~SEL_RPL;
    return CPU_OK;
}

/* -- code segments -- */

enum outcome code_target(struct vcpu *v, const struct descriptor *d, u64 *ip)
{
    if (in_long_mode(v) && d->attr & SEG_L)
        return is_canonical(v, *ip) ? CPU_OK : raise_gp(v, 0);
    *ip = (u32)*ip;
    return *ip <= d->limit ? CPU_OK : raise_gp(v, 0);
}

enum outcome frame_to_code(struct vcpu *v, struct stack *st, const struct frame *f, struct descriptor *d, u64 *ip)
{
    TRY(frame_check(v, st, f));
    TRY(code_target(v, d, ip));
    TRY(descriptor_accessed(v, d));
    return frame_write(v, st, f);
}

enum outcome code_target_real(struct vcpu *v, u64 ip)
{
    return ip <= v->seg[SEG_CS].limit ? CPU_OK : raise_gp(v, 0);
}

void code_enter(struct vcpu *v, u16 sel, const struct descriptor *d, u32 cpl, u64 ip)
{
    v->seg[SEG_CS] = segment_from((u16)((sel & ~SEL_RPL) | cpl), d);
    v->next_rip = ip;
    cpl_set(v, cpl);
}
