/*
 * The guest's x87, SSE, AVX and AVX-512 registers: they are live in the host's registers while the core runs, and wait
 * in vcpu.vectors while host code runs.
 */
#ifndef CPU_CORE_VECTORS_H
#define CPU_CORE_VECTORS_H

#include "cpu/core/vcpu.h"

/* Saves the live state in the vCPU and leaves a clean one for host code; and back. Pairs may be nested. */
void vector_save(struct vcpu *v);
void vector_restore(struct vcpu *v);

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
