/*
 * Signals of the program while its threads run vCPUs. Translated code uses RSP for its own purposes, so every handler
 * runs on an alternate stack; and it runs after KVM_RUN has returned, as with the kernel: meanwhile the signal is kept,
 * and the vCPU leaves. What the program asks of sigaction and its like goes through here.
 */
#ifndef KVMAPI_SIGNALS_H
#define KVMAPI_SIGNALS_H

#include "base/types.h"

#include <signal.h>

struct api_vcpu;

/* From the first VM on. Before that, everything is passed on. */
void signals_begin(void);

/* In place of libc's. */
int signals_action(int sig, const struct sigaction *act, struct sigaction *old);
int signals_stack(const stack_t *stack, stack_t *old);

/*
 * The calling thread begins to run a vCPU, with `mask` (if not NULL) as its signal mask until the end: 0 or -errno.
 * Behind the end, when the vCPU may run elsewhere, signals_deliver has the signals come that were kept.
 */
int MUST_CHECK signals_run_begin(struct api_vcpu *v, const u64 *mask);
void signals_run_end(const u64 *mask);
void signals_deliver(void);
/* Signals that the program leaves to their default, but that KVM_RUN is to notice. */
void signals_cover(u64 mask);

#endif
