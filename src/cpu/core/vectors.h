/*
 * The guest's x87, SSE, AVX and AVX-512 registers: live in the host's while the core runs, in vcpu.vectors while host
 * code runs.
 */
#ifndef CPU_CORE_VECTORS_H
#define CPU_CORE_VECTORS_H

#include "cpu/core/vcpu.h"

/* Saves the live state in the vCPU and leaves a clean one for host code; and back. Pairs may be nested. */
void vector_save(struct vcpu *v);
void vector_restore(struct vcpu *v);

/* At creation: what the host has, and the state of a processor after RESET. */
void vector_init(struct vcpu *v);
/* x87 and SSE state of a processor after RESET. The vCPU is not running. */
void vector_reset(struct vcpu *v);

#endif
