/*
 * Dirty rings: besides its bit in the slot's bitmap, a page that a vCPU makes dirty becomes an entry of the vCPU's
 * ring, which lies in memory that the owner of the VM shares. The owner marks entries that it has taken, and
 * ram_rings_reset ends the epoch of their pages.
 *
 * A ring has one producer, whoever owns the vCPU at that time, and one consumer, who holds ram_locks.change. A vCPU
 * leaves its guest at the ring's limit. What it still writes until then finds room behind the limit; if even that is
 * used up, the page gets a bit in the second half of the slot's bitmap and is late: ram_ring_settle makes up for it.
 */
#ifndef RAM_RING_H
#define RAM_RING_H

#include "ram/slot.h"

/* The layout of struct kvm_dirty_gfn, and its flags. */
struct ram_dirty_page {
    u32 flags; /* [a] RAM_PAGE_*; 0: the entry is free */
    u32 slot;  /* number, and the address space << 16 */
    u64 offset;
};
#define RAM_PAGE_DIRTY BIT(0)
#define RAM_PAGE_TAKEN BIT(1)

struct ram_ring {
    struct ram_dirty_page *page;
    u32 size, limit; /* entries, a power of two; from `limit` on, the vCPU leaves */
    u32 next;        /* [a] where the next entry goes, counted from the beginning of time */
    u32 reset;       /* [a] the first entry that is in use */
    bool late;       /* there are pages without an entry */
};

static inline u32 ram_ring_used(const struct ram_ring *ring)
{
    return __atomic_load_n(&ring->next, __ATOMIC_RELAXED) - __atomic_load_n(&ring->reset, __ATOMIC_ACQUIRE);
}

static inline bool ram_ring_full(const struct ram_ring *ring)
{
    return ram_ring_used(ring) >= ring->limit;
}

/* Where a slot notes its pages that are late. */
static inline u64 *ram_late(const struct ram_slot *s)
{
    return s->dirty + ram_dirty_words(s->size);
}

/* A page of a slot that is logged became dirty. */
static inline void ram_ring_push(struct ram_ring *ring, const struct ram_slot *s, u64 page)
{
    if (unlikely(ram_ring_used(ring) >= ring->size)) {
        __atomic_fetch_or(&ram_late(s)[page / 64], BIT64(page % 64), __ATOMIC_RELAXED);
        ring->late = true;
        return;
    }
    struct ram_dirty_page *p = &ring->page[ring->next & (ring->size - 1)];
    p->slot = s->id | s->space << 16;
    p->offset = page;
    __atomic_store_n(&p->flags, RAM_PAGE_DIRTY, __ATOMIC_RELEASE);
    __atomic_store_n(&ring->next, ring->next + 1, __ATOMIC_RELAXED);
}

#endif
