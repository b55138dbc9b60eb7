/*
 * Mapped memory: a kernel's own pages at host addresses, so that translated code of supervisor mode reaches them
 * without a TLB check and the host's MMU finds out what is not there (docs/mapped.md). Per vCPU, as its TLB is.
 *
 * vcpu.mapped_add holds host minus linear address, by bits 46:39 of the linear address. Whatever address a guest makes
 * up, the sum lies in one of the areas that are set aside here, or is no user address of the host's at all.
 */
#ifndef CPU_MMU_MAPPED_H
#define CPU_MMU_MAPPED_H

#include "cpu/core/vcpu.h"

/* Displacements from a register that mapped_add may be read for by that register alone: larger ones may be addresses
 * themselves, with an index in the register. */
#define MAPPED_REACH 32768
/* So many vCPUs of a VM have it: each takes 4.6 TiB of the host's address space. */
#define MAPPED_VCPUS 12

static inline u32 mapped_index(u64 la)
{
    return la >> MAPPED_SHIFT & (MAPPED_COUNT - 1);
}

struct mapped;

size_t mapped_size(void);
/* `memory` is zeroed. Without address space for it in the host nothing is ever mapped: vcpu.mapped is NULL. */
void mapped_attach(struct vcpu *v, void *memory);
void mapped_detach(struct vcpu *v);

/* May code in the vCPU's current state use it? Of 64-bit code with CPL 0, that is. */
bool mapped_fits(const struct vcpu *v);

enum mapped_outcome {
    MAPPED_DONE,    /* the access can be made again */
    MAPPED_LATER,   /* this time it must go by the TLB: a page fault of the guest's, or mapped_add has changed */
    MAPPED_REFUSED, /* it must go by the TLB */
};
/*
 * Translated code has met a page fault at a host address, with `add` of mapped_add in use. Called in the handler of the
 * host's signal, with the guest's vector state live.
 */
enum mapped_outcome mapped_fault(struct vcpu *v, u64 host, u64 add, bool write);

/* Where guest memory lies that is mapped at a host address, too; NULL: nothing is mapped there. */
const u8 *mapped_memory(const struct vcpu *v, const u8 *host);

/* Invalidations, as of the TLB: a global page, or all of them, by an instruction of the guest's. */
void mapped_drop(struct vcpu *v, u64 la);
void mapped_flush(struct vcpu *v);
/* Called also on another thread in the exclusive section, while the vCPU may be in the middle of a block, which knows
 * where areas lie: so they stay what they are for. Nothing is mapped any more; or pages of host memory lose the right
 * to be written. */
void mapped_empty(struct vcpu *v);
void mapped_protect(struct vcpu *v, const u8 *memory, u64 size);

#endif
