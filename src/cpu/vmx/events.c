/*
 * Events that make L2 exit: exceptions by the exception bitmap, interrupts, NMIs and their windows, the preemption
 * timer, the monitor trap flag, TPR below threshold, EPT faults.
 * Source: Intel SDM volume 3C, "VMX Non-Root Operation", sections "Other Causes of VM Exits", "VMX-Preemption Timer",
 * "Monitor Trap Flag", "Changes in Event Blocking".
 */
#include "cpu/event/lapic.h"
#include "cpu/vmx/vmx.h"

_Static_assert(EVENT_EXTINT == INTR_TYPE_EXTINT && EVENT_NMI == INTR_TYPE_NMI &&
                   EVENT_EXCEPTION == INTR_TYPE_EXCEPTION && EVENT_SOFT_INT == INTR_TYPE_SOFT_INT &&
                   EVENT_PRIV_SOFT == INTR_TYPE_PRIV_SOFT && EVENT_SOFT_EXC == INTR_TYPE_SOFT_EXC,
               "event types are those of the interruption-information fields");

enum outcome vmx_exception(struct vcpu *v, const struct event *e)
{
    const struct vmcs *f = &v->vmx->f;
    if (e->type == EVENT_EXTINT || e->type == EVENT_NMI || e->type == EVENT_SOFT_INT)
        return CPU_OK;
    bool exits = f->exception_bitmap >> (e->vector & 31) & 1;
    if (e->vector == EXC_PF && (e->error & f->pf_mask) != f->pf_match)
        exits = !exits;
    if (!exits)
        return CPU_OK;
    u64 qualification = 0;
    if (e->vector == EXC_PF)
        qualification = e->payload;
    else if (e->vector == EXC_DB && e->type == EVENT_EXCEPTION)
        qualification = e->payload & (0xf | DR6_BD | DR6_BS);
    return vmx_exit_event(v, e, qualification);
}

static enum outcome exit_nmi(struct vcpu *v)
{
    const struct event nmi = {.valid = true, .vector = EXC_NMI, .type = EVENT_NMI};
    return vmx_exit_event(v, &nmi, 0);
}

static enum outcome exit_interrupt(struct vcpu *v)
{
    struct vmcs *f = &v->vmx->f;
    f->exit_intr_info = 0;
    if (f->exit_controls & EXITC_ACK_INTERRUPT) {
        int vector = lapic_ack(v);
        if (vector < 0)
            return CPU_OK;
        f->exit_intr_info = INTR_VALID | EVENT_EXTINT << INTR_TYPE_SHIFT | (u32)vector;
    }
    return vmx_exit(v, EXIT_EXTINT, 0);
}

enum outcome vmx_event(struct vcpu *v, enum nested_event what)
{
    const struct vmcs *f = &v->vmx->f;
    switch (what) {
    case NEV_INIT: return vmx_exit(v, EXIT_INIT, 0);
    case NEV_SIPI:
        if (v->activity != ACTIVITY_WAIT_SIPI)
            return CPU_OK;
        return vmx_exit(v, EXIT_SIPI, v->sipi_vector);
    case NEV_NMI: return f->pin & PIN_NMI_EXITING ? exit_nmi(v) : CPU_OK;
    case NEV_EXTINT: return f->pin & PIN_EXTINT_EXITING ? exit_interrupt(v) : CPU_OK;
    case NEV_TRIPLE_FAULT: return vmx_exit(v, EXIT_TRIPLE_FAULT, 0);
    case NEV_MTF: return f->proc & PROC_MONITOR_TRAP ? vmx_exit(v, EXIT_MONITOR_TRAP, 0) : CPU_OK;
    case NEV_SMI: break;
    }
    return CPU_OK;
}

bool vmx_intr_allowed(struct vcpu *v)
{
    if (v->in_guest) {
        if (v->inject.valid || v->activity == ACTIVITY_SHUTDOWN || v->activity == ACTIVITY_WAIT_SIPI)
            return false;
        if (v->vmx->f.pin & PIN_EXTINT_EXITING)
            return true;
    }
    return v->flags & FLAG_IF && !v->shadow;
}

bool vmx_nmi_allowed(struct vcpu *v)
{
    if (v->in_guest) {
        const struct vmx *x = v->vmx;
        if (v->inject.valid || v->activity == ACTIVITY_WAIT_SIPI)
            return false;
        if (x->f.pin & PIN_VIRTUAL_NMIS)
            return true;
        if (x->f.pin & PIN_NMI_EXITING)
            return !x->nmi_held;
    }
    /* SDM "STI": a processor may hold off NMIs too after STI. In L1 this one does, because test programs check it. */
    return !v->nmi_blocked && !(v->shadow & (v->in_guest ? SHADOW_MOVSS : SHADOW_MOVSS | SHADOW_STI));
}

