/*
 * The EPT walk translates L2-physical to L1-physical addresses, for the MMU's second stage.
 */
#ifndef CPU_VMX_EPT_H
#define CPU_VMX_EPT_H

#include "cpu/core/nested.h"
#include "cpu/mmu/mmu.h"

/* The root that VM entry passes to mmu_set_stage2 is the EPTP, with this bit if user-mode and supervisor-mode linear
 * addresses have their own execute permissions. */
#define EPT_ROOT_MODE_BASED BIT64(63)

/* nested_ops.stage2_walk. Reads of L2's paging structures are ACCESS_WRITE if the EPTP enables accessed and dirty
 * flags. Source: Intel SDM volume 3C, "The Extended Page Table Mechanism (EPT)". */
bool ept_walk(struct vcpu *v, u64 root, ngpa_t gpa, enum access access, bool user_linear, gpa_t *out, u64 *page_size,
              u8 *grants, struct stage2_fault *f);

#endif
