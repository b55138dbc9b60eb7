/*
 * The local APIC: xAPIC (MMIO page) and x2APIC (MSRs), timer with one-shot, periodic and TSC-deadline modes, IPIs.
 * Own-thread functions unless marked [any]: those only set bits atomically and request_set(REQ_EVENT).
 * Source: SDM vol. 3A "Advanced Programmable Interrupt Controller (APIC)".
 */
#ifndef CPU_EVENT_LAPIC_H
#define CPU_EVENT_LAPIC_H

#include "cpu/core/fault.h"
#include "cpu/core/vcpu.h"
#include "x86/apic.h"

size_t lapic_size(void);
void lapic_create(struct vcpu *v, void *memory);
void lapic_reset(struct vcpu *v, bool init);

/* MMIO register access by offset in the APIC page (xAPIC mode); wider or misaligned accesses as the manual says. */
u32 lapic_mmio_read(struct vcpu *v, u32 offset);
void lapic_mmio_write(struct vcpu *v, u32 offset, u32 value);
/* x2APIC MSRs 0x800..0x8ff and IA32_TSC_DEADLINE, IA32_APIC_BASE. */
MUST_CHECK enum outcome lapic_msr_read(struct vcpu *v, u32 msr, u64 *value);
MUST_CHECK enum outcome lapic_msr_write(struct vcpu *v, u32 msr, u64 value);
/* CR8. */
u64 lapic_tpr_read(struct vcpu *v); /* 0..15 */
void lapic_tpr_write(struct vcpu *v, u64 value);
void lapic_tpr_set(struct vcpu *v, u64 value); /* the same, by the caller: CPU_EXIT_TPR does not come of it */

/* The APIC as a part of the vCPU's state (lapic_page.c). lapic_page_refusal gives NULL, or the name of the first
 * register whose value cannot be, with APIC_BASE as given; lapic_page_set comes after it. Deadlines count from now on.
 */
void lapic_page_get(struct vcpu *v, struct cpu_apic *page);
const char *lapic_page_refusal(const struct vcpu *v, const struct cpu_apic *page, u64 apic_base);
void lapic_page_set(struct vcpu *v, const struct cpu_apic *page);
/* Makes a page of it that is not refused with the APIC_BASE that there is. */
void lapic_page_clean(const struct vcpu *v, struct cpu_apic *page);
/* APIC_BASE in any of its modes, whatever it was; the registers stay. */
bool lapic_base_legal(const struct vcpu *v, u64 value);
void lapic_base_set(struct vcpu *v, u64 value);

/* Highest-priority deliverable vector (IRR above PPR), or -1. ExtINT from the 8259 counts: *extint is set and the
 * vector is unknown until ack. */
int lapic_pending(struct vcpu *v, bool *extint);
/* May the caller give a vector in an 8259's place (CPU_APICS_SPLIT, CPU_APICS_CALLER)? */
bool lapic_takes_push(struct vcpu *v);
/* Looks whether the guest has ended the interrupt in service by memory; it must use the APIC now if it has not. Called
 * before anybody else looks at the ISR or at that memory, and when the vCPU stops. */
void lapic_eoi_look(struct vcpu *v);
/* Acknowledges what lapic_pending found, and returns its vector: moves it from IRR to ISR, or asks machine->pic_ack. */
int lapic_ack(struct vcpu *v);
/* REQ_TIMER was set: expire what is due and arm the next deadline. */
void lapic_timer(struct vcpu *v);
/* The next deadline of the APIC timer in host monotonic ns (0 none): timers.c merges it with others. */
u64 lapic_deadline(struct vcpu *v);

struct apic_message {
    u32 dest; /* APIC ID or logical destination */
    bool logical;
    bool level;
    bool x2apic_dest; /* dest is a 32-bit x2APIC ID */
    bool exact;       /* if it is not: FFh is one APIC in x2APIC mode */
    u8 mode;          /* enum delivery_mode */
    u8 vector;
};
/* [any] I/O APIC, MSI and IPIs. Gives how many APICs took it, without those in which it is pending already; -1 if there
 * is neither. */
int apic_deliver(struct vm *vm, const struct apic_message *m);
/* [any] An MSI write: address in 0xfeexxxxx and data. */
int apic_msi(struct vm *vm, u64 address, u32 data);
/* [any] The 8259's INTR line to LINT0 of every CPU. */
void apic_intr_line(struct vm *vm, bool level);
/* [any] */
void apic_nmi(struct vcpu *v);
void apic_smi(struct vcpu *v);
/* On the vCPU's own thread: a performance counter overflowed. */
void apic_perf(struct vcpu *v);
/* Likewise: a corrected machine-check error was counted. */
void apic_cmci(struct vcpu *v);
/* [any] A pulse on the INIT# pin of every CPU. */
void apic_init_line(struct vm *vm);

/* The part of timers_tsc_changed that is the APIC's: the TSC deadline. */
void lapic_tsc_changed(struct vcpu *v);

/* timers.c: L1's TSC was set: what is due by it comes at another time. */
void timers_tsc_changed(struct vcpu *v);
/* timers.c: one host deadline per vCPU, the earliest of the APIC's and VMX preemption timer's. Called when either
 * changed. */
void timers_update(struct vcpu *v);
/* tsc.c: guest TSC now for the running level; and host TSC/ns conversions. */
u64 tsc_read(struct vcpu *v);
u64 tsc_read_l1(struct vcpu *v);
u64 tsc_host(void);                             /* [any] */
u64 tsc_scaled(const struct vcpu *v, u64 host); /* what L1 would read at that TSC of the host, without its offset */
/* L1's counts at another rate from now on; not scaled: at the host's, which is as good as that one. */
void tsc_khz_set(struct vcpu *v, u64 khz, bool scaled);
/* Monotonic ns at which the L1 guest's TSC reaches `tsc`. */
u64 tsc_to_ns(struct vcpu *v, u64 tsc);

/* What multiplies TSCs has this many bits of fraction. */
#define TSC_FRACTION_BITS 48
#define TSC_UNSCALED BIT64(TSC_FRACTION_BITS)

/* From now on the vCPU reads L1's TSC. */
static inline void tsc_of_l1(struct vcpu *v)
{
    v->tsc_offset = v->tsc_offset_l1;
    v->tsc_mul = 0;
}

/* From now on it reads L2's: L1's times `mul`, plus `offset`. */
static inline void tsc_of_l2(struct vcpu *v, u64 mul, u64 offset)
{
    v->tsc_offset = v->tsc_offset_l1 + offset;
    v->tsc_mul = mul == TSC_UNSCALED ? 0 : mul;
}

#endif
