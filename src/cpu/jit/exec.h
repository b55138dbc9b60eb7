/*
 * A vCPU in translated code: what is private to the execution of blocks, and where execution is while C code looks.
 */
#ifndef CPU_JIT_EXEC_H
#define CPU_JIT_EXEC_H

#include "cpu/core/tunables.h"
#include "cpu/core/vcpu.h"
#include "cpu/jit/called.h"
#include "cpu/mmu/mmu.h"

struct exit_link;
struct tr;

struct exec {
    u8 bounce[256] __attribute__((aligned(64))); /* where an operand is that the TLB cannot serve: slow.c */
    enum outcome outcome;                        /* of the call or access that left */
    u8 *bounce_from;                             /* its bytes that are accessed; NULL: none */
    struct found found;                          /* where they are */
    bool bounce_locked;
    bool one;                /* nothing runs behind it: execute_one */
    bool not_run;            /* the instruction that left did nothing and starts again */
    struct exit_link *chain; /* link to patch when the next block is known */
    struct tr *tr;           /* the translator's working memory */
    u64 chain_generation;
    u16 signal_loans;              /* loans in force where a host signal came, */
    s32 signal_stack;              /* and what was still to be added to the guest's RSP */
    struct block *refused;         /* whose access came by a host signal, at RIP, and must go by the TLB; or NULL */
    bool refused_counts;           /* it is not the guest's own page fault */
    u8 refused_seen[CHECKED_SEEN]; /* how often, by the instruction */
    struct {                       /* which jumps are frequent: dispatch.c */
        u32 samples, different;    /* in this window: how many, and of how many places */
        u32 small, large;          /* how many windows in a row had few of them, or many */
        u32 random;
        u16 seen[HEAT_MARKS]; /* how often places were seen in this window */
    } heat;
    u64 called[CALLED_COUNT]; /* instructions by called.h */
    struct { /* where the sites of shared checks are that failed last, by the address behind the CALL */
        const u8 *after, *site;
    } missed[MISSED_SITES];
    bool reads_code; /* the code cache is locked, and guest memory is being read */
};

/* exec.c, at creation: `memory` is zeroed memory of the accelerator. */
size_t exec_size(void);
void exec_init(struct vcpu *v, void *memory);

/* slow.c: the code cache was emptied, and with it what is known of failed checks. */
void exec_misses_forget(struct vcpu *v);

/* dispatch.c: runs translated code from RIP on until something leaves it. The caller looks at events then. */
void execute(struct vcpu *v);

/* Runs the instruction at RIP, and no event comes before it; or nothing, if another vCPU had to come first. */
void execute_one(struct vcpu *v);

/* RIP of a linear address in the code segment. */
static inline u64 rip_of(const struct vcpu *v, u64 la)
{
    u64 rip = la + v->neg_cs_base;
    return in_64bit(v) ? rip : (u32)rip;
}

/* Notes that execution is at the instruction of `len` bytes at an offset in the running block's page. */
static inline void at_instruction(struct vcpu *v, u16 offset, u8 len)
{
    v->rip = rip_of(v, v->page_la + offset);
    v->next_rip = in_64bit(v) ? v->rip + len : (u32)(v->rip + len);
}

/* For functions that enter.S calls: leaves translated code. */
static inline bool leave_with(struct vcpu *v, enum outcome out)
{
    v->exec->outcome = out;
    return false;
}

#endif
