/*
 * Translated code, as the upcalls see it. (block.c)
 */
#ifndef CPU_JIT_BLOCK_H
#define CPU_JIT_BLOCK_H

#include "cpu/core/vcpu.h"

/* [any] The code_written of core/upcalls.h. */
void block_invalidate(struct vm *vm, struct vcpu *v, gpa_t start, u64 size);

#endif
