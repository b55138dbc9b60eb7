/*
 * The paravirtual interface of KVM: what CPUID shows of it, its MSRs, hypercalls and the structures in guest memory.
 * Source: Linux, Documentation/virt/kvm/x86/cpuid.rst, msr.rst and hypercalls.rst.
 */
#ifndef X86_KVM_PARA_H
#define X86_KVM_PARA_H

#include "base/types.h"

/* Leaf 4000_0000h has this in EBX, ECX and EDX; the next one has the features in EAX and hints in EDX. Behind the
 * leaves of another interface both are a multiple of 100h higher. */
#define KVM_PARA_SIGNATURE                                                                                             \
    {                                                                                                                  \
        0x4b4d564b, 0x564b4d56, 0x4d                                                                                   \
    } /* "KVMKVMKVM" */

enum kvm_para_feature {
    KVM_PARA_CLOCKSOURCE = 0,
    KVM_PARA_NOP_IO_DELAY = 1,
    KVM_PARA_CLOCKSOURCE2 = 3,
    KVM_PARA_ASYNC_PF = 4,
    KVM_PARA_STEAL_TIME = 5,
    KVM_PARA_EOI = 6,
    KVM_PARA_UNHALT = 7,
    KVM_PARA_TLB_FLUSH = 9,
    KVM_PARA_SEND_IPI = 11,
    KVM_PARA_POLL_CONTROL = 12,
    KVM_PARA_SCHED_YIELD = 13,
    KVM_PARA_ASYNC_PF_INT = 14,
    KVM_PARA_CLOCK_STABLE = 24,
};

#define MSR_KVM_WALL_CLOCK 0x11u
#define MSR_KVM_SYSTEM_TIME 0x12u
#define MSR_KVM_FIRST 0x4b564d00u
#define MSR_KVM_WALL_CLOCK_NEW 0x4b564d00u
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01u
#define MSR_KVM_ASYNC_PF_EN 0x4b564d02u
#define MSR_KVM_STEAL_TIME 0x4b564d03u
#define MSR_KVM_PV_EOI_EN 0x4b564d04u
#define MSR_KVM_POLL_CONTROL 0x4b564d05u
#define MSR_KVM_ASYNC_PF_INT 0x4b564d06u
#define MSR_KVM_ASYNC_PF_ACK 0x4b564d07u

#define KVM_PARA_ENABLED BIT64(0)         /* of the MSRs that hold an address */
#define KVM_PARA_EOI_OFFERED BIT(0)       /* of the byte of MSR_KVM_PV_EOI_EN: clearing it is an EOI */
#define KVM_PARA_ASYNC_PF_AS_INT BIT64(3) /* "page ready" comes as an interrupt */

/* Hypercalls, by RAX. */
enum {
    KVM_CALL_VAPIC_POLL = 1,
    KVM_CALL_KICK = 5,
    KVM_CALL_CLOCK_PAIRING = 9,
    KVM_CALL_SEND_IPI = 10,
    KVM_CALL_YIELD = 11,
    KVM_CALL_MAP_GPA_RANGE = 12,
};
#define KVM_CALL_ERROR_PERMISSION (-1ll)
#define KVM_CALL_ERROR_FAULT (-14ll)
#define KVM_CALL_ERROR_INVALID (-22ll)
#define KVM_CALL_ERROR_NO_SUPPORT (-95ll)
#define KVM_CALL_ERROR_UNKNOWN (-1000ll)

/* The clock that the guest computes from its TSC. The version is odd while the rest changes. */
struct kvm_para_clock {
    u32 version, pad;
    u64 tsc;         /* at which the clock shows: */
    u64 system_time; /* ns */
    u32 tsc_mul;     /* ns = ((TSC - tsc) << shift) * mul >> 32 */
    s8 tsc_shift;
    u8 flags; /* KVM_PARA_CLOCK_* */
    u8 unused[2];
};
#define KVM_PARA_CLOCK_IS_STABLE BIT(0) /* the same on all CPUs */
#define KVM_PARA_CLOCK_STOPPED BIT(1)   /* the guest was stopped from outside: its watchdogs must not bark */

/* The host's time of day when the clock was 0. */
struct kvm_para_wall {
    u32 version, seconds, ns;
};

struct kvm_para_steal {
    u64 stolen; /* ns that the vCPU wanted to run and did not */
    u32 version, flags;
    u8 preempted; /* KVM_PARA_PREEMPTED, KVM_PARA_FLUSH */
    u8 unused[47];
};
#define KVM_PARA_PREEMPTED BIT(0) /* the vCPU does not run now */
#define KVM_PARA_FLUSH BIT(1)     /* set by other vCPUs: its TLB is to be emptied before it does */

struct kvm_para_async_pf {
    u32 flags, token;
    u8 unused[56];
};
#define KVM_PARA_ASYNC_PF_ALL 0xffffffffu /* the token that wakes every waiter */

struct kvm_para_pairing {
    s64 seconds, ns;
    u64 tsc;
    u32 flags, unused[9];
};

#endif
