/*
 * The guest's x87, SSE, AVX and AVX-512 registers: live in the host's while translated code runs, in vcpu.vectors while
 * host code runs that may use these registers. The engine does not: it leaves them where they are, and vectors_live
 * says where. They come back when translated code goes on (enter.S), so a vCPU that leaves saves them once.
 */
#ifndef CPU_CORE_VECTORS_H
#define CPU_CORE_VECTORS_H

#include "cpu/core/vcpu.h"

/* If the state is live: saves it in the vCPU and leaves a clean one for host code. */
void vector_save(struct vcpu *v);
/* If it is not live: makes it so. Called instructions begin with it, and it stays while they access memory. */
void vector_load(struct vcpu *v);

/* At creation: finds out what the host has, and sets the state of a processor after RESET. */
void vector_init(struct vcpu *v);
/* Sets the x87 and SSE state of a processor after RESET. The vCPU is not running. */
void vector_reset(struct vcpu *v);

/* Returns the x87 status word (FSW_*) of the live state. */
static inline u16 x87_status(void)
{
    u16 status;
    __asm__ volatile("fnstsw %0" : "=a"(status));
    return status;
}

#endif
