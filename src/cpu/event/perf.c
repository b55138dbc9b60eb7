/*
 * A counter's field is its value when the vCPU last accounted (perf_since, in host TSC); time in L2 is kept apart while
 * a counter asks for it. So counting costs nothing where the guest counts nothing, and one RDTSC at a VM entry or exit
 * at most. User and supervisor mode are not told apart: a counter of either counts both. Rejected: instructions, which
 * would be an addition in each block.
 *
 * An overflow interrupts at the host's timer. That is set as if the counter ran all the time; if it did not, the rest
 * is waited for again.
 */
#include "cpu/event/perf.h"

#include "cpu/core/world.h"
#include "cpu/event/lapic.h"
#include "x86/msr.h"

#define COUNTER_BITS 48
#define COUNTER_MASK (BIT64(COUNTER_BITS) - 1)
#define SELECT_WRITABLE 0x30fffd7ffffull
#define SELECT_EVENT(s) (((s)&0xff) | ((s) >> 24 & 0xf00))
#define SELECT_MODES (BIT64(16) | BIT64(17)) /* user, OS */
#define SELECT_EDGE BIT64(18)
#define SELECT_INT BIT64(20)
#define SELECT_ENABLE BIT64(22)
#define SELECT_INVERT BIT64(23)
#define SELECT_THRESHOLD(s) ((s) >> 24 & 0xff)
#define SELECT_GUEST BIT64(40)
#define SELECT_HOST BIT64(41)
#define EVENT_CYCLES 0x76

#define LOOK_NS 1000000 /* at a counter that does not run now */

static u64 host_tsc(void)
{
    return __builtin_ia32_rdtsc();
}

static bool counts_cycles(u64 select)
{
    return select & SELECT_ENABLE && select & SELECT_MODES && SELECT_EVENT(select) == EVENT_CYCLES &&
           !(select & (SELECT_EDGE | SELECT_INVERT)) && SELECT_THRESHOLD(select) <= 1;
}

/* Counts in L1 only, or in L2 only. */
static bool is_split(u64 select)
{
    u64 levels = select & (SELECT_GUEST | SELECT_HOST);
    return levels && levels != (SELECT_GUEST | SELECT_HOST);
}

/* Adds the time since the last call to what runs. */
static void account(struct vcpu *v)
{
    u64 now = host_tsc(), passed = now - v->perf_since;
    u64 guest = v->perf_guest + (v->in_guest ? now - v->perf_entered : 0);
    v->perf_since = v->perf_entered = now;
    v->perf_guest = 0;
    for (unsigned i = 0; i < PERF_COUNTERS; i++) {
        u64 select = v->perf_select[i];
        if (!(v->perf_runs >> i & 1))
            continue;
        u64 sum = v->perf_counter[i] + (!is_split(select) ? passed : select & SELECT_GUEST ? guest : passed - guest);
        v->perf_counter[i] = sum & COUNTER_MASK;
        if (sum >> COUNTER_BITS && select & SELECT_INT)
            apic_perf(v);
    }
}

static void choose(struct vcpu *v)
{
    v->perf_runs = 0;
    v->perf_split = false;
    for (unsigned i = 0; i < PERF_COUNTERS; i++) {
        bool runs = counts_cycles(v->perf_select[i]);
        v->perf_runs |= (u8)(runs << i);
        v->perf_split |= runs && is_split(v->perf_select[i]);
    }
}

/* Sets perf_due. */
static void plan(struct vcpu *v)
{
    v->perf_due = 0;
    for (unsigned i = 0; i < PERF_COUNTERS; i++) {
        u64 select = v->perf_select[i];
        if (!(v->perf_runs >> i & 1) || !(select & SELECT_INT))
            continue;
        u64 left = BIT64(COUNTER_BITS) - v->perf_counter[i]; /* of the host's ticks */
        u64 due = tsc_to_ns(v, tsc_read_l1(v) + tsc_scaled(v, left));
        bool here = !is_split(select) || select & (v->in_guest ? SELECT_GUEST : SELECT_HOST);
        if (!here || v->activity != ACTIVITY_ACTIVE) {
            u64 look = world_now_ns(v) + LOOK_NS;
            due = due < look ? look : due;
        }
        if (!v->perf_due || due < v->perf_due)
            v->perf_due = due;
    }
    timers_update(v);
}

u64 *perf_slot(struct vcpu *v, u32 msr)
{
    u32 i = msr - MSR_K7_EVNTSEL0;
    return i < PERF_COUNTERS ? &v->perf_select[i] : &v->perf_counter[i - PERF_COUNTERS];
}

enum outcome perf_read(struct vcpu *v, u32 msr, u64 *value)
{
    account(v);
    *value = *perf_slot(v, msr);
    return CPU_OK;
}

enum outcome perf_write(struct vcpu *v, u32 msr, u64 value)
{
    account(v);
    *perf_slot(v, msr) = value & (msr < MSR_K7_EVNTSEL0 + PERF_COUNTERS ? SELECT_WRITABLE : COUNTER_MASK);
    choose(v);
    plan(v);
    return CPU_OK;
}

void perf_begin(struct vcpu *v)
{
    v->perf_since = v->perf_entered = host_tsc();
    v->perf_guest = 0;
    choose(v);
    if (v->perf_runs)
        plan(v); /* counters may have been set meanwhile */
}

void perf_end(struct vcpu *v)
{
    if (v->perf_runs)
        account(v);
    v->perf_runs = 0;
    v->perf_split = false;
}

void perf_switch(struct vcpu *v)
{
    u64 now = host_tsc();
    if (v->in_guest)
        v->perf_entered = now;
    else
        v->perf_guest += now - v->perf_entered;
}

u64 perf_deadline(const struct vcpu *v)
{
    return v->perf_due;
}

void perf_timer(struct vcpu *v)
{
    if (!v->perf_due || world_now_ns(v) < v->perf_due)
        return;
    account(v);
    plan(v);
}
