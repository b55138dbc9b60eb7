/*
 * Call gates of 16, 32 and 64 bits, with the stack switch and the copying of parameters when they lead to more
 * privilege.
 *
 * Source: SDM vol. 2 "CALL", "JMP" (labels CALL-GATE, MORE-PRIVILEGE, SAME-PRIVILEGE); vol. 3A "Call Gates".
 */
#include "cpu/event/far.h"

struct gate {
    u16 sel; /* of the code segment */
    u64 ip;
    unsigned size; /* of its pushes: 2, 4, 8 */
    unsigned params;
};

static enum outcome gate_read(struct vcpu *v, u16 sel, const struct descriptor *d, struct gate *g)
{
    u32 error = sel & ~SEL_RPL;
    u32 dpl = segment_dpl(d->attr);
    bool wide = in_long_mode(v);
    bool gate16 = (d->attr & SEG_TYPE_MASK) == SYS_CALL_GATE16;
    if (wide && (gate16 || d->high & DESCRIPTOR_TYPE))
        return raise_gp(v, error);
    if (dpl < v->cpl || dpl < (sel & SEL_RPL))
        return raise_gp(v, error);
    if (!(d->attr & SEG_P))
        return raise_np(v, error);
    g->sel = (u16)(d->raw >> 16);
    g->ip = d->raw & 0xffff;
    if (!gate16)
        g->ip |= d->raw >> 32 & 0xffff0000;
    if (wide)
        g->ip |= d->base & ~0xffffffffull;
    g->size = wide ? 8 : gate16 ? 2 : 4;
    g->params = wide ? 0 : d->raw >> 32 & 0x1f;
    return CPU_OK;
}

static enum outcome gate_code(struct vcpu *v, const struct gate *g, struct descriptor *d, bool call)
{
    u32 error = g->sel & ~SEL_RPL;
    if (sel_null(g->sel))
        return raise_gp(v, 0);
    TRY(descriptor_read(v, g->sel, d, EXC_GP));
    u32 dpl = segment_dpl(d->attr);
    if (!descriptor_is_code(d) || dpl > v->cpl)
        return raise_gp(v, error);
    if (!call && !descriptor_is_conforming(d) && dpl != v->cpl)
        return raise_gp(v, error);
    if (in_long_mode(v) && (d->attr & (SEG_L | SEG_DB)) != SEG_L)
        return raise_gp(v, error);
    return d->attr & SEG_P ? CPU_OK : raise_np(v, error);
}

static enum outcome more_privilege(struct vcpu *v, struct gate *g, struct descriptor *d)
{
    u32 cpl = segment_dpl(d->attr);
    u64 params[31];
    struct stack st;
    TRY(stack_inner(v, cpl, 0, &st));
    struct frame f = {.size = g->size};
    frame_push(&f, v->seg[SEG_SS].sel);
    frame_push(&f, v->gpr[RSP]);
    f.count += g->params;
    frame_push(&f, v->seg[SEG_CS].sel);
    frame_push(&f, v->next_rip);
    TRY(frame_check(v, &st, &f));
    TRY(code_target(v, d, &g->ip));
    TRY(stack_peek(v, 0, g->size, g->params, params));
    for (unsigned i = 0; i < g->params; i++)
        f.value[2 + i] = params[g->params - 1 - i];
    TRY(descriptor_accessed(v, d));
    TRY(frame_write(v, &st, &f));
    v->seg[SEG_SS] = st.seg;
    v->gpr[RSP] = st.sp;
    code_enter(v, g->sel, d, cpl, g->ip);
    return CPU_OK;
}

static enum outcome same_privilege(struct vcpu *v, struct gate *g, struct descriptor *d)
{
    struct stack st = stack_current(v, in_long_mode(v));
    struct frame f = {.size = g->size};
    frame_push(&f, v->seg[SEG_CS].sel);
    frame_push(&f, v->next_rip);
    TRY(frame_check(v, &st, &f));
    TRY(code_target(v, d, &g->ip));
    TRY(descriptor_accessed(v, d));
    TRY(frame_write(v, &st, &f));
    v->gpr[RSP] = st.sp;
    code_enter(v, g->sel, d, v->cpl, g->ip);
    return CPU_OK;
}

enum outcome call_gate(struct vcpu *v, u16 sel, const struct descriptor *gate, bool call)
{
    struct gate g;
    struct descriptor d;
    TRY(gate_read(v, sel, gate, &g));
    TRY(gate_code(v, &g, &d, call));
    if (!call) {
        TRY(code_target(v, &d, &g.ip));
        TRY(descriptor_accessed(v, &d));
        code_enter(v, g.sel, &d, v->cpl, g.ip);
        return CPU_OK;
    }
    if (!descriptor_is_conforming(&d) && segment_dpl(d.attr) < v->cpl)
        return more_privilege(v, &g, &d);
    return same_privilege(v, &g, &d);
}
