/*
 * The local APIC's registers, shared by lapic.c (registers, timer, priorities) and apic_bus.c (messages between APICs).
 * Threads: [a] fields are atomic, written or read by other vCPUs and devices; all others belong to the vCPU's own
 * thread.
 */
#ifndef CPU_EVENT_LAPIC_STATE_H
#define CPU_EVENT_LAPIC_STATE_H

#include "cpu/event/lapic.h"
#include "x86/msr.h"

/* Register offsets in the xAPIC page; an x2APIC MSR is 800h + offset / 16. */
enum {
    APIC_ID = 0x20,
    APIC_VERSION = 0x30,
    APIC_TPR = 0x80,
    APIC_APR = 0x90,
    APIC_PPR = 0xa0,
    APIC_EOI = 0xb0,
    APIC_RRD = 0xc0,
    APIC_LDR = 0xd0,
    APIC_DFR = 0xe0,
    APIC_SVR = 0xf0,
    APIC_ISR = 0x100,
    APIC_TMR = 0x180,
    APIC_IRR = 0x200,
    APIC_ESR = 0x280,
    APIC_ICR = 0x300,
    APIC_ICR2 = 0x310,
    APIC_LVT_TIMER = 0x320,
    APIC_INITIAL_COUNT = 0x380,
    APIC_CURRENT_COUNT = 0x390,
    APIC_DIVIDE = 0x3e0,
    APIC_SELF_IPI = 0x3f0,
};

/* The local vector table in the order of its registers. */
enum lvt { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

#define LVT_VECTOR 0xffu
#define LVT_MODE_SHIFT 8
#define LVT_MASKED BIT(16)
#define LVT_TIMER_SHIFT 17
enum { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE };

#define SVR_ENABLED BIT(8)
#define SVR_NO_EOI_BROADCAST BIT(12)

#define ESR_SEND_ILLEGAL_VECTOR BIT(5)
#define ESR_RECEIVE_ILLEGAL_VECTOR BIT(6)
#define ESR_ILLEGAL_REGISTER BIT(7)

#define ICR_LOGICAL BIT(11)
#define ICR_ASSERT BIT(14)
#define ICR_LEVEL BIT(15)
#define ICR_SHORTHAND_SHIFT 18

#define DFR_FLAT 0xffffffffu

enum lapic_mode { LAPIC_DISABLED, LAPIC_XAPIC, LAPIC_X2APIC };

struct lapic {
    struct vcpu *v;
    u64 irr[4], tmr[4]; /* [a] */
    u64 isr[4];
    u32 mode;          /* [a] enum lapic_mode, from APIC_BASE */
    u32 svr, ldr, dfr; /* [a] written by the own thread only */
    u32 tpr;           /* [a] likewise */
    u32 lint0;         /* [a] copy of lvt[LVT_LINT0] for apic_intr_line */
    u32 extint;        /* [a] a message with delivery mode ExtINT waits */
    u32 esr_pending;   /* [a] errors since the last write to ESR */
    u32 esr;
    u64 icr;
    u32 lvt[LVT_COUNT];
    u32 divide; /* Divide Configuration Register */
    u32 initial_count;
    u64 deadline;     /* host monotonic ns of the next expiry, 0: not counting */
    u64 tsc_deadline; /* IA32_TSC_DEADLINE, 0: not armed */
    u64 paid;         /* host monotonic ns at which the timer's debt is paid: lapic.c */
    u64 taken;        /* when its last interrupt was acknowledged */
};

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define STORE(x, value) __atomic_store_n(&(x), (value), __ATOMIC_RELAXED)

/* -1 if no bit is set. */
static inline int vector_highest(const u64 set[4])
{
    for (int i = 3; i >= 0; i--) {
        u64 w = __atomic_load_n(&set[i], __ATOMIC_ACQUIRE);
        if (w)
            return i * 64 + 63 - __builtin_clzll(w);
    }
    return -1;
}

static inline u32 x2apic_ldr(u32 id)
{
    return (id >> 4) << 16 | 1u << (id & 15);
}

static inline u32 ppr_of(u32 tpr, int isr)
{
    u32 class = isr < 0 ? 0 : (u32)isr & 0xf0;
    return (tpr & 0xf0) >= class ? tpr : class;
}

/* [any] A fixed interrupt arrives. */
void lapic_accept(struct lapic *a, u8 vector, bool level);
/* [any] An error was detected. */
void lapic_error(struct lapic *a, u32 bit);

/* apic_bus.c: the interrupt command register was written. */
void apic_send_ipi(struct lapic *a, u64 icr);

#endif
