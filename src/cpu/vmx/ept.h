/*
 * The EPT walk: L2-physical to L1-physical, for the MMU's second stage.
 */
#ifndef CPU_VMX_EPT_H
#define CPU_VMX_EPT_H

#include "cpu/mmu.h"
#include "cpu/nested.h"

/* The root that VM entry gives to mmu_set_stage2 is the EPTP, with this bit if user-mode and supervisor-mode linear
 * addresses have their own execute permissions. */
#define EPT_ROOT_MODE_BASED BIT64(63)

/* Bits of *perms. Without mode-based execute control the last two are alike. */
#define EPT_PERM_READ BIT(0)
#define EPT_PERM_WRITE BIT(1)
#define EPT_PERM_FETCH BIT(2)
#define EPT_PERM_FETCH_USER BIT(3)

/*
 * Translates `gpa` for `access` (reads of L2's paging structures are ACCESS_WRITE if the EPTP enables accessed and
 * dirty flags) and sets those flags. user_linear: the page of the linear address is a user-mode one. True: *out, the
 * size of the page and what else the mapping permits without another walk (no write while a dirty flag is still to be
 * set). False: EPT violation or misconfiguration; perms and misconfig of *f are filled.
 * Source: Intel SDM volume 3C, "The Extended Page Table Mechanism (EPT)".
 */
bool ept_walk(struct vcpu *v, u64 root, ngpa_t gpa, enum access access, bool user_linear, gpa_t *out, u64 *page_size,
              u8 *perms, struct stage2_fault *f);

#endif
