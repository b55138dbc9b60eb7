/*
 * Hyper-V's interface for guests: CPUID leaves, MSRs, hypercalls and the structures in guest memory.
 * Source: Microsoft, Hypervisor Top-Level Functional Specification ("TLFS").
 */
#ifndef X86_HYPERV_H
#define X86_HYPERV_H

#include "base/types.h"

/* Leaf 4000_0001h has this in EAX. */
#define HYPERV_INTERFACE 0x31237648u /* "Hv#1" */
#define HYPERV_LEAF_VENDOR 0x40000000u
#define HYPERV_LEAF_INTERFACE 0x40000001u
#define HYPERV_LEAF_VERSION 0x40000002u
#define HYPERV_LEAF_FEATURES 0x40000003u
#define HYPERV_LEAF_RECOMMENDED 0x40000004u
#define HYPERV_LEAF_LIMITS 0x40000005u
#define HYPERV_LEAF_DEBUG_VENDOR 0x40000080u /* of a debugger's transport, and the two after it */
#define HYPERV_LEAF_DEBUG_INTERFACE 0x40000081u
#define HYPERV_LEAF_DEBUG_ABILITIES 0x40000082u /* EAX: HYPERV_KERNEL_DEBUGGING */
#define HYPERV_KERNEL_DEBUGGING BIT(1)
#define HYPERV_LEAF_NESTED 0x4000000au

/* Leaf 4000_0003h: EAX */
#define HYPERV_HAS_RUNTIME BIT(0)
#define HYPERV_HAS_REFERENCE_COUNT BIT(1)
#define HYPERV_HAS_SYNIC BIT(2)
#define HYPERV_HAS_TIMERS BIT(3)
#define HYPERV_HAS_APIC BIT(4)
#define HYPERV_HAS_HYPERCALL BIT(5)
#define HYPERV_HAS_VP_INDEX BIT(6)
#define HYPERV_HAS_RESET BIT(7)
#define HYPERV_HAS_REFERENCE_TSC BIT(9)
#define HYPERV_HAS_FREQUENCIES BIT(11)
#define HYPERV_HAS_REENLIGHTENMENT BIT(13)
/* EBX */
#define HYPERV_MAY_POST BIT(4)
#define HYPERV_MAY_SIGNAL BIT(5)
#define HYPERV_MAY_DEBUG BIT(11)
/* EDX */
#define HYPERV_HAS_DEBUGGING BIT(1)
#define HYPERV_HAS_XMM_INPUT BIT(4)
#define HYPERV_HAS_FREQUENCY_MSRS BIT(8)
#define HYPERV_HAS_CRASH BIT(10)
#define HYPERV_HAS_DEBUG_MSRS BIT(11)
#define HYPERV_HAS_DIRECT_TIMERS BIT(19)
/* Leaf 4000_0004h: EAX; EBX is how often to spin before HYPERV_CALL_SPIN */
#define HYPERV_USE_TLB_FLUSH BIT(2)
#define HYPERV_USE_APIC_MSRS BIT(3)
#define HYPERV_USE_RELAXED_TIMING BIT(5)
#define HYPERV_NO_AUTO_EOI BIT(9)
#define HYPERV_USE_IPI BIT(10)
#define HYPERV_USE_SPARSE_SETS BIT(11)
#define HYPERV_NO_CORE_SHARING BIT(18) /* virtual processors share a core only where they are shown as siblings */
/* Leaf 4000_000ah: EAX. The guest may say that a bitmap of MSRs is unchanged: the engine looks at it in any case. */
#define HYPERV_MSR_BITMAP BIT(19)
#define HYPERV_SPIN_DEFAULT 0xfffu

#define MSR_HYPERV_OS_ID 0x40000000u
#define MSR_HYPERV_HYPERCALL 0x40000001u
#define MSR_HYPERV_VP_INDEX 0x40000002u
#define MSR_HYPERV_RESET 0x40000003u
#define MSR_HYPERV_RUNTIME 0x40000010u
#define MSR_HYPERV_REFERENCE_COUNT 0x40000020u
#define MSR_HYPERV_REFERENCE_TSC 0x40000021u
#define MSR_HYPERV_TSC_FREQUENCY 0x40000022u
#define MSR_HYPERV_APIC_FREQUENCY 0x40000023u
#define MSR_HYPERV_EOI 0x40000070u
#define MSR_HYPERV_ICR 0x40000071u
#define MSR_HYPERV_TPR 0x40000072u
#define MSR_HYPERV_ASSIST_PAGE 0x40000073u
#define MSR_HYPERV_SCONTROL 0x40000080u
#define MSR_HYPERV_SVERSION 0x40000081u
#define MSR_HYPERV_SIEFP 0x40000082u
#define MSR_HYPERV_SIMP 0x40000083u
#define MSR_HYPERV_EOM 0x40000084u
#define MSR_HYPERV_SINT0 0x40000090u
#define MSR_HYPERV_STIMER0_CONFIG 0x400000b0u /* the count is the next one, then come those of timers 1 to 3 */
#define MSR_HYPERV_DEBUG_CONTROL 0x400000f1u  /* then status, buffers to send and to receive, pending buffer */
#define MSR_HYPERV_DEBUG_PENDING 0x400000f5u
#define MSR_HYPERV_DEBUG_OPTIONS 0x400000ffu
#define HYPERV_DEBUG_BY_CALLS BIT64(2)  /* of the options */
#define MSR_HYPERV_CRASH_P0 0x40000100u /* to P4 */
#define MSR_HYPERV_CRASH_CTL 0x40000105u
#define MSR_HYPERV_REENLIGHTENMENT 0x40000106u /* control, TSC emulation control, TSC emulation status */

