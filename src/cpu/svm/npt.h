/*
 * The walk of nested page tables translates L2-physical to L1-physical addresses, for the MMU's second stage.
 */
#ifndef CPU_SVM_NPT_H
#define CPU_SVM_NPT_H

#include "cpu/core/nested.h"
#include "cpu/mmu/mmu.h"

/*
 * nested_ops.stage2_walk: walks the tables at `ncr3`, in the format that L1's paging mode at VMRUN implies, as a user
 * access. Reads of L2's own page tables count as writes: the caller passes ACCESS_WRITE. Fills gpa, present, rsvd and
 * access of *f.
 * Source: AMD APM volume 2, "Nested Paging".
 */
bool npt_walk(struct vcpu *v, u64 ncr3, ngpa_t gpa, enum access access, bool user_linear, gpa_t *out, u64 *page_size,
              u8 *grants, struct stage2_fault *f);

#endif
