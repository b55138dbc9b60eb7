/*
 * Translated code, as the rest of the core sees it: invalidation and the exclusive section. (block.c)
 */
#ifndef CPU_BLOCK_H
#define CPU_BLOCK_H

#include "cpu/vcpu.h"

/*
 * [any] Bytes of guest memory changed (a store that the MMU kept from the TLB, DMA by a device): translated blocks made
 * from them are invalid from now on. Cheap if the pages hold no code. Sets v->code_changed on the calling vCPU so that
 * the dispatcher does not resume the running block. v may be NULL outside vCPU threads.
 */
void block_invalidate(struct vm *vm, struct vcpu *v, gpa_t start, u64 size);

/* Parks all other vCPUs of the VM outside translated code; nests not. Never called with a lock held. True: this vCPU
 * was parked meanwhile, so a running block may rely on what no longer holds and must be left. */
bool exclusive_begin(struct vcpu *v);
void exclusive_end(struct vcpu *v);

#endif
