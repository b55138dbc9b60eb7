/*
 * Address spaces of guest users as processes of the host have them: which pages of guest memory lie at which linear
 * addresses with which rights, and how that keeps up with the guest's tables. See docs/direct.md.
 */
#ifndef CPU_DIRECT_SPACE_H
#define CPU_DIRECT_SPACE_H

#include "cpu/core/tunables.h"
#include "cpu/core/vcpu.h"
#include "cpu/direct/predict.h"
#include "cpu/mmu/regions.h"

/* Of region.page, beside PAGE_MAPPED and PAGE_WRITE: */
#define PAGE_FETCH BIT64(2)
#define PAGE_UNFIT BIT64(3) /* it could be executed, but the host's CPU must not */
#define PAGE_LEFT BIT64(4)  /* and breakpoints do not help */

struct space {
    bool used;
    struct tlb_key key;
    u32 pkru;
    struct direct_process *process; /* NULL: none yet */
    bool broken;                    /* it is of no use any more, or there is no room for what it has mapped */
    u64 epoch;                      /* mmu_epoch when what is mapped was compared last */
    u64 notes;                      /* notes read, of vm.direct_notes */
    u64 clock;                      /* when it was used last */
    struct region *regions;
    u64 trap[DIRECT_TRAPS];    /* instructions that the process stops before; 0: none */
    bool traps_changed;        /* it does not know yet */
    bool trapping;             /* an unfit page is being mapped with such */
    bool tsc_faults;           /* RDTSC and RDTSCP fault in the process */
    u64 unfit_ns;              /* time that unfit pages cost, less what breakpoints would have cost, ... */
    u64 unfit_wanted_ns;       /* ... from which on one gets some */
    u32 trapped;               /* rises with each stop at a breakpoint, falls with each turn of the process */
    struct page_filter filter; /* pages that may be mapped */
    /* Of auto (when.c): */
    bool direct;                /* its code is executed here, and not translated */
    u64 place[DIRECT_PLACES];   /* of its threads' data, roughly: a process of the guest is known by them */
    u64 program;                /* a page of guest memory with code of its program; 0: not known yet */
    s64 hope_ns;                /* what processes with that program won or lost */
    s64 won_ns;                 /* what this one did, */
    bool proved;                /* and it won as much as counts */
    u64 life_ns;                /* how long its code was translated, as far as samples show */
    s64 credit_ns;              /* what may be lost until its code is translated */
    s64 wanted_ns;              /* the credit without which it is not begun */
    u64 ns, stops;              /* of a window of translated code: how long it ran, how often it would have stopped */
    u64 away_ns, ran_ns, calls; /* of direct code: with what was spent, without, and system calls */
    u8 vectors[4096] __attribute__((aligned(64))); /* what the process has */
    bool vectors_known;
};

struct direct {
    struct space space[DIRECT_SPACES];
    struct regions regions;
    struct region region[DIRECT_REGIONS];
    struct direct_change change[DIRECT_CHANGES];
    u32 changes;
    u64 clock;
    u64 host_xcr0;
    u32 generation; /* of vm.direct_notes, to which the spaces belong */
    bool xsave;     /* the guest's XCR0 is not the host's */
    bool refused;   /* the host makes no processes */
    bool no_traps;  /* its processes have no breakpoints */
    u64 unfit_from; /* TSC when an unfit page was entered in the translator, if it goes on there; 0: no */
    struct space *unfit_of;
    bool ran;     /* a process ran since the thread rested */
    u64 fault_la; /* where the last page fault was that the translator took over; 0: none */
    bool fault_fetch;
    struct space *recent; /* the space that was found last */
    struct predictor predictor;
    u64 cost_ns;         /* of a stop: the least that was seen */
    u64 sampled;         /* TSC of the last sample of user code in the translator, */
    u64 used_ns;         /* CPU time of the thread then, */
    struct space *runs;  /* and whose code it was */
    u64 entered;         /* how often user code was entered from C since, ... */
    u64 syscalls, halts; /* ... and counters as they were then */
};

/* The space of the vCPU's current state, which is a user's. */
struct space *space_find(struct vcpu *v);
/* Makes sure that it has a process. False: there is none. */
bool space_start(struct vcpu *v, struct space *s);
/* Ends its process. */
void space_stop(struct vcpu *v, struct space *s);
/* Brings what is mapped in line with the guest's tables, as far as the guest may expect it. */
void space_refresh(struct vcpu *v, struct space *s);
/* Maps the page of a linear address, if it can be and if that is a change; and some around it. Returns whether it was a
 * change. */
bool space_map(struct vcpu *v, struct space *s, u64 la, bool fetch);
/* Has the process make the changes. False: the space is broken. */
bool space_flush(struct vcpu *v, struct space *s);
/* Tells the process which instructions to stop before. False: the space is broken. */
bool space_traps(struct vcpu *v, struct space *s);
/* Has RDTSC fault in the process, or not, as the vCPU's state is. False: the space is broken. */
bool space_tsc(struct vcpu *v, struct space *s);
/* Is the page of this address one that must not be executed? */
bool space_unfit(struct vcpu *v, struct space *s, u64 la);
/* It is, and user code goes on there. If unfit pages cost much, the process executes this one from now on and stops
 * before what it must not execute. Returns whether it does. */
bool space_trap(struct vcpu *v, struct space *s, u64 la);
/* The process stopped at a breakpoint, or for another fault such as RDTSC's. If that is too often in a page that has
 * breakpoints, it is translated again. */
void space_trapped(struct vcpu *v, struct space *s, u64 la);
/* Counts what it costs that unfit pages are translated. */
void space_unfit_cost(struct space *s, u64 ns);

#endif
