/*
 * One entry of a paging structure in guest memory, of the guest's own paging, of EPT or of NPT: how a walk reads it and
 * sets its accessed and dirty bits.
 *
 * A walk marks after all its checks, from the top down, by compare-exchange. If an entry is no longer what was read,
 * the walk starts again. Source: SDM vol. 3A "Accessed and Dirty Flags"; vol. 3C "Accessed and Dirty Flags for EPT".
 */
#ifndef CPU_MMU_PTE_H
#define CPU_MMU_PTE_H

#include "cpu/mmu/mmu.h"

struct pte {
    void *host;            /* NULL: not in RAM, reads as ones */
    struct ram_slot *slot; /* of `host` */
    gpa_t gpa;
    u64 value; /* as read */
};

/* Where the entry lies. */
static inline void pte_find(struct vcpu *v, struct pte *e, gpa_t gpa)
{
    e->gpa = gpa;
    e->slot = vcpu_slot_near(v, &v->last_table, gpa);
    e->host = e->slot ? ram_host(e->slot, gpa) : NULL;
}

/* wide: of 8 bytes, else of 4. */
static inline u64 pte_read(struct pte *e, bool wide)
{
    if (wide)
        e->value = e->host ? __atomic_load_n((u64 *)e->host, __ATOMIC_RELAXED) : ~0ull;
    else
        e->value = e->host ? __atomic_load_n((u32 *)e->host, __ATOMIC_RELAXED) : ~0u;
    return e->value;
}

/* Sets bits. In what is not RAM, or ROM, they stay as they are. False: the entry is not what was read any more. */
static inline MUST_CHECK bool pte_mark(struct vcpu *v, struct pte *e, bool wide, u64 bits)
{
    u64 value = e->value | bits;
    bool done;
    if (likely(value == e->value) || !e->host || e->slot->flags & RAM_READONLY)
        return true;
    if (wide) {
        u64 old = e->value;
        done = __atomic_compare_exchange_n((u64 *)e->host, &old, value, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    } else {
        u32 old = (u32)e->value;
        done = __atomic_compare_exchange_n((u32 *)e->host, &old, (u32)value, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
    }
    if (done)
        mem_written(v, e->slot, e->gpa, wide ? 8 : 4);
    return done;
}

#endif