/* The window that L1 asked for is shut: events_process looks again when IF, the shadow or blocking by NMI changes. */
static enum outcome wait_window(struct vcpu *v)
{
    v->intr_masked = true;
    return CPU_OK;
}

static bool timer_expired(struct vcpu *v)
{
    return v->vmx->timer_on && !v->step_owed && tsc_read_l1(v) >> VMX_TIMER_SHIFT >= v->vmx->timer_end;
}

enum outcome vmx_windows(struct vcpu *v)
{
    struct vmx *x = v->vmx;
    const struct vmcs *f = &x->f;
    if (v->inject.valid) /* nothing comes between VM entry and the event that it injects */
        return CPU_OK;
    if (x->tpr_pending)
        return vmx_exit(v, EXIT_TPR_BELOW_THRESHOLD, 0);
    if (x->mtf_pending)
        return vmx_exit(v, EXIT_MONITOR_TRAP, 0);
    if (v->activity == ACTIVITY_WAIT_SIPI)
        return CPU_OK;
    if (timer_expired(v))
        return vmx_exit(v, EXIT_PREEMPTION_TIMER, 0);
    if (f->proc & PROC_NMI_WINDOW) {
        if (!v->nmi_blocked && !(v->shadow & SHADOW_MOVSS))
            return vmx_exit(v, EXIT_NMI_WINDOW, 0);
        wait_window(v);
    }
    if (f->proc & PROC_INTERRUPT_WINDOW && v->activity != ACTIVITY_SHUTDOWN) {
        bool nmi_first = v->nmi_pending && vmx_nmi_allowed(v);
        if (v->flags & FLAG_IF && !v->shadow && !nmi_first)
            return vmx_exit(v, EXIT_INTERRUPT_WINDOW, 0);
        wait_window(v);
    }
    return CPU_OK;
}

enum outcome vmx_stage2(struct vcpu *v, const struct stage2_fault *s)
{
    struct vmx *x = v->vmx;
    struct vmcs *f = &x->f;
    f->guest_physical = s->gpa.a;
    f->guest_linear = s->la_valid ? s->la : 0;
    bool unblocked = vmx_iret_unblocked(v);
    if (s->misconfig)
        return vmx_exit_fault(v, EXIT_EPT_MISCONFIG, 0);
    u64 q = s->access & ACCESS_FETCH ? EPTQ_FETCH : s->access & ACCESS_WRITE ? EPTQ_WRITE : EPTQ_READ;
    /* A write to L2's paging structures sets a flag in an entry that was read before. With accessed and dirty flags
     * for EPT, every read of them counts as a write too. */
    if (!s->final && (f->eptp & EPTP_AD || s->access & ACCESS_WRITE))
        q = EPTQ_READ | EPTQ_WRITE;
    u32 perms = x->proc2 & PROC2_MODE_BASED_EXECUTE ? GRANT_ALL : GRANT_ALL & ~GRANT_FETCH_USER;
    q |= (u64)(s->perms & perms) << EPTQ_PERMS_SHIFT;
    if (s->la_valid)
        q |= EPTQ_LA_VALID | (s->final ? EPTQ_FINAL : 0);
    if (unblocked)
        q |= EPTQ_NMI_UNBLOCKING;
    return vmx_exit_fault(v, EXIT_EPT_VIOLATION, q);
}

void vmx_tsc_changed(struct vcpu *v)
{
    struct vmx *x = v->vmx;
    x->timer_deadline = x->timer_on ? tsc_to_ns(v, x->timer_end << VMX_TIMER_SHIFT) : 0;
}

/* A timer of 0 expires before L2's first instruction; any other lets at least that one run, however short it is. */
void vmx_timer_start(struct vcpu *v, u32 value)
{
    struct vmx *x = v->vmx;
    v->step_owed = value && v->activity == ACTIVITY_ACTIVE;
    x->timer_end = (tsc_read_l1(v) >> VMX_TIMER_SHIFT) + value;
    x->timer_on = true;
    vmx_tsc_changed(v);
    timers_update(v);
}

u32 vmx_timer_value(struct vcpu *v)
{
    struct vmx *x = v->vmx;
    if (!x->timer_on)
        return x->f.guest_preemption_timer;
    u64 now = tsc_read_l1(v) >> VMX_TIMER_SHIFT;
    return now < x->timer_end ? (u32)(x->timer_end - now) : 0;
}

/* The host's timer comes late by the time that a signal takes. L2 must not be able to see that in its TSC. */
void vmx_tsc_seen(struct vcpu *v)
{
    if (timer_expired(v))
        request_raise(v, REQ_EVENT);
}

u64 vmx_deadline(const struct vcpu *v)
{
    const struct vmx *x = v->vmx;
    return x->timer_on ? x->timer_deadline : 0;
}

void vmx_timer(struct vcpu *v)
{
    if (!v->vmx->timer_on)
        return;
    if (timer_expired(v))
        request_raise(v, REQ_EVENT);
    else
        timers_update(v);
}
