/*
 * One host timer per vCPU serves all that wait for a time in the core: the local APIC's timer and VMX's preemption
 * timer.
 */
#include "cpu/lapic.h"
#include "cpu/vmx/vmx.h"
#include "cpu/world.h"

void timers_update(struct vcpu *v)
{
    u64 first = lapic_deadline(v);
    if (v->vmx && v->in_guest) {
        u64 other = vmx_deadline(v);
        if (other && (!first || other < first))
            first = other;
    }
    world_timer_set(v, first);
}
