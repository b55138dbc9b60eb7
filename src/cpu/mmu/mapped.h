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

/* Addresses of the host's for guest memory: an area is what one entry of the topmost table maps, with room around it
 * that any displacement stays in. */
#define AREA_SIZE BIT64(MAPPED_SHIFT)
#define AREA_ROOM (4ull << 30)
#define AREA_APART (AREA_SIZE + AREA_ROOM)
#define AREAS_SIZE(count) ((count)*AREA_APART + AREA_ROOM)

static inline u8 *area_at(u8 *space, u32 i)
{
    return space + AREA_ROOM + i * AREA_APART;
}

/* cpu_host.alias */
static inline bool alias_set(const struct vcpu *v, u8 *at, u64 size, u8 *memory, unsigned rights)
{
    const struct cpu_host *host = v->vm->host;
    return host->alias(host->opaque, at, size, memory, rights);
}

/* The vCPU's part of so many mappings of the host, of which pages in a row that are mapped or lose rights take two; the
 * VM's first `most` vCPUs have some. */
static inline u32 alias_share(const struct vcpu *v, u32 mappings, u32 most)
{
    u32 vcpus = v->vm->vcpu_count;
    return mappings / 2 / (vcpus < most ? vcpus : most);
}

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
