/*
 * Slots: which guest-physical pages are RAM, and in which host memory. This header is what the CPU core reads; ram.h is
 * how slots are made and how devices reach memory.
 *
 * Slots of an address space lie sorted in one array, and never overlap. vCPUs look into it without a lock, as it
 * changes only while they are stopped (struct ram_ops). No pointer to a slot may be kept over a point where a vCPU may
 * stop.
 */
#ifndef RAM_SLOT_H
#define RAM_SLOT_H

#include "base/types.h"

#define RAM_SPACES 2     /* address spaces of a VM: 0; and 1, what system management mode sees */
#define RAM_SLOT_IDS 509 /* slots per space */

/* ram_slot.flags: the values of KVM_MEM_*. */
#define RAM_LOG_DIRTY BIT(0)
#define RAM_READONLY BIT(1) /* ROM: reads are RAM's, writes go to devices */
/* KVM has no such flag: others write there without notice (docs/ram.md "Memory of others"). */
#define RAM_FOREIGN BIT(8)

struct ram_slot {
    gpa_t start;
    u64 size; /* bytes; start, size and host are multiples of PAGE_SIZE */
    u8 *host;
    u32 *page;  /* [a] one word per page, shared by all slots of the same host memory: see RAM_CODE */
    u64 *dirty; /* [a] one bit per page that was written in this epoch, twice as many words as that takes (ring.h);
                   NULL: nobody asks */
    u32 id, space, flags;
    struct ram_pages *pages; /* what `page` points into */
};

/*
 * The word of a page says which vCPUs may have a write mapping of it (bit: index modulo RAM_WRITERS), and that
 * translated code was made from it. A filler of mappings sets its bit, then looks at RAM_CODE; a translator sets
 * RAM_CODE, then looks at the bits. So both cannot believe that they are alone.
 */
#define RAM_WRITERS 31
#define RAM_CODE BIT(RAM_WRITERS)

struct ram_space {
    struct ram_slot *slot; /* by start */
    u32 count;
    struct ram_slot none; /* of size 0: what a cache of the last slot found holds at first */
};

/* The slot that `at` lies in, or NULL. */
static inline struct ram_slot *ram_find(const struct ram_space *s, gpa_t at)
{
    u32 low = 0, high = s->count;
    while (low < high) {
        u32 middle = (low + high) / 2;
        struct ram_slot *slot = &s->slot[middle];
        if (at.a - slot->start.a < slot->size)
            return slot;
        if (at.a < slot->start.a)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static inline u64 ram_page(const struct ram_slot *s, gpa_t at)
{
    return (at.a - s->start.a) >> PAGE_SHIFT;
}

static inline void *ram_host(const struct ram_slot *s, gpa_t at)
{
    return s->host + (at.a - s->start.a);
}

static inline u32 *ram_page_word(const struct ram_slot *s, gpa_t at)
{
    return &s->page[ram_page(s, at)];
}

static inline bool ram_is_dirty(const struct ram_slot *s, gpa_t at)
{
    u64 page = ram_page(s, at);
    return __atomic_load_n(&s->dirty[page / 64], __ATOMIC_RELAXED) >> (page % 64) & 1;
}

/* [any] Notes that the page of `at` is being written, or was. For slots that are logged. Returns true if the page was
 * clean. */
static inline bool ram_mark_dirty(const struct ram_slot *s, gpa_t at)
{
    u64 page = ram_page(s, at), bit = BIT64(page % 64);
    return !ram_is_dirty(s, at) && !(__atomic_fetch_or(&s->dirty[page / 64], bit, __ATOMIC_RELAXED) & bit);
}

/* Returns the words of a bitmap with one bit per page. */
static inline u64 ram_dirty_words(u64 size)
{
    return ((size >> PAGE_SHIFT) + 63) / 64;
}

/*
 * What is asked of the accelerator. Between a begin and its end no vCPU looks at slots or writes. Called on any thread
 * that runs no vCPU at that time and holds no lock that a device takes.
 */
struct ram_ops {
    /* A slot comes (`old` is NULL), goes (`now` is NULL) or changes. change_begin returns 0, or -errno: then nothing
     * changes. change_end may be NULL. */
    int (*change_begin)(void *opaque, u32 space, const struct ram_slot *old, const struct ram_slot *now);
    void (*change_end)(void *opaque, u32 space, const struct ram_slot *old, const struct ram_slot *now);
    /* An accelerator that logs writes itself adds them to slot->dirty. Returns 0 or -errno. May be NULL. */
    int (*dirty_fetch)(void *opaque, u32 space, struct ram_slot *s);
    /* dirty_begin: bits of dirty pages are about to be read, and perhaps cleared. dirty_cleared: they were cleared, of
     * some of `pages` pages from `first` on; the next write to each of them must set its bit again. dirty_end: that was
     * all. All may be NULL. */
    void (*dirty_begin)(void *opaque);
    void (*dirty_cleared)(void *opaque, const struct ram_slot *s, u64 first, u64 pages);
    void (*dirty_end)(void *opaque);
    /* [any] Somebody who is no vCPU wrote to a page of this slot that has RAM_CODE set. May be NULL. */
    void (*code_written)(void *opaque, const struct ram_slot *s, gpa_t at, u64 size);
};

struct ram {
    struct ram_space space[RAM_SPACES];
    const struct ram_ops *ops; /* of the accelerator, NULL before ram_attach */
    void *opaque;
    struct ram_locks *locks; /* lock.h */
};

#endif
