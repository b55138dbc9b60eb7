/*
 * Far JMP, CALL and RET without a change to more privilege; callgate.c has the gates, iret.c IRET, task.c task
 * switches.
 *
 * Each reads its operand, makes all checks in the order of the manual's operation section, then writes the stack, then
 * loads CS:RIP, SS:RSP and the CPL together.
 *
 * Source: SDM vol. 2 "JMP", "CALL", "RET"; vol. 3A "Privilege Checking When Transferring Program Control Between Code
 * Segments".
 */
#include "cpu/insn/far.h"

#include "cpu/insn/ops.h"

static void code_enter_real(struct vcpu *v, u16 sel, u64 ip)
{
    segment_load_real(v, SEG_CS, sel);
    v->next_rip = ip;
    mode_update(v);
}

unsigned far_size(const struct vcpu *v, const struct insn *in)
{
    return in->osz == 8 && v->vm->vendor == VENDOR_AMD ? 4 : in->osz;
}

enum outcome far_pointer_read(struct vcpu *v, const struct insn *in, unsigned size, u16 *sel, u64 *offset)
{
    u8 bytes[8 + 2];
    TRY(seg_read(v, in->seg, insn_offset(v, in), bytes, size + 2));
    *offset = 0;
    for (unsigned i = size; i-- > 0;)
        *offset = *offset << 8 | bytes[i];
    *sel = (u16)(bytes[size] | bytes[size + 1] << 8);
    return CPU_OK;
}

static enum outcome far_operand(struct vcpu *v, const struct insn *in, u16 *sel, u64 *ip)
{
    unsigned size = far_size(v, in);
    if (!in->mem) {
        if (in_64bit(v))
            return raise_ud(v);
        *sel = (u16)in->imm2;
        *ip = mask_size(in->imm, size);
        return CPU_OK;
    }
    return far_pointer_read(v, in, size, sel, ip);
}

/* Checks on a code segment that JMP or CALL names directly. */
static enum outcome direct_code(struct vcpu *v, u16 sel, const struct descriptor *d)
{
    u32 error = sel & ~SEL_RPL;
    u32 dpl = segment_dpl(d->attr);
    if (!descriptor_is_code(d))
        return raise_gp(v, error);
    if (in_long_mode(v) && d->attr & SEG_L && d->attr & SEG_DB)
        return raise_gp(v, error);
    if (descriptor_is_conforming(d) ? dpl > v->cpl : (sel & SEL_RPL) > v->cpl || dpl != v->cpl)
        return raise_gp(v, error);
    return d->attr & SEG_P ? CPU_OK : raise_np(v, error);
}

/* A selector of JMP or CALL that names a system descriptor. */
static enum outcome system_target(struct vcpu *v, u16 sel, const struct descriptor *d, bool call)
{
    u32 error = sel & ~SEL_RPL;
    u32 dpl = segment_dpl(d->attr);
    u32 type = d->attr & SEG_TYPE_MASK;
    bool permitted = dpl >= v->cpl && dpl >= (sel & SEL_RPL);
    unsigned source = call ? TASK_CALL : TASK_JMP;
    switch (type) {
    case SYS_CALL_GATE16:
    case SYS_CALL_GATE: return call_gate(v, sel, d, call);
    case SYS_TASK_GATE:
        if (in_long_mode(v) || !permitted)
            return raise_gp(v, error);
        if (!(d->attr & SEG_P))
            return raise_np(v, error);
        return task_switch(v, (u16)(d->raw >> 16), source, false, 0);
    case SYS_TSS16_AVAIL:
    case SYS_TSS16_BUSY:
    case SYS_TSS_AVAIL:
    case SYS_TSS_BUSY:
        if (in_long_mode(v) || !permitted)
            return raise_gp(v, error);
        return task_switch(v, sel, source, false, 0);
    default: return raise_gp(v, error);
    }
}

enum outcome op_jmp_far(struct vcpu *v, const struct insn *in)
{
    struct descriptor d;
    u16 sel;
    u64 ip;
    TRY(far_operand(v, in, &sel, &ip));
    if (!in_protected(v) || in_v86(v)) {
        TRY(code_target_real(v, ip));
        code_enter_real(v, sel, ip);
        return CPU_OK;
    }
    if (sel_null(sel))
        return raise_gp(v, 0);
    TRY(descriptor_read(v, sel, &d, EXC_GP));
    if (!(d.attr & SEG_S))
        return system_target(v, sel, &d, false);
    TRY(direct_code(v, sel, &d));
    TRY(code_target(v, &d, &ip));
    TRY(descriptor_accessed(v, &d));
    code_enter(v, sel, &d, v->cpl, ip);
    return CPU_OK;
}

