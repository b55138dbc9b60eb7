/*
 * What 64-bit mode lacks: BCD arithmetic, PUSHA, POPA, BOUND, SALC; ENTER and LEAVE; and near PUSH, POP, CALL and JMP
 * with an r/m operand where translated code does not do them itself (outside flat segments, 16-bit operands).
 *
 * Source: SDM vol. 2, under each instruction's name.
 */
#include "cpu/event/frame.h"
#include "cpu/insn/ops.h"

/* -- BCD -- */

/* AL and its SF, ZF, PF; the other arithmetic flags as given. */
static void al_result(struct vcpu *v, u8 al, u64 flags)
{
    reg_write(v, RAX, 1, true, al);
    if (al & 0x80)
        flags |= FLAG_SF;
    if (!al)
        flags |= FLAG_ZF;
    if (!(__builtin_popcount(al) & 1))
        flags |= FLAG_PF;
    rflags_set_arith(v, flags);
}

/* AAA and AAS: AX changes by 106h, the adjustment. */
static enum outcome ascii_adjust(struct vcpu *v, int by)
{
    u64 flags = 0;
    if ((v->gpr[RAX] & 0xf) > 9 || rflags_get(v) & FLAG_AF) {
        reg_write(v, RAX, 2, true, (u16)(v->gpr[RAX] + (u64)(s64)by));
        flags = FLAG_AF | FLAG_CF;
    }
    al_result(v, v->gpr[RAX] & 0xf, flags);
    return CPU_OK;
}

enum outcome op_aaa(struct vcpu *v, const struct insn *in)
{
    return ascii_adjust(v, 0x106);
}

enum outcome op_aas(struct vcpu *v, const struct insn *in)
{
    return ascii_adjust(v, -0x106);
}

enum outcome op_aam(struct vcpu *v, const struct insn *in)
{
    u8 al = (u8)v->gpr[RAX], base = (u8)in->imm;
    if (!base)
        return raise_de(v);
    reg_write(v, RAX, 2, true, (u64)(al / base) << 8);
    al_result(v, al % base, 0);
    return CPU_OK;
}

enum outcome op_aad(struct vcpu *v, const struct insn *in)
{
    u8 al = (u8)v->gpr[RAX], ah = (u8)(v->gpr[RAX] >> 8);
    reg_write(v, RAX, 2, true, 0);
    al_result(v, (u8)(al + ah * (u8)in->imm), 0);
    return CPU_OK;
}

static enum outcome decimal_adjust(struct vcpu *v, bool subtract)
{
    u64 old = rflags_get(v), flags = 0;
    u8 al = (u8)v->gpr[RAX], was = al;
    if ((al & 0xf) > 9 || old & FLAG_AF) {
        if (subtract ? al < 6 : al > 0xf9)
            flags |= FLAG_CF;
        al = (u8)(subtract ? al - 6 : al + 6);
        flags |= FLAG_AF | (old & FLAG_CF);
    }
    if (was > 0x99 || old & FLAG_CF) {
        al = (u8)(subtract ? al - 0x60 : al + 0x60);
        flags |= FLAG_CF;
    } else if (!subtract) {
        flags &= ~FLAG_CF;
    }
    al_result(v, al, flags);
    return CPU_OK;
}

enum outcome op_daa(struct vcpu *v, const struct insn *in)
{
    return decimal_adjust(v, false);
}

enum outcome op_das(struct vcpu *v, const struct insn *in)
{
    return decimal_adjust(v, true);
}

enum outcome op_salc(struct vcpu *v, const struct insn *in)
{
    reg_write(v, RAX, 1, true, rflags_get(v) & FLAG_CF ? 0xff : 0);
    return CPU_OK;
}

/* -- the stack -- */

enum outcome op_pusha(struct vcpu *v, const struct insn *in)
{
    struct stack st = stack_current(v, false);
    struct frame f = {.size = in->osz};
    for (unsigned i = 0; i < 8; i++)
        frame_push(&f, v->gpr[i]);
    TRY(frame_check(v, &st, &f));
    TRY(frame_write(v, &st, &f));
    v->gpr[RSP] = st.sp;
    return CPU_OK;
}

enum outcome op_popa(struct vcpu *v, const struct insn *in)
{
    u64 x[8];
    TRY(stack_peek(v, 0, in->osz, 8, x));
    for (unsigned i = 0; i < 8; i++)
        if (i != 7 - RSP)
            reg_write(v, 7 - i, in->osz, true, x[i]);
    stack_release(v, 8u * in->osz);
    return CPU_OK;
}

