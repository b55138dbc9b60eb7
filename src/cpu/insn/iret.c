/*
 * IRET in all its forms: real mode, virtual-8086 mode with and without VME, protected mode to the same and outer levels
 * and to virtual-8086 mode, nested tasks, compatibility and 64-bit mode.
 *
 * An IRET that faults unblocks NMIs too; v->iret_unblocks is where VM exits, and the fault's delivery, find that out.
 *
 * Source: SDM vol. 2 "IRET/IRETD/IRETQ"; vol. 3A "Handling Multiple NMIs"; "Virtual-8086 Mode" on IRET.
 */
#include "cpu/core/nested.h"
#include "cpu/event/exception.h"
#include "cpu/insn/far.h"
#include "cpu/insn/ops.h"

/* Takes the bits in `mask` from `image`, the rest stays. RF and bits above 15 only from images wider than 16 bits. */
static u64 merged(const struct vcpu *v, u64 image, u64 mask, unsigned size)
{
    mask = mask_size(mask, size);
    if (!(v->dr7 & DR7_ENABLED)) /* RF serves instruction breakpoints only */
        image &= ~FLAG_RF;
    u64 flags = (rflags_get(v) & ~mask) | (image & mask);
    return size == 2 ? flags & ~FLAG_RF : flags;
}

#define IRET_FLAGS (FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_RF | FLAG_AC | FLAG_ID)

static void enter_real(struct vcpu *v, const u64 *top, unsigned size, u64 flags)
{
    stack_release(v, 3 * size);
    segment_load_real(v, SEG_CS, (u16)top[1]);
    v->next_rip = top[0];
    rflags_store(v, flags);
    mode_update(v);
}

static enum outcome iret_real(struct vcpu *v, unsigned size)
{
    u64 top[3];
    TRY(stack_peek(v, 0, size, 3, top));
    TRY(code_target_real(v, top[0]));
    enter_real(v, top, size, merged(v, top[2], IRET_FLAGS | FLAG_IF | FLAG_IOPL, size));
    return CPU_OK;
}

static enum outcome iret_v86(struct vcpu *v, unsigned size)
{
    u64 top[3];
    bool vme = iopl(v) < 3;
    if (vme && (!(v->cr4 & CR4_VME) || size != 2))
        return raise_gp(v, 0);
    TRY(stack_peek(v, 0, size, 3, top));
    TRY(code_target_real(v, top[0]));
    u64 image = top[2];
    u64 flags;
    if (vme) {
        if (image & FLAG_TF || (image & FLAG_IF && v->flags & FLAG_VIP))
            return raise_gp(v, 0);
        flags = merged(v, image, IRET_FLAGS, size) & ~FLAG_VIF;
        if (image & FLAG_IF)
            flags |= FLAG_VIF;
    } else {
        flags = merged(v, image, IRET_FLAGS | FLAG_IF, size);
    }
    enter_real(v, top, size, flags);
    return CPU_OK;
}

static enum outcome return_to_v86(struct vcpu *v, const u64 *top)
{
    static const u8 order[] = {SEG_SS, SEG_ES, SEG_DS, SEG_FS, SEG_GS};
    u64 outer[6]; /* ESP, SS, ES, DS, FS, GS */
    TRY(stack_peek(v, 12, 4, 6, outer));
    if (top[0] > 0xffff)
        return raise_gp(v, 0);
    rflags_store(v, top[2]);
    segment_load_real(v, SEG_CS, (u16)top[1]);
    for (unsigned i = 0; i < ARRAY_LEN(order); i++)
        segment_load_real(v, order[i], (u16)outer[1 + i]);
    v->gpr[RSP] = outer[0];
    v->next_rip = top[0];
    cpl_set(v, 3);
    return CPU_OK;
}

/* Which flags the image gives depends on the CPL before the return. */
static u64 protected_flags(const struct vcpu *v, u64 image, unsigned size)
{
    u64 mask = IRET_FLAGS;
    if (v->cpl <= iopl(v))
        mask |= FLAG_IF;
    if (v->cpl == 0)
        mask |= FLAG_IOPL | FLAG_VIF | FLAG_VIP;
    return merged(v, image, mask, size);
}

static enum outcome nested_task(struct vcpu *v)
{
    u16 link;
    const struct segment *tr = &v->seg[SEG_TR];
    TRY(mem_read(v, (u32)tr->base, &link, 2, ACCESS_READ | ACCESS_IMPLICIT));
    return task_enter(v, link, TASK_IRET, false, 0, rflags_get(v) & ~FLAG_NT);
}

static enum outcome iret_protected(struct vcpu *v, unsigned size)
{
    u64 top[5];
    struct descriptor d;
    struct segment ss;
    bool from64 = in_64bit(v);
    if (v->flags & FLAG_NT)
        return in_long_mode(v) ? raise_gp(v, 0) : nested_task(v);
    TRY(stack_peek(v, 0, size, 3, top));
    if (top[2] & FLAG_VM && size == 4 && v->cpl == 0 && !in_long_mode(v))
        return return_to_v86(v, top);
    u16 cs = (u16)top[1];
    u32 rpl = cs & SEL_RPL;
    TRY(return_code(v, cs, &d));
    bool outer = rpl > v->cpl || from64;
    if (outer) {
        TRY(stack_peek(v, 3 * size, size, 2, top + 3));
        TRY(return_stack(v, (u16)top[4], rpl, in_long_mode(v) && d.attr & SEG_L, &ss));
    }
    TRY(code_target(v, &d, &top[0]));
    TRY(descriptor_accessed(v, &d));
    u64 flags = protected_flags(v, top[2], size);
    if (!outer)
        stack_release(v, 3 * size);
    v->seg[SEG_CS] = segment_from(cs, &d);
    v->next_rip = top[0];
    rflags_store(v, flags);
    if (outer)
        return_outer(v, &ss, top[3], rpl);
    else
        cpl_set(v, rpl);
    return CPU_OK;
}

enum outcome op_iret(struct vcpu *v, const struct insn *in)
{
    enum outcome r;
    mmu_serialise(v);
    TRY(nested_check(v, IC_IRET, 0, 0));
    v->iret_unblocks = v->nmi_blocked;
    if (!in_protected(v))
        r = iret_real(v, in->osz);
    else if (in_v86(v))
        r = iret_v86(v, in->osz);
    else
        r = iret_protected(v, in->osz);
    if (r == CPU_OK)
        iret_unblock(v);
    return r;
}
