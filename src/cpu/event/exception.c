/*
 * From a raised fault, an asynchronous event or an injected one to its handler's first instruction.
 *
 * A delivery may fault itself. L1 is asked about the second fault as about any other; if L2 gets it, it replaces the
 * first (benign), becomes a double fault (contributory and page faults) or ends in a triple fault. v->delivering holds
 * the event of the delivery in progress, so an exit out of the middle finds its IDT-vectoring information there.
 *
 * Source: SDM vol. 3A "Interrupt 8—Double Fault Exception (#DF)", "Error Code", "Resume Flag"; APM vol. 2 "Double
 * Fault".
 */
#include "cpu/event/exception.h"

#include "cpu/core/insn.h"
#include "cpu/core/nested.h"
#include "cpu/core/stats.h"
#include "cpu/event/debug.h"
#include "cpu/event/ferr.h"
#include "cpu/event/frame.h"
#include "x86/msr.h"

void iret_unblock(struct vcpu *v)
{
    if (!v->iret_unblocks)
        return;
    v->iret_unblocks = false;
    v->nmi_blocked = false;
    request_raise(v, REQ_EVENT);
}

enum fault_class { CLASS_BENIGN, CLASS_CONTRIBUTORY, CLASS_PAGE };

static enum fault_class fault_class(const struct vcpu *v, const struct event *e)
{
    if (e->type != EVENT_EXCEPTION)
        return CLASS_BENIGN;
    switch (e->vector) {
    case EXC_DE:
    case EXC_TS:
    case EXC_NP:
    case EXC_SS:
    case EXC_GP:
    case EXC_CP: return CLASS_CONTRIBUTORY;
    case EXC_VC: return v->vm->vendor == VENDOR_AMD ? CLASS_CONTRIBUTORY : CLASS_BENIGN;
    case EXC_PF:
    case EXC_VE: return CLASS_PAGE;
    default: return CLASS_BENIGN;
    }
}

/* EXT: the fault happened on the way to the handler of something that the program did not ask for; to AMD's processors
 * the exceptions of its own instructions are not external. */
static void add_ext(const struct vcpu *v, struct event *fault, const struct event *first)
{
    bool external = first->type != EVENT_SOFT_INT && first->type != EVENT_SOFT_EXC;
    if (v->vm->vendor == VENDOR_AMD)
        external = first->type == EVENT_EXTINT || first->type == EVENT_NMI;
    if (external && fault->vector >= EXC_TS && fault->vector <= EXC_GP)
        fault->error |= ERROR_EXT;
}

enum outcome exception_triple_fault(struct vcpu *v)
{
    v->delivering.valid = false;
    if (v->in_guest)
        TRY(v->nested->event(v, NEV_TRIPLE_FAULT));
    v->exit = CPU_EXIT_SHUTDOWN;
    return CPU_EXIT;
}

/* What a recognized exception leaves in registers besides the frame. */
static void record(struct vcpu *v, const struct event *e)
{
    if (e->vector == EXC_PF) {
        v->cr2 = e->payload;
    } else if (e->vector == EXC_DB) {
        v->dr6 = (v->dr6 & ~DR6_B_MASK) | e->payload;
        v->dr7 &= ~DR7_GD;
        v->debugctl &= ~(DEBUGCTL_LBR | DEBUGCTL_BTF);
    }
}

u64 exception_flags(const struct vcpu *v, const struct event *e)
{
    u64 flags = rflags_get(v);
    if (e->type != EVENT_EXCEPTION)
        return flags & ~FLAG_RF;
    bool fault = e->vector != EXC_DB && e->vector != EXC_DF && e->vector != EXC_MC;
    return fault ? flags | FLAG_RF : flags;
}

/* v->fault came up while `first` was delivered: what to deliver now goes to *next. */
static enum outcome combine(struct vcpu *v, const struct event *first, struct event *next)
{
    struct event second = v->fault;
    enum fault_class was = fault_class(v, first), is = fault_class(v, &second);
    add_ext(v, &second, first);
    if (v->in_guest)
        TRY(v->nested->exception(v, &second));
    bool df = first->type == EVENT_EXCEPTION && first->vector == EXC_DF;
    if (df && is != CLASS_BENIGN)
        return exception_triple_fault(v);
    record(v, &second);
    *next = second;
    if ((was == CLASS_CONTRIBUTORY && is == CLASS_CONTRIBUTORY) || (was == CLASS_PAGE && is != CLASS_BENIGN)) {
        *next = (struct event){.valid = true, .has_error = true, .vector = EXC_DF, .type = EVENT_EXCEPTION};
        if (v->in_guest)
            TRY(v->nested->exception(v, next));
    }
    return CPU_OK;
}

/* Delivers `e` or what it turns into. The frame of `e` itself holds ip and flags, that of a later fault v->rip. */
static enum outcome deliver(struct vcpu *v, struct event e, u64 ip, u64 flags)
{
    bool recording = v->debugctl & DEBUGCTL_LBR;
    u64 from = v->rip;
    for (;;) {
        struct event next;
        v->delivering = e;
        v->delivering.rf = flags & FLAG_RF;
        enum outcome r = idt_deliver(v, &e, ip, flags);
        if (r == CPU_FAULT)
            r = combine(v, &e, &next);
        else if (r == CPU_OK)
            break;
        if (r != CPU_OK) {
            v->delivering.valid = false;
            return r;
        }
        e = next;
        ip = v->rip;
        flags = exception_flags(v, &e);
    }
    v->delivering.valid = false;
    if (recording) {
        v->lbr[2] = from;
        v->lbr[3] = v->next_rip;
    }
    v->rip = v->next_rip;
    v->step_trap = false;
    v->activity = ACTIVITY_ACTIVE;
    debug_drop_held_step(v);
    if (v->shadow) {
        v->shadow = 0;
        mode_update(v);
    }
    return CPU_OK;
}

enum outcome exception_deliver(struct vcpu *v)
{
    struct event e = v->fault;
    v->fault.valid = false;
    if (unlikely(ferr_instead(v, &e)))
        return ferr_raise(v);
    u64 held = debug_take_held(v);
    if (e.vector == EXC_DB)
        e.payload |= held;
    if (v->in_guest)
        TRY(v->nested->exception(v, &e));
    iret_unblock(v);
    record(v, &e);
    TRY(deliver(v, e, v->rip, exception_flags(v, &e)));
    return nested_stepping(v) ? v->nested->event(v, NEV_MTF) : CPU_OK;
}

enum outcome event_deliver(struct vcpu *v, const struct event *e)
{
    struct event x = *e;
    bool soft = x.type == EVENT_SOFT_INT || x.type == EVENT_SOFT_EXC || x.type == EVENT_PRIV_SOFT;
    if (x.type == EVENT_NMI)
        v->nmi_blocked = true;
    return deliver(v, x, soft ? v->rip + x.insn_len : v->rip, rflags_get(v));
}

enum outcome soft_interrupt(struct vcpu *v, u8 vector, enum event_type type)
{
    struct event e = {.valid = true, .vector = vector, .type = (u8)type, .insn_len = (u8)(v->next_rip - v->rip)};
    if (v->in_guest && type != EVENT_SOFT_INT)
        TRY(v->nested->exception(v, &e));
    if (type == EVENT_PRIV_SOFT) {
        e.payload = debug_take_held(v);
        record(v, &e);
    }
    return deliver(v, e, v->next_rip, exception_flags(v, &e));
}

void settle(struct vcpu *v, enum outcome out)
{
    while (out == CPU_FAULT) {
        v->stat[STAT_FAULT]++;
        out = exception_deliver(v);
    }
}
