/*
 * Host signals that copied instructions raise. Handlers call this while translated code of the vCPU runs, so nothing is
 * locked; a block stays where it is until a flush, which waits for this vCPU.
 */
#ifndef CPU_JIT_SIGNAL_H
#define CPU_JIT_SIGNAL_H

#include "cpu/core/vcpu.h"

/*
 * Called from a signal handler on the vCPU's thread, for a host fault with x86 vector `trapno` at host_rip. Records the
 * guest's exception and returns the host address to continue at, or NULL if the fault is not the guest's.
 */
const u8 *exec_signal(struct vcpu *v, const u8 *host_rip, unsigned trapno);

/* The same for a page fault at a host address, which may be one of mmu/mapped.h, with RCX as it was. */
const u8 *exec_page_fault(struct vcpu *v, const u8 *host_rip, u64 address, u64 rcx, bool write);

/* The guest_rip of core/upcalls.h. */
u64 exec_guest_rip(struct vcpu *v, u64 host_rip);

#endif
