/*
 * What happens between instructions. The dispatcher calls events_process on the vCPU's thread when REQ_EVENT is set; it
 * delivers at most one event, the one with the highest priority.
 *
 * REQ_EVENT is taken away before anything is looked at, so an event that arrives meanwhile asks for another look. An
 * interrupt that waits for IF, the shadow, TPR or GIF leaves intr_masked behind, and what changes one of them calls
 * event_recheck. After a delivery REQ_EVENT is set again: more may be pending.
 *
 * Source: SDM vol. 3A "Priority Among Concurrent Events", vol. 3C "Other Causes of VM Exits"; APM vol. 2 "Interrupt
 * Priority", "Global Interrupt Flag".
 */
#include "cpu/core/nested.h"
#include "cpu/core/upcalls.h"
#include "cpu/event/exception.h"
#include "cpu/event/lapic.h"
#include "cpu/event/reset.h"
#include "cpu/event/smm.h"
#include "cpu/mmu/mode.h"
#include "x86/vmcb.h"

static bool take(bool *pending)
{
    return __atomic_exchange_n(pending, false, __ATOMIC_SEQ_CST);
}

static bool waits(const bool *pending)
{
    return __atomic_load_n(pending, __ATOMIC_SEQ_CST);
}

static void look_again(struct vcpu *v)
{
    request_raise(v, REQ_EVENT);
}

static enum outcome deliver(struct vcpu *v, const struct event *e)
{
    struct event copy = *e;
    v->inject.valid = false;
    look_again(v);
    TRY(event_deliver(v, &copy));
    return nested_stepping(v) ? v->nested->event(v, NEV_MTF) : CPU_OK;
}

static enum outcome take_init(struct vcpu *v)
{
    take(&v->init_pending);
    look_again(v);
    if (v->in_guest)
        TRY(v->nested->event(v, NEV_INIT));
    if (v->vm->vendor == VENDOR_AMD && v->vm_cr & VM_CR_R_INIT)
        return raise_event(v, EXC_SX, true, 1, 0);
    reset_vcpu(v, true);
    return CPU_OK;
}

/* Waiting for SIPI: everything else stays pending. */
static enum outcome wait_sipi(struct vcpu *v)
{
    if (!take(&v->sipi_pending))
        return CPU_OK;
    look_again(v);
    if (v->in_guest)
        TRY(v->nested->event(v, NEV_SIPI));
    struct segment *cs = &v->seg[SEG_CS];
    cs->sel = (u16)(v->sipi_vector << 8);
    cs->base = (u64)v->sipi_vector << 12;
    v->rip = v->next_rip = 0;
    v->activity = ACTIVITY_ACTIVE;
    mode_update(v);
    return CPU_OK;
}

static enum outcome take_trap(struct vcpu *v)
{
    u64 bits = v->trap_dr6;
    v->trap_pending = false;
    v->trap_dr6 = 0;
    if (!v->gif)
        bits &= ~DR6_B_MASK;
    if (!bits)
        return CPU_OK;
    look_again(v);
    v->activity = ACTIVITY_ACTIVE;
    return raise_db(v, bits);
}

static bool nmi_allowed(struct vcpu *v)
{
    return v->nested ? v->nested->nmi_allowed(v) : !v->nmi_blocked && !v->shadow;
}

static bool init_blocked(const struct vcpu *v)
{
    return v->nested && v->nested->init_blocked && v->nested->init_blocked(v);
}

static bool intr_allowed(struct vcpu *v)
{
    return v->nested ? v->nested->intr_allowed(v) : v->flags & FLAG_IF && !v->shadow;
}

static enum outcome take_nmi(struct vcpu *v)
{
    const struct event nmi = {.valid = true, .vector = EXC_NMI, .type = EVENT_NMI};
    __atomic_fetch_sub(&v->nmi_pending, 1, __ATOMIC_SEQ_CST);
    foreign_event(v);
    if (v->in_guest)
        TRY(v->nested->event(v, NEV_NMI));
    return deliver(v, &nmi);
}

