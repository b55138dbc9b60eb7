/*
 * What a vCPU and a VM keep of Hyper-V's interface for guests: insn/hyperv.c, hyperv_call.c and synic.c. Names are
 * those of the MSRs (x86/hyperv.h).
 */
#ifndef CPU_CORE_HYPERV_H
#define CPU_CORE_HYPERV_H

#include "base/types.h"
#include "x86/hyperv.h"

struct hyperv_timer {
    u64 config, count;
    u64 expires;      /* in reference time; 0: not set */
    u64 deadline;     /* in host monotonic ns; 0: it does not run */
    bool undelivered; /* it expired, and the slot of its message is in use */
};

struct hyperv {
    bool shown;                      /* by CPUID */
    u32 features[4], recommended[4]; /* leaves 4000_0003h and 4000_0004h */
    bool debugging;                  /* shown by leaf 4000_0082h */
    bool enforce;                    /* only what they show */
    u64 vp_index, assist_page;
    u64 runtime, runtime_offset; /* 100 ns; runtime is HYPERV_NOT_SET unless it was set from outside */
    bool flush;                  /* [a] another vCPU wants this TLB empty */

    bool synic;       /* the caller enabled it */
    bool synic_keeps; /* pages are not zeroed when they are enabled */
    u64 scontrol, sversion, siefp, simp;
    u64 sint[HYPERV_SINTS]; /* [a] */
    u64 auto_eoi[4];        /* vectors whose interrupts end when they are taken */
    struct hyperv_timer timer[HYPERV_TIMERS];
    u64 deadline; /* the earliest of the timers' */
};

#define HYPERV_NOT_SET (~0ull)

struct hyperv_vm {
    u64 os_id, hypercall, reference_tsc;
    u64 crash[5], crash_ctl;
    u64 reenlightenment[3];
    u64 debug[6];    /* control, status, buffers to send, to receive, pending; options */
    bool page;       /* the page of reference_tsc is in use, with this offset */
    u64 page_offset; /* [a] */
};

#endif