enum outcome op_call_far(struct vcpu *v, const struct insn *in)
{
    struct descriptor d;
    u16 sel;
    u64 ip;
    TRY(far_operand(v, in, &sel, &ip));
    bool real = !in_protected(v) || in_v86(v);
    if (!real) {
        if (sel_null(sel))
            return raise_gp(v, 0);
        TRY(descriptor_read(v, sel, &d, EXC_GP));
        if (!(d.attr & SEG_S))
            return system_target(v, sel, &d, true);
        TRY(direct_code(v, sel, &d));
    }
    struct stack st = stack_current(v, false);
    struct frame f = {.size = far_size(v, in)};
    frame_push(&f, v->seg[SEG_CS].sel);
    frame_push(&f, v->next_rip);
    TRY(frame_check(v, &st, &f));
    TRY(real ? code_target_real(v, ip) : code_target(v, &d, &ip));
    if (!real)
        TRY(descriptor_accessed(v, &d));
    TRY(frame_write(v, &st, &f));
    v->gpr[RSP] = st.sp;
    if (real)
        code_enter_real(v, sel, ip);
    else
        code_enter(v, sel, &d, v->cpl, ip);
    return CPU_OK;
}

enum outcome return_code(struct vcpu *v, u16 sel, struct descriptor *d)
{
    u32 error = sel & ~SEL_RPL;
    u32 rpl = sel & SEL_RPL;
    if (sel_null(sel))
        return raise_gp(v, 0);
    TRY(descriptor_read(v, sel, d, EXC_GP));
    u32 dpl = segment_dpl(d->attr);
    if (!descriptor_is_code(d) || rpl < v->cpl)
        return raise_gp(v, error);
    if (in_long_mode(v) && d->attr & SEG_L && d->attr & SEG_DB)
        return raise_gp(v, error);
    if (descriptor_is_conforming(d) ? dpl > rpl : dpl != rpl)
        return raise_gp(v, error);
    if (!(d->attr & SEG_P))
        return raise_np(v, error);
    return CPU_OK;
}

enum outcome return_stack(struct vcpu *v, u16 ss, u32 rpl, bool code64, struct segment *out)
{
    struct descriptor d;
    u32 error = ss & ~SEL_RPL;
    if (sel_null(ss)) {
        if (!code64 || rpl == 3 || (ss & SEL_RPL) != rpl)
            return raise_gp(v, 0);
        *out = (struct segment){.sel = ss, .attr = SEG_UNUSABLE | rpl << SEG_DPL_SHIFT};
        return CPU_OK;
    }
    TRY(descriptor_read(v, ss, &d, EXC_GP));
    if ((ss & SEL_RPL) != rpl || !descriptor_is_writable(&d) || segment_dpl(d.attr) != rpl)
        return raise_gp(v, error);
    if (!(d.attr & SEG_P))
        return raise_ss(v, error);
    TRY(descriptor_accessed(v, &d));
    *out = segment_from(ss, &d);
    return CPU_OK;
}

/* Data segments of more privilege than the new level become null, and null selectors lose their RPL; the base stays. */
static void drop_inner_segments(struct vcpu *v)
{
    static const u8 data[] = {SEG_ES, SEG_FS, SEG_GS, SEG_DS};
    for (unsigned i = 0; i < ARRAY_LEN(data); i++) {
        struct segment *s = &v->seg[data[i]];
        bool conforming = (s->attr & (SEG_TYPE_CODE | SEG_TYPE_EXPAND)) == (SEG_TYPE_CODE | SEG_TYPE_EXPAND);
        if (sel_null(s->sel))
            s->sel = 0;
        if (s->attr & SEG_UNUSABLE || conforming || segment_dpl(s->attr) >= v->cpl)
            continue;
        s->sel = 0;
        s->attr |= SEG_UNUSABLE;
    }
}

void return_outer(struct vcpu *v, const struct segment *ss, u64 sp, u32 cpl)
{
    bool same = cpl == v->cpl;
    v->seg[SEG_SS] = *ss;
    if (in_64bit(v))
        v->gpr[RSP] = sp;
    else
        reg_write(v, RSP, ss->attr & SEG_DB ? 4 : 2, true, sp);
    if (!same) {
        v->cpl = cpl;
        drop_inner_segments(v);
    }
    mode_update(v);
}

enum outcome op_ret_far(struct vcpu *v, const struct insn *in)
{
    u64 top[2], outer[2];
    u64 imm = (u16)in->imm;
    unsigned size = in->osz;
    struct descriptor d;
    struct segment ss;
    TRY(stack_peek(v, 0, size, 2, top));
    u16 cs = (u16)top[1];
    if (!in_protected(v) || in_v86(v)) {
        TRY(code_target_real(v, top[0]));
        stack_release(v, 2 * size + imm);
        code_enter_real(v, cs, top[0]);
        return CPU_OK;
    }
    u32 rpl = cs & SEL_RPL;
    TRY(return_code(v, cs, &d));
    if (rpl == v->cpl) {
        TRY(code_target(v, &d, &top[0]));
        TRY(descriptor_accessed(v, &d));
        stack_release(v, 2 * size + imm);
        code_enter(v, cs, &d, rpl, top[0]);
        return CPU_OK;
    }
    TRY(stack_peek(v, 2 * size + imm, size, 2, outer));
    TRY(return_stack(v, (u16)outer[1], rpl, in_long_mode(v) && d.attr & SEG_L, &ss));
    TRY(code_target(v, &d, &top[0]));
    TRY(descriptor_accessed(v, &d));
    v->seg[SEG_CS] = segment_from(cs, &d);
    v->next_rip = top[0];
    return_outer(v, &ss, outer[0] + imm, rpl);
    return CPU_OK;
}
