/*
 * One attempt to enter an event's handler: real-mode vector table, 16- and 32-bit gates with or without a stack switch,
 * out of virtual-8086 mode, task gates, 64-bit gates with IST.
 *
 * Nothing changes before the last check but accessed bits. A fault is left in v->fault for exception.c, which adds the
 * EXT bit and decides between delivery, double fault and shutdown.
 *
 * Source: SDM vol. 2 "INT n/INTO/INT3/INT1", operation section; vol. 3A "Interrupt and Exception Handling";
 * "Handling Interrupts and Exceptions in Virtual-8086 Mode".
 */
#include "cpu/event/exception.h"
#include "cpu/event/frame.h"

struct delivery {
    const struct event *e;
    u64 ip;     /* to push */
    u64 flags;  /* to push */
    u16 cs;     /* gate's */
    u64 target; /* gate's */
    unsigned size;
    unsigned ist;
    bool trap;
    struct descriptor code;
};

static bool is_software(const struct event *e)
{
    return e->type == EVENT_SOFT_INT || e->type == EVENT_SOFT_EXC;
}

/* The 8086 way: FLAGS, CS, IP as words, and the table's new CS:IP. `clear`: flags that end. */
static enum outcome enter_8086(struct vcpu *v, u64 table, u8 vector, u64 ip, u64 flags, u64 clear)
{
    u32 entry;
    u64 la = table + vector * 4u;
    enum access access = in_v86(v) ? ACCESS_READ : ACCESS_READ | ACCESS_IMPLICIT;
    TRY(mem_read(v, (u32)la, &entry, 4, access));
    struct stack st = stack_current(v, false);
    struct frame f = {.size = 2};
    frame_push(&f, flags);
    frame_push(&f, v->seg[SEG_CS].sel);
    frame_push(&f, ip);
    TRY(frame_check(v, &st, &f));
    TRY(code_target_real(v, entry & 0xffff));
    TRY(frame_write(v, &st, &f));
    v->gpr[RSP] = st.sp;
    segment_load_real(v, SEG_CS, (u16)(entry >> 16));
    v->next_rip = entry & 0xffff;
    rflags_store(v, rflags_get(v) & ~clear);
    mode_update(v);
    return CPU_OK;
}

/* INT n in virtual-8086 mode with CR4.VME: does the redirection bitmap in the TSS keep it in the 8086 program? */
static enum outcome v86_redirected(struct vcpu *v, u8 vector, bool *redirected)
{
    const struct segment *tr = &v->seg[SEG_TR];
    u16 map;
    u8 bits;
    if (tr->limit < TSS_LIMIT_LEAST)
        return raise_gp(v, 0);
    TRY(mem_read(v, (u32)(tr->base + TSS_IO_MAP_BASE), &map, 2, ACCESS_READ | ACCESS_IMPLICIT));
    u32 offset = map - 32u + vector / 8;
    if (offset > tr->limit)
        return raise_gp(v, 0);
    TRY(mem_read(v, (u32)(tr->base + offset), &bits, 1, ACCESS_READ | ACCESS_IMPLICIT));
    *redirected = !(bits >> vector % 8 & 1);
    return CPU_OK;
}

/* INT n in virtual-8086 mode. *done: the 8086 program's own handler was entered. */
static enum outcome deliver_v86(struct vcpu *v, const struct delivery *x, bool *done)
{
    u8 vector = x->e->vector;
    *done = false;
    if (v->cr4 & CR4_VME)
        TRY(v86_redirected(v, vector, done));
    if (!*done)
        return iopl(v) == 3 ? CPU_OK : raise_gp(v, 0);
    if (iopl(v) == 3)
        return enter_8086(v, 0, vector, x->ip, x->flags, FLAG_IF | FLAG_TF | FLAG_RF);
    u64 image = (x->flags & ~FLAG_IF) | FLAG_IOPL | (x->flags & FLAG_VIF ? FLAG_IF : 0);
    return enter_8086(v, 0, vector, x->ip, image, FLAG_VIF | FLAG_TF | FLAG_RF);
}

static enum outcome deliver_real(struct vcpu *v, const struct delivery *x)
{
    u8 vector = x->e->vector;
    if (vector * 4u + 3 > v->idtr.limit)
        return raise_gp(v, vector * 8u | ERROR_IDT);
    return enter_8086(v, v->idtr.base, vector, x->ip, x->flags, FLAG_IF | FLAG_TF | FLAG_AC | FLAG_RF);
}

static enum outcome gate_read(struct vcpu *v, struct delivery *x, u64 *gate)
{
    const struct event *e = x->e;
    bool wide = in_long_mode(v);
    u32 error = e->vector * 8u | ERROR_IDT;
    u32 offset = e->vector * (wide ? 16u : 8u);
    u64 raw[2] = {0, 0};
    if (offset + (wide ? 15 : 7) > v->idtr.limit)
        return raise_gp(v, error);
    u64 la = v->idtr.base + offset;
    TRY(mem_read(v, wide ? la : (u32)la, raw, wide ? 16 : 8, ACCESS_READ | ACCESS_IMPLICIT));
    *gate = raw[0];
    u32 attr = raw[0] >> 40 & 0xff;
    u32 type = attr & (SEG_S | SEG_TYPE_MASK);
    bool task = type == SYS_TASK_GATE;
    bool gate16 = type == SYS_INT_GATE16 || type == SYS_TRAP_GATE16;
    bool gate32 = type == SYS_INT_GATE || type == SYS_TRAP_GATE;
    if (!gate32 && (wide || !(task || gate16)))
        return raise_gp(v, error);
    if (wide && raw[1] >> 32 & DESCRIPTOR_TYPE)
        return raise_gp(v, error);
    if (is_software(e) && segment_dpl(attr) < v->cpl)
        return raise_gp(v, error);
    if (!(attr & SEG_P))
        return raise_np(v, error);
    x->cs = (u16)(raw[0] >> 16);
    x->target = raw[0] & 0xffff;
    if (!gate16)
        x->target |= raw[0] >> 32 & 0xffff0000;
    if (wide)
        x->target |= raw[1] << 32;
    x->ist = wide ? raw[0] >> 32 & 7 : 0;
    x->size = wide ? 8 : gate16 ? 2 : 4;
    x->trap = type & 1;
    return CPU_OK;
}

