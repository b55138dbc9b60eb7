/*
 * AMD's four legacy performance counters. They have no CPUID bit, and every kernel for AMD's processors uses them.
 * Counted are the cycles that the vCPU is not halted, by the TSC; counters of any other event stand still.
 * Source: APM volume 2, "Performance Monitoring Counters", "Performance Event-Select Registers".
 */
#ifndef CPU_EVENT_PERF_H
#define CPU_EVENT_PERF_H

#include "cpu/core/vcpu.h"

/* MSR_K7_EVNTSEL0 to MSR_K7_PERFCTR3: first the selects, then the counters. */
u64 *perf_slot(struct vcpu *v, u32 msr);
MUST_CHECK enum outcome perf_read(struct vcpu *v, u32 msr, u64 *value);
MUST_CHECK enum outcome perf_write(struct vcpu *v, u32 msr, u64 value);

/* Counting begins and ends: the vCPU runs, halts, leaves cpu_run. Between perf_end and perf_begin no time counts. */
void perf_begin(struct vcpu *v);
void perf_end(struct vcpu *v);
/* L2 was entered or left. */
void perf_switch(struct vcpu *v);
static inline void perf_level_changed(struct vcpu *v)
{
    if (unlikely(v->perf_split))
        perf_switch(v);
}

/* The host's timer: when a counter that interrupts may overflow, 0 for never; and that this time has come. */
u64 perf_deadline(const struct vcpu *v);
void perf_timer(struct vcpu *v);

#endif
