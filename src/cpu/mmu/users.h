/*
 * User pages at host addresses: as mapped.h, for translated code of CPL 3, and for L2's kernels (docs/mapped.md). What
 * is mapped belongs to an address space, and keeps up with the guest's tables by mmu_epoch. Per vCPU, as its TLB is.
 *
 * tlb.mapped_add has host minus linear address, by bits 46:39 of the linear address, in contexts of users and of L2.
 */
#ifndef CPU_MMU_USERS_H
#define CPU_MMU_USERS_H

#include "cpu/mmu/mapped.h"
#include "cpu/mmu/tlb.h"

/* So many vCPUs of a VM have it: each takes 6.5 TiB of the host's address space at least, a single one 65. */
#define USERS_VCPUS 8

size_t users_size(void);
/* `memory` is zeroed. Without address space for it in the host nothing is ever mapped; most of it is taken when a space
 * is mapped first, as the number of vCPUs is known then. */
void users_attach(struct vcpu *v, void *memory);
void users_detach(struct vcpu *v);

/* A context was made for a new key: nothing of it is mapped. */
void users_context(const struct vcpu *v, struct tlb *t);
/* The context was selected, and vcpu.mode is that of its code but for MODE_MAPPED, which is decided here; also of what
 * SYSRET leads to. */
void users_select(struct vcpu *v, struct tlb *t);

/* As mapped_fault, for code of CPL 3 or of L2. */
enum mapped_outcome users_fault(struct vcpu *v, u64 host, u64 add, bool write);

/* Where guest memory lies that is mapped at a host address, too; NULL: nothing is mapped there. */
const u8 *users_memory(const struct vcpu *v, const u8 *host);

/* INVLPG in a context whose epoch was `before`. */
void users_drop(struct vcpu *v, struct tlb *t, u64 la, u64 before);
/* As mapped_empty and mapped_protect: also on another thread in the exclusive section. */
void users_empty(struct vcpu *v);
void users_protect(struct vcpu *v, const u8 *memory, u64 size);

#endif