/* The handler's code segment. */
static enum outcome gate_code(struct vcpu *v, struct delivery *x)
{
    struct descriptor *d = &x->code;
    u32 error = x->cs & ~SEL_RPL;
    if (sel_null(x->cs))
        return raise_gp(v, 0);
    TRY(descriptor_read(v, x->cs, d, EXC_GP));
    if (!descriptor_is_code(d) || segment_dpl(d->attr) > v->cpl)
        return raise_gp(v, error);
    if (in_long_mode(v) && (d->attr & (SEG_L | SEG_DB)) != SEG_L)
        return raise_gp(v, error);
    if (!(d->attr & SEG_P))
        return raise_np(v, error);
    if (in_v86(v) && (descriptor_is_conforming(d) || segment_dpl(d->attr) != 0))
        return raise_gp(v, error);
    return CPU_OK;
}

static void push_common(struct vcpu *v, struct frame *f, const struct delivery *x)
{
    frame_push(f, x->flags);
    frame_push(f, v->seg[SEG_CS].sel);
    frame_push(f, x->ip);
    if (x->e->has_error)
        frame_push(f, x->e->error);
}

static void enter(struct vcpu *v, const struct delivery *x, const struct stack *st, u32 cpl)
{
    u64 clear = FLAG_TF | FLAG_NT | FLAG_RF | FLAG_VM | (x->trap ? 0 : FLAG_IF);
    v->gpr[RSP] = st->sp;
    rflags_store(v, rflags_get(v) & ~clear);
    code_enter(v, x->cs, &x->code, cpl, x->target);
}

static enum outcome deliver_inner(struct vcpu *v, struct delivery *x, u32 cpl)
{
    static const u8 data[] = {SEG_GS, SEG_FS, SEG_DS, SEG_ES};
    bool v86 = in_v86(v);
    struct stack st;
    TRY(stack_inner(v, cpl, x->ist, &st));
    if (st.asize == 8)
        st.sp &= ~15ull;
    struct frame f = {.size = x->size};
    if (v86)
        for (unsigned i = 0; i < ARRAY_LEN(data); i++)
            frame_push(&f, v->seg[data[i]].sel);
    frame_push(&f, v->seg[SEG_SS].sel);
    frame_push(&f, v->gpr[RSP]);
    push_common(v, &f, x);
    TRY(frame_to_code(v, &st, &f, &x->code, &x->target));
    if (v86)
        for (unsigned i = 0; i < ARRAY_LEN(data); i++)
            v->seg[data[i]] = (struct segment){.attr = SEG_UNUSABLE};
    v->seg[SEG_SS] = st.seg;
    enter(v, x, &st, cpl);
    return CPU_OK;
}

static enum outcome deliver_same(struct vcpu *v, struct delivery *x)
{
    bool wide = in_long_mode(v);
    struct stack st = stack_current(v, wide);
    struct frame f = {.size = x->size};
    if (wide) {
        if (x->ist) {
            struct stack ist;
            TRY(stack_inner(v, v->cpl, x->ist, &ist));
            st.sp = ist.sp;
        }
        st.sp &= ~15ull;
        frame_push(&f, v->seg[SEG_SS].sel);
        frame_push(&f, v->gpr[RSP]);
    }
    push_common(v, &f, x);
    TRY(frame_to_code(v, &st, &f, &x->code, &x->target));
    enter(v, x, &st, v->cpl);
    return CPU_OK;
}

static enum outcome deliver_task(struct vcpu *v, const struct delivery *x, u16 tss)
{
    v->next_rip = x->ip;
    return task_enter(v, tss, TASK_GATE, x->e->has_error, x->e->error, x->flags);
}

enum outcome idt_deliver(struct vcpu *v, const struct event *e, u64 return_ip, u64 rflags)
{
    struct delivery x = {.e = e, .ip = return_ip, .flags = rflags};
    u64 gate;
    if (!in_protected(v))
        return deliver_real(v, &x);
    if (in_v86(v) && e->type == EVENT_SOFT_INT) {
        bool done;
        TRY(deliver_v86(v, &x, &done));
        if (done)
            return CPU_OK;
    }
    TRY(gate_read(v, &x, &gate));
    if ((gate >> 40 & (SEG_S | SEG_TYPE_MASK)) == SYS_TASK_GATE)
        return deliver_task(v, &x, x.cs);
    TRY(gate_code(v, &x));
    u32 dpl = segment_dpl(x.code.attr);
    if (!descriptor_is_conforming(&x.code) && dpl < v->cpl)
        return deliver_inner(v, &x, dpl);
    return deliver_same(v, &x);
}
