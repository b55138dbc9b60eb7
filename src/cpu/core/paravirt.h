/*
 * What a vCPU and a VM keep of KVM's paravirtual interface: insn/paravirt.c. The MSRs hold addresses of structures in
 * guest memory (x86/kvm_para.h), with bit 0 on if the interface is.
 */
#ifndef CPU_CORE_PARAVIRT_H
#define CPU_CORE_PARAVIRT_H

#include "base/types.h"

struct paravirt {
    u32 shown;    /* bits of enum kvm_para_feature that CPUID shows */
    bool enforce; /* the guest has these only; false: all there are */
    /* MSRs */
    u64 wall_clock, system_time, async_pf, async_pf_int, steal_time, poll_control, eoi;
    u32 clock_version; /* of the structure in guest memory */
    bool stopped;      /* the guest is to be told that it was stopped */
    bool async_wake;   /* and that all pages which it waits for are there */
    bool eoi_offered;  /* the guest may end the interrupt in service by memory: event/lapic.c */
    bool kicked;       /* [a] the next HLT ends at once */
    u64 steal_read;    /* host monotonic ns when stolen_then was read */
    u64 stolen_then;   /* what the host says was stolen, so far as the guest knows of it */
};

/* The clock showed `ns` when the host's TSC was `tsc`. `turn` is odd while they change. */
struct paravirt_clock {
    u32 turn; /* [a] */
    u64 tsc, ns;
};

#endif