/* It stays pending if L2 exits because of it. */
static enum outcome take_smi(struct vcpu *v)
{
    foreign_event(v);
    if (v->in_guest)
        TRY(v->nested->event(v, NEV_SMI));
    take(&v->smi_pending);
    look_again(v);
    if (v->vm->smm)
        smm_enter(v);
    return CPU_OK;
}

bool events_push_taken(struct vcpu *v)
{
    return lapic_takes_push(v) && !v->pushed && intr_allowed(v) && !v->inject.valid && !v->raised.valid &&
           !v->trap_pending && v->activity != ACTIVITY_SHUTDOWN && v->activity != ACTIVITY_WAIT_SIPI;
}

/* The caller waits for the moment at which a vector of its own would be taken. */
static enum outcome window(struct vcpu *v)
{
    if (!events_push_taken(v)) {
        v->intr_masked = true;
        return CPU_OK;
    }
    v->exit = CPU_EXIT_WINDOW;
    return CPU_EXIT;
}

static enum outcome take_interrupt(struct vcpu *v)
{
    bool extint = false;
    if (v->activity == ACTIVITY_SHUTDOWN)
        return CPU_OK;
    if (lapic_pending(v, &extint) < 0 && !extint)
        return unlikely(v->window) ? window(v) : CPU_OK;
    if (v->activity == ACTIVITY_MWAIT) /* ECX bit 0 asks for it; waking for no reason is permitted */
        v->activity = ACTIVITY_ACTIVE;
    if (!intr_allowed(v)) {
        v->intr_masked = true;
        return CPU_OK;
    }
    foreign_event(v);
    if (v->in_guest)
        TRY(v->nested->event(v, NEV_EXTINT));
    int vector = lapic_ack(v);
    if (vector < 0)
        return CPU_OK;
    const struct event e = {.valid = true, .vector = (u8)vector, .type = EVENT_EXTINT};
    return deliver(v, &e);
}

enum outcome events_process(struct vcpu *v)
{
    __atomic_fetch_and(&v->request, ~REQ_EVENT, __ATOMIC_SEQ_CST);
    v->intr_masked = false;
    bool sipi = waits(&v->sipi_pending); /* looked at first: an INIT that came before it is seen below */
    if (v->activity == ACTIVITY_FERR && __atomic_load_n(&v->ignne, __ATOMIC_SEQ_CST))
        v->activity = ACTIVITY_ACTIVE;
    if (unlikely(v->triple_fault)) {
        v->triple_fault = false;
        look_again(v);
        return exception_triple_fault(v);
    }
    if (unlikely(v->raised.valid)) {
        v->fault = v->raised;
        v->raised.valid = false;
        look_again(v);
        return CPU_FAULT;
    }
    if (v->inject.valid)
        return deliver(v, &v->inject);
    if (v->activity != ACTIVITY_ACTIVE && v->shadow) {
        v->shadow = 0;
        mode_update(v);
    }
    bool init = waits(&v->init_pending) && v->gif && !init_blocked(v);
    if (init && !v->smm.on && v->activity != ACTIVITY_WAIT_SIPI)
        return take_init(v);
    if (v->activity == ACTIVITY_WAIT_SIPI) {
        if (!v->in_guest)
            take(&v->init_pending);
        return wait_sipi(v);
    }
    /* Who does not wait for a SIPI loses it. Behind an INIT that SMM holds back it stays: firmware counts on CPUs that
     * leave SMM together, but the host may have given this one no time. */
    if (sipi && !init)
        take(&v->sipi_pending);
    if (v->trap_pending && !(v->shadow & SHADOW_MOVSS))
        TRY(take_trap(v));
    if (unlikely(v->debug.on & CPU_DEBUG_NO_IRQ))
        return CPU_OK;
    if (waits(&v->smi_pending) && v->gif && !v->smm.on && !v->trap_pending)
        return take_smi(v);
    if (v->in_guest) {
        TRY(v->nested->windows(v));
        if (v->inject.valid)
            return deliver(v, &v->inject);
    }
    if (__atomic_load_n(&v->nmi_pending, __ATOMIC_SEQ_CST)) {
        if (nmi_allowed(v))
            return take_nmi(v);
        v->intr_masked = true;
    }
    return take_interrupt(v);
}
