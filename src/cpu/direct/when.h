/*
 * When user code is executed directly, as far as that is left to us (auto): docs/direct.md "When".
 */
#ifndef CPU_DIRECT_WHEN_H
#define CPU_DIRECT_WHEN_H

#include "cpu/direct/space.h"

/* What a turn of a process took. */
struct turn {
    s64 ran_ns; /* CPU time of the process */
    u64 ticks;  /* of the TSC until it stopped, whoever had the CPUs meanwhile */
    u64 stops;
    u64 calls; /* those of them that are system calls */
};

u64 when_ns(const struct vcpu *v, u64 ticks);
/* Another process of the guest begins in the space. */
void when_begin(struct direct *d, struct space *s);
/* The space of the vCPU's user code, in which a process of the guest has begun if another one has its tables now. */
struct space *when_space(struct vcpu *v);
/* User code goes on in the translator, which it entered from C: is it to be executed elsewhere? */
bool when_sample(struct vcpu *v);
/* The space goes on in the translator. The next time it needs more credit. */
void when_give_up(struct vcpu *v, struct space *s);
/* A turn of its process that began at `from` is over. */
void when_account(struct vcpu *v, struct space *s, u64 from, const struct turn *t);
/* The space is direct, but code in an unfit page is translated. */
void when_unfit(struct vcpu *v, struct space *s);

#endif
