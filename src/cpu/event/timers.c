/*
 * One host timer per vCPU serves all that wait for a time in the core: the local APIC's timer, VMX's preemption timer,
 * performance counters, Hyper-V's synthetic timers. Whoever changes one of their deadlines calls timers_update, on the
 * vCPU's own thread.
 */
#include "cpu/core/nested.h"
#include "cpu/core/world.h"
#include "cpu/event/lapic.h"
#include "cpu/event/perf.h"

void timers_update(struct vcpu *v)
{
    u64 first = lapic_deadline(v), perf = perf_deadline(v);
    if (perf && (!first || perf < first))
        first = perf;
    if (v->hv.deadline && (!first || v->hv.deadline < first))
        first = v->hv.deadline;
    if (v->in_guest && v->nested->deadline) {
        u64 other = v->nested->deadline(v);
        if (other && (!first || other < first))
            first = other;
    }
    world_timer_set(v, first);
}

void timers_tsc_changed(struct vcpu *v)
{
    lapic_tsc_changed(v);
    for (u32 i = 0; i < v->vm->vcpu_count; i++) /* clocks that are computed from it: whether they agree may change */
        request_set(v->vm->vcpu[i], REQ_PARAVIRT);
    if (v->in_guest && v->nested->tsc_changed)
        v->nested->tsc_changed(v);
    timers_update(v);
}
