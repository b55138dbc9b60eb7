/*
 * Pages that blocks are made from: which blocks, which lines of 64 bytes they have bytes in, and, in memory that others
 * write without notice, the bytes that they were made from. Callers hold cache.lock, unless a comment says otherwise.
 */
#ifndef CPU_JIT_PAGE_H
#define CPU_JIT_PAGE_H

#include "cpu/jit/block.h"

#define PAGE_LINE (PAGE_SIZE / 64)

/* A block in the list of a page that it has bytes in: `size` of them from `offset` on. */
struct page_ref {
    struct block *block;
    struct page_ref *next;
    u16 offset, size;
};

struct page_code {
    u64 host;                /* of the page's first byte */
    struct page_code *next;  /* with the same hash */
    struct page_ref *blocks; /* dead ones, too, until one is killed next */
    enum direct_code direct; /* what direct execution knows of it. If it knows something, all lines count as code */
    u64 lines;               /* [a] a bit each: may have bytes of blocks. Those of live blocks have */
    u8 *original; /* [a] all blocks have their bytes here, what is between them means nothing; NULL: nobody will ask */
};

/* The lines of some bytes of a page. */
static inline u64 page_lines(u64 offset, u64 size)
{
    u64 first = offset / PAGE_LINE, last = (offset + size - 1) / PAGE_LINE;
    return ~0ull << first & ~0ull >> (63 - last);
}

/* Returns what is known of a page, or NULL. A vCPU's thread in cpu_run may call it without the lock: only a flush takes
 * pages away, and it waits until no vCPU is there. */
struct page_code *page_find(const struct cache *c, u64 host);
/* The same, but makes what is missing. Returns NULL if the cache is full. */
struct page_code *page_get(struct cache *c, u64 host, bool foreign);

/* Announces that a block will be made from these bytes: whoever writes there from now on waits for the lock. Returns
 * the lines that had code before, for page_enter. */
u64 page_announce(struct page_code *p, u64 offset, u64 size);
/* Ends what page_announce began: b was made from the bytes, or, if it is NULL, no block was. Returns how many other
 * blocks died, because they were made from other bytes. */
u32 page_enter(struct cache *c, struct page_code *p, u64 lines, struct block *b, const u8 *bytes, u64 offset, u64 size);

/* Kills the blocks with bytes in this part of the page; returns how many. */
u32 page_kill(struct cache *c, struct page_code *p, u64 offset, u64 size);
/* Returns whether memory may differ from what the blocks were made from. Needs no lock, like page_find. */
bool page_differs(const struct page_code *p);
/* Kills the blocks whose bytes differ from memory; returns how many. */
u32 page_renew(struct cache *c, struct page_code *p);

#endif
