/*
 * Nested page tables: L2's guest-physical addresses to L1's.
 */
#ifndef CPU_SVM_NPT_H
#define CPU_SVM_NPT_H

#include "cpu/mmu.h"
#include "cpu/nested.h"

#define NPT_PERM_R BIT(0)
#define NPT_PERM_W BIT(1)
#define NPT_PERM_X BIT(2)

/*
 * Walks the tables at `ncr3` in the format that L1's paging mode at VMRUN implies, for one access (walks of L2's own
 * page tables are writes: pass ACCESS_WRITE), as a user access. True: *out is the address, *page_size the size of the
 * mapping in bytes, *perms what further accesses may do without another walk (NPT_PERM_W only once the dirty bit is
 * set). Accessed and dirty bits are set. False: f->gpa, present, rsvd, access and user are filled; the caller adds la,
 * la_valid and final.
 * Source: AMD APM volume 2, "Nested Paging".
 */
bool npt_walk(struct vcpu *v, u64 ncr3, ngpa_t gpa, enum access access, gpa_t *out, u64 *page_size, u8 *perms,
              struct stage2_fault *f);

#endif