enum outcome op_bound(struct vcpu *v, const struct insn *in)
{
    u64 bounds = 0;
    s64 index, low, high;
    if (!in->mem)
        return raise_ud(v);
    TRY(seg_read(v, in->seg, insn_offset(v, in), &bounds, 2u * in->osz));
    if (in->osz == 2) {
        index = (s16)v->gpr[in->reg];
        low = (s16)bounds;
        high = (s16)(bounds >> 16);
    } else {
        index = (s32)v->gpr[in->reg];
        low = (s32)bounds;
        high = (s32)(bounds >> 32);
    }
    return index < low || index > high ? raise_event(v, EXC_BR, false, 0, 0) : CPU_OK;
}

/* All pushes are tried, then written: the old RBP, level - 1 frame pointers of the display, the new frame pointer. That
 * is the whole stack pointer behind the first push, on a 16-bit stack with the upper half that the push leaves alone.
 */
enum outcome op_enter(struct vcpu *v, const struct insn *in)
{
    unsigned size = in->osz, asize = stack_asize(v);
    unsigned level = in->imm2 & 31;
    struct stack st = stack_current(v, false);
    struct frame f = {.size = size};
    frame_push(&f, v->gpr[RBP]);
    u64 above = v->gpr[RSP] - mask_size(v->gpr[RSP], asize);
    u64 frame_temp = above + mask_size(v->gpr[RSP] - size, asize);
    for (unsigned i = 1; i < level; i++) {
        u64 link = 0;
        TRY(seg_read(v, SEG_SS, mask_size(v->gpr[RBP] - (u64)i * size, asize), &link, size));
        frame_push(&f, link);
    }
    if (level)
        frame_push(&f, frame_temp);
    TRY(frame_check(v, &st, &f));
    u64 sp = mask_size(st.sp - (u64)f.count * size - (u16)in->imm, asize);
    u64 la;
    TRY(seg_linear(v, SEG_SS, sp, size, ACCESS_WRITE, &la));
    TRY(mem_probe(v, la, size, ACCESS_WRITE));
    TRY(frame_write(v, &st, &f));
    reg_write(v, RBP, size, true, frame_temp);
    reg_write(v, RSP, asize, true, sp);
    return CPU_OK;
}

enum outcome op_leave(struct vcpu *v, const struct insn *in)
{
    unsigned asize = stack_asize(v);
    u64 sp = mask_size(v->gpr[RBP], asize);
    u64 x = 0;
    TRY(seg_read(v, SEG_SS, sp, &x, in->osz));
    reg_write(v, RSP, asize, true, mask_size(sp + in->osz, asize));
    reg_write(v, RBP, in->osz, true, x);
    return CPU_OK;
}

enum outcome op_push_rm(struct vcpu *v, const struct insn *in)
{
    u64 x;
    TRY(rm_read(v, in, in->osz, &x));
    return stack_push(v, x, in->osz);
}

/* An address with RSP as its base is computed after the pop moved RSP. */
enum outcome op_pop_rm(struct vcpu *v, const struct insn *in)
{
    u64 x, sp = v->gpr[RSP];
    TRY(stack_pop(v, &x, in->osz));
    /* The address is made with the new RSP, but if the write faults or exits RSP is the old one. */
    u64 offset = insn_offset(v, in), moved = v->gpr[RSP];
    v->gpr[RSP] = sp;
    TRY(seg_write(v, in->seg, offset, &x, in->osz));
    v->gpr[RSP] = moved;
    return CPU_OK;
}

/* Near targets: within the limit, or canonical. */
static enum outcome near_target(struct vcpu *v, u64 ip)
{
    if (in_64bit(v) ? is_canonical(v, ip) : ip <= v->seg[SEG_CS].limit)
        return CPU_OK;
    return raise_gp(v, 0);
}

enum outcome op_call_rm(struct vcpu *v, const struct insn *in)
{
    u64 ip;
    TRY(rm_read(v, in, in->osz, &ip));
    TRY(near_target(v, ip));
    TRY(stack_push(v, v->next_rip, in->osz));
    v->next_rip = ip;
    return CPU_OK;
}

enum outcome op_jmp_rm(struct vcpu *v, const struct insn *in)
{
    u64 ip;
    TRY(rm_read(v, in, in->osz, &ip));
    TRY(near_target(v, ip));
    v->next_rip = ip;
    return CPU_OK;
}
