/*
 * The local APIC: offsets and bits of its registers, and the form of message-signalled interrupts.
 * Source: Intel SDM volume 3A, "Advanced Programmable Interrupt Controller (APIC)".
 */
#ifndef X86_APIC_H
#define X86_APIC_H

#include "base/types.h"

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
    APIC_ISR = 0x100, /* eight registers of 32 vectors each */
    APIC_TMR = 0x180,
    APIC_IRR = 0x200,
    APIC_ESR = 0x280,
    APIC_LVT_CMCI = 0x2f0,
    APIC_ICR = 0x300,
    APIC_ICR2 = 0x310,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_THERMAL = 0x330,
    APIC_LVT_PERF = 0x340,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_INITIAL_COUNT = 0x380,
    APIC_CURRENT_COUNT = 0x390,
    APIC_DIVIDE = 0x3e0,
    APIC_SELF_IPI = 0x3f0,
};
/* The last of the eight registers of ISR, TMR and IRR. */
#define APIC_LAST_OF_EIGHT 0x70

#define APIC_VECTOR 0xffu /* in LVT entries, SVR, ICR, TPR */
/* Delivery modes, in bits 10:8 of LVT entries, ICR and MSI data. */
#define APIC_MODE_SHIFT 8
#define APIC_MODE(x) ((x) >> APIC_MODE_SHIFT & 7)
enum delivery_mode {
    DELIVER_FIXED = 0,
    DELIVER_LOWEST = 1,
    DELIVER_SMI = 2,
    DELIVER_NMI = 4,
    DELIVER_INIT = 5,
    DELIVER_SIPI = 6,
    DELIVER_EXTINT = 7
};

#define LVT_PENDING BIT(12)
#define LVT_ACTIVE_LOW BIT(13)
#define LVT_REMOTE_IRR BIT(14)
#define LVT_LEVEL BIT(15)
#define LVT_MASKED BIT(16)
#define LVT_TIMER_SHIFT 17
#define LVT_TIMER_PERIODIC BIT(17)
#define LVT_TIMER_DEADLINE BIT(18)
enum { TIMER_ONE_SHOT, TIMER_PERIODIC, TIMER_TSC_DEADLINE };

#define TPR_CLASS(tpr) ((tpr) >> 4 & 15) /* what CR8 holds */

#define SVR_RESET 0xffu /* disabled, the spurious vector is FFh */
#define SVR_ENABLED BIT(8)
#define SVR_NO_EOI_BROADCAST BIT(12)

#define ESR_SEND_ILLEGAL_VECTOR BIT(5)
#define ESR_RECEIVE_ILLEGAL_VECTOR BIT(6)
#define ESR_ILLEGAL_REGISTER BIT(7)

#define ICR_LOGICAL BIT(11)
#define ICR_PENDING BIT(12)
#define ICR_ASSERT BIT(14)
#define ICR_LEVEL BIT(15)
#define ICR_SHORTHAND_SHIFT 18
#define ICR_SHORTHAND_MASK (3u << ICR_SHORTHAND_SHIFT)
enum { SHORTHAND_NONE, SHORTHAND_SELF, SHORTHAND_ALL, SHORTHAND_OTHERS };

#define APIC_EVERYBODY 0xffu /* destination of a broadcast; in x2APIC mode: */
#define X2APIC_EVERYBODY 0xffffffffu

#define DFR_FLAT 0xffffffffu
#define DFR_CLUSTER 0x0fffffffu

#define APIC_DIVIDE_BITS 0xbu /* bits 3 and 1:0 are the divisor's code: */
#define APIC_DIVIDE_BY_1 0xbu
#define APIC_DIVIDE_BY_2 0x0u
#define APIC_DIVIDE_BY_16 0x3u

/* Address and data of a message-signalled interrupt; the mode is as in an LVT entry. */
#define MSI_BASE 0xfee00000ull
#define MSI_DESTINATION_SHIFT 12
#define MSI_LOGICAL BIT(2)
#define MSI_REDIRECTION_HINT BIT(3)
#define MSI_ASSERT BIT(14)
#define MSI_LEVEL BIT(15)

#endif
