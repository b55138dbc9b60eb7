/*
 * The local APIC's registers, shared by lapic.c (registers, timer, priorities), apic_bus.c (messages between APICs) and
 * lapic_page.c (the APIC as state).
 * Threads: [a] fields are atomic, written or read by other vCPUs and devices; all others belong to the vCPU's own
 * thread.
 */
#ifndef CPU_EVENT_LAPIC_STATE_H
#define CPU_EVENT_LAPIC_STATE_H

#include "cpu/event/lapic.h"
#include "x86/apic.h"
#include "x86/msr.h"

/* The local vector table in the order of its registers. */
enum lvt { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_CMCI, LVT_COUNT };

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
    u64 looked;       /* when it was last set, looked at for its end, or its handler ended */
    u64 cost;         /* ns that setting the host's timer takes on average */
    u64 taken;        /* when its interrupt was acknowledged, 0: its handler does not run */
    int taken_vector; /* and by what vector */
};

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define STORE(x, value) __atomic_store_n(&(x), (value), __ATOMIC_RELAXED)

/* An APIC has the last entry if the CPU signals corrected machine-check errors. */
static inline bool lapic_has_lvt(const struct lapic *a, unsigned i)
{
    return i != LVT_CMCI || a->v->mcg_cap & MCG_CAP_CMCI;
}

static inline u32 lapic_lvt_offset(unsigned i)
{
    return i == LVT_CMCI ? APIC_LVT_CMCI : APIC_LVT_TIMER + 16 * i;
}

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

/* Bits of the low half of the ICR that stay as they are written. */
#define ICR_WRITABLE (ICR_SHORTHAND_MASK | ICR_LEVEL | ICR_ASSERT | ICR_LOGICAL | 7 << APIC_MODE_SHIFT | APIC_VECTOR)

enum lapic_mode lapic_mode_of(u64 apic_base);
/* The mode that APIC_BASE asks for. */
void lapic_mode_set(struct lapic *a);
unsigned lapic_timer_mode(const struct lapic *a);
u32 lapic_divisor(const struct lapic *a);
/* Bits of an entry of the local vector table that may be written. */
u32 lapic_lvt_mask(const struct lapic *a, unsigned i);
void lapic_lvt_set(struct lapic *a, unsigned i, u32 value);
/* Reads a register by its offset in the page. False: there is none, or it is not readable in this mode. */
bool lapic_register(struct lapic *a, u32 offset, u32 *value);

/* [any] A fixed interrupt arrives. False: it is pending already. */
bool lapic_accept(struct lapic *a, u8 vector, bool level);
/* [any] An error was detected. */
void lapic_error(struct lapic *a, u32 bit);

/* apic_bus.c: the interrupt command register was written. */
void apic_send_ipi(struct lapic *a, u64 icr);

#endif
