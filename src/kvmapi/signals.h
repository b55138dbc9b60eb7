/*
 * Signals of the program while its threads are in our code. Translated code uses RSP for its own purposes, so every
 * handler runs on an alternate stack; and it runs when the call of the API has returned, as with the kernel: meanwhile
 * the signal is kept, and a vCPU leaves KVM_RUN. So a handler may use the API or jump out. What the program asks of
 * sigaction and its like goes through here.
 */
#ifndef KVMAPI_SIGNALS_H
#define KVMAPI_SIGNALS_H

#include "base/types.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>

struct api_vcpu;

/* Called when the first VM is made. Before that, everything is passed on. */
void signals_begin(void);

/* In place of libc's sigaction and sigaltstack. */
int signals_action(int sig, const struct sigaction *act, struct sigaction *old);
int signals_stack(const stack_t *stack, stack_t *old);

/* The program is about to cancel a thread: libc's signal for that is handled as the others are. `cancel` is libc's. */
void signals_cancel_begin(int (*cancel)(pthread_t));

/* Around each call of the API. Signals that came in between come in signals_leave, which may not return. */
void signals_enter(void);
void signals_leave(void);

/* Within these: the thread runs a vCPU, with `mask` (if not NULL) as its signal mask until the end: 0 or -errno. */
int MUST_CHECK signals_run_begin(struct api_vcpu *v, const u64 *mask);
void signals_run_end(void);
/* In between: where to go on if guest memory is not there, in the middle of the engine; see cpu_memory_gone. */
sigjmp_buf *signals_way_out(void);
/* Outside of these: calls a function that reads guest memory and holds nothing. Returns false if some was not there. */
bool MUST_CHECK signals_try(void (*access)(void *opaque), void *opaque);
/* Signals that the program leaves to their default, but that KVM_RUN is to notice. */
void signals_cover(u64 mask);

#endif
