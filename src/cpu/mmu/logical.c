/*
 * Memory access by logical addresses, that is through a segment: limit, type and canonicality checks before the MMU's,
 * the stack, and r/m operands.
 *
 * Outside 64-bit mode a linear address wraps at 4 GiB, so an access may fall apart into two. Pushes and pops change
 * RSP only when the access succeeded.
 *
 * Source: SDM vol. 3A "Limit Checking", "Type Checking"; "Segmentation in IA-32e Mode".
 */
#include "cpu/mmu/segment.h"

bool segment_allows(const struct vcpu *v, const struct segment *s, u64 offset, unsigned size, enum access access)
{
    u32 type = s->attr & SEG_TYPE_MASK;
    u64 last = offset + size - 1;
    if (in_protected(v) && !in_v86(v)) {
        if (s->attr & SEG_UNUSABLE)
            return false;
        if (access & ACCESS_WRITE) {
            if ((type & (SEG_TYPE_CODE | SEG_TYPE_WRITE)) != SEG_TYPE_WRITE)
                return false;
        } else if (!(access & ACCESS_FETCH) && (type & (SEG_TYPE_CODE | SEG_TYPE_WRITE)) == SEG_TYPE_CODE) {
            return false;
        }
    }
    if ((type & (SEG_TYPE_CODE | SEG_TYPE_EXPAND)) == SEG_TYPE_EXPAND)
        return offset > s->limit && last <= (s->attr & SEG_DB ? 0xffffffffu : 0xffffu);
    return last <= s->limit && last >= offset;
}

enum outcome seg_linear(struct vcpu *v, unsigned seg, u64 offset, unsigned size, enum access access, u64 *la)
{
    const struct segment *s = &v->seg[seg];
    if (in_64bit(v)) {
        u64 a = seg >= SEG_FS ? offset + s->base : offset;
        if (likely(is_canonical(v, a) && is_canonical(v, a + size - 1))) {
            *la = a;
            return CPU_OK;
        }
    } else if (likely(segment_allows(v, s, offset, size, access))) {
        *la = (u32)(s->base + offset);
        return CPU_OK;
    }
    return seg == SEG_SS ? raise_ss(v, 0) : raise_gp(v, 0);
}

/* Bytes before the 4 GiB wrap of a linear range outside 64-bit mode; `size` if it does not wrap. */
static unsigned before_wrap(const struct vcpu *v, u64 la, unsigned size)
{
    if (likely(la + size <= BIT64(32)) || in_64bit(v))
        return size;
    return (unsigned)(BIT64(32) - la);
}

enum outcome seg_read(struct vcpu *v, unsigned seg, u64 offset, void *buf, unsigned size)
{
    u64 la;
    TRY(seg_linear(v, seg, offset, size, ACCESS_READ, &la));
    unsigned n = before_wrap(v, la, size);
    TRY(mem_read(v, la, buf, n, ACCESS_READ));
    return n == size ? CPU_OK : mem_read(v, 0, (u8 *)buf + n, size - n, ACCESS_READ);
}

enum outcome seg_write(struct vcpu *v, unsigned seg, u64 offset, const void *buf, unsigned size)
{
    u64 la;
    TRY(seg_linear(v, seg, offset, size, ACCESS_WRITE, &la));
    unsigned n = before_wrap(v, la, size);
    if (likely(n == size))
        return mem_write(v, la, buf, n, ACCESS_WRITE);
    TRY(mem_probe(v, la, n, ACCESS_WRITE));
    TRY(mem_probe(v, 0, size - n, ACCESS_WRITE));
    TRY(mem_write(v, la, buf, n, ACCESS_WRITE));
    return mem_write(v, 0, (const u8 *)buf + n, size - n, ACCESS_WRITE);
}

/* RSP moved by `delta`, at the stack's address size. */
static u64 stack_moved(const struct vcpu *v, u64 delta)
{
    return mask_size(v->gpr[RSP] + delta, stack_asize(v));
}

enum outcome stack_push(struct vcpu *v, u64 value, unsigned size)
{
    u64 sp = stack_moved(v, -(u64)size);
    TRY(seg_write(v, SEG_SS, sp, &value, size));
    reg_write(v, RSP, stack_asize(v), true, sp);
    return CPU_OK;
}

enum outcome stack_pop(struct vcpu *v, u64 *value, unsigned size)
{
    u64 x = 0;
    TRY(seg_read(v, SEG_SS, stack_moved(v, 0), &x, size));
    *value = x;
    reg_write(v, RSP, stack_asize(v), true, stack_moved(v, size));
    return CPU_OK;
}

enum outcome rm_read(struct vcpu *v, const struct insn *in, unsigned size, u64 *value)
{
    u64 x = 0;
    if (!in->mem) {
        *value = reg_read(v, in->rm, size, in->rex);
        return CPU_OK;
    }
    TRY(seg_read(v, in->seg, insn_offset(v, in), &x, size));
    *value = x;
    return CPU_OK;
}

enum outcome rm_write(struct vcpu *v, const struct insn *in, unsigned size, u64 value)
{
    if (in->mem)
        return seg_write(v, in->seg, insn_offset(v, in), &value, size);
    reg_write(v, in->rm, size, in->rex, value);
    return CPU_OK;
}
