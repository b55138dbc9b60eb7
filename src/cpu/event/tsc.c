/*
 * The guest's time-stamp counter: the host's, plus an offset. L1 runs at the host's rate (vm->tsc_khz), or by tsc_ratio
 * (16.48) at another one. While L2 runs, tsc_offset is the sum of L1's offset and the one that L1 gave L2, and tsc_mul
 * (16.48) scales what L1 would read before L2's own offset is added; so without a ratio every level is one addition.
 * Source: SDM volume 3C, "Time-Stamp Counter Offset and Scaling"; APM volume 2, "TSC Ratio MSR".
 */
#include "cpu/core/world.h"
#include "cpu/event/lapic.h"

u64 tsc_host(void)
{
    u32 lo, hi;
    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return (u64)hi << 32 | lo;
}

/* a * b / c for results that fit; the rest saturates. */
static u64 scale(u64 a, u64 b, u64 c)
{
    u64 hi, lo, rest;
    __asm__("mulq %3" : "=a"(lo), "=d"(hi) : "a"(a), "r"(b) : "cc");
    if (hi >= c)
        return ~0ull;
    __asm__("divq %4" : "=a"(lo), "=d"(rest) : "a"(lo), "d"(hi), "r"(c) : "cc");
    return lo;
}

u64 tsc_scaled(const struct vcpu *v, u64 host)
{
    return likely(!v->tsc_ratio) ? host : (u64)((u128)host * v->tsc_ratio >> TSC_FRACTION_BITS);
}

void tsc_khz_set(struct vcpu *v, u64 khz, bool scaled)
{
    v->tsc_khz = scaled ? khz : v->vm->tsc_khz;
    v->tsc_ratio = scaled ? scale(khz, TSC_UNSCALED, v->vm->tsc_khz) : 0;
}

u64 tsc_read_l1(struct vcpu *v)
{
    return tsc_scaled(v, tsc_host()) + v->tsc_offset_l1;
}

u64 tsc_read(struct vcpu *v)
{
    if (!v->tsc_mul)
        return tsc_scaled(v, tsc_host()) + v->tsc_offset;
    return (u64)((u128)tsc_read_l1(v) * v->tsc_mul >> TSC_FRACTION_BITS) + (v->tsc_offset - v->tsc_offset_l1);
}

u64 tsc_to_ns(struct vcpu *v, u64 tsc)
{
    u64 now = world_now_ns(v);
    u64 left = tsc - tsc_read_l1(v);
    if ((s64)left <= 0)
        return now;
    u64 ns = scale(left, 1000000, v->tsc_khz);
    return ns < (u64)INT64_MAX - now ? now + ns : (u64)INT64_MAX;
}