#define HYPERV_ENABLE BIT64(0) /* of the MSRs with an address */
#define HYPERV_CRASH_NOTIFY BIT64(63)

#define HYPERV_SINTS 16
#define SINT_VECTOR 0xffull
#define SINT_MASKED BIT64(16)
#define SINT_AUTO_EOI BIT64(17)
#define SINT_FIRST_VECTOR 16

#define HYPERV_TIMERS 4
#define STIMER_ENABLE BIT64(0)
#define STIMER_PERIODIC BIT64(1)
#define STIMER_LAZY BIT64(2)
#define STIMER_AUTO_ENABLE BIT64(3)
#define STIMER_VECTOR(config) ((u8)((config) >> 4))
#define STIMER_DIRECT BIT64(12)
#define STIMER_SINT(config) ((unsigned)((config) >> 16 & 15))
#define STIMER_SINT_MASK (0xfull << 16)

/* Reference time = TSC * scale / 2^64 + offset, in 100 ns; sequence 0: read the MSR. */
struct hyperv_tsc_page {
    u32 sequence, reserved;
    u64 scale;
    s64 offset;
};

/* One slot per SINT in the message page. */
struct hyperv_message {
    u32 type;
    u8 size, flags; /* of the payload; HYPERV_MESSAGE_PENDING */
    u8 reserved[2];
    u64 origin;
    u64 payload[30];
};
#define HYPERV_MESSAGE_PENDING BIT(0)
#define HYPERV_MESSAGE_TIMER 0x80000010u

/* The hypercall's input value. */
#define HYPERV_CALL_CODE(input) ((u16)(input))
#define HYPERV_CALL_FAST BIT64(16)
#define HYPERV_CALL_VARIABLE(input) ((unsigned)((input) >> 17 & 0x3ff))
#define HYPERV_CALL_COUNT(input) ((unsigned)((input) >> 32 & 0xfff))
#define HYPERV_CALL_START(input) ((unsigned)((input) >> 48 & 0xfff))
#define HYPERV_CALL_RESERVED (BIT64(27) | 0xfull << 28 | 0xfull << 44 | 0xfull << 60)
#define HYPERV_DONE_SHIFT 32 /* in the result: how many repetitions were done */

enum {
    HYPERV_CALL_FLUSH_SPACE = 0x2,
    HYPERV_CALL_FLUSH_LIST = 0x3,
    HYPERV_CALL_SPIN = 0x8,
    HYPERV_CALL_SEND_IPI = 0xb,
    HYPERV_CALL_FLUSH_SPACE_EX = 0x13,
    HYPERV_CALL_FLUSH_LIST_EX = 0x14,
    HYPERV_CALL_SEND_IPI_EX = 0x15,
    HYPERV_CALL_POST_MESSAGE = 0x5c,
    HYPERV_CALL_SIGNAL_EVENT = 0x5d,
    HYPERV_CALL_DEBUG_POST = 0x69,
    HYPERV_CALL_DEBUG_RETRIEVE = 0x6a,
    HYPERV_CALL_DEBUG_RESET = 0x6b,
};

enum {
    HYPERV_SUCCESS = 0,
    HYPERV_INVALID_CODE = 2,
    HYPERV_INVALID_INPUT = 3,
    HYPERV_INVALID_ALIGNMENT = 4,
    HYPERV_INVALID_PARAMETER = 5,
    HYPERV_ACCESS_DENIED = 6,
    HYPERV_OPERATION_DENIED = 8,
    HYPERV_INVALID_CONNECTION = 18,
};

#define HYPERV_FLUSH_ALL_CPUS BIT64(0)
#define HYPERV_SET_SPARSE 0 /* format of a set of CPUs: banks of 64 */
#define HYPERV_SET_ALL 1

#endif
