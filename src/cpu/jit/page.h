/*
 * Pages that blocks are made from: which blocks, which lines of 64 bytes they have bytes in, and, in memory that others
 * write without notice, the bytes that they were made from. Under cache.lock, if nothing else is said.
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
    u64 lines;               /* [a] a bit each: may have bytes of blocks. Those of live blocks have */
    u8 *original; /* [a] all blocks have their bytes here, what is between them means nothing; NULL: nobody will ask */
};

/* The lines of some bytes of a page. */
static inline u64 page_lines(u64 offset, u64 size)
{
    u64 first = offset / PAGE_LINE, last = (offset + size - 1) / PAGE_LINE;
    return ~0ull << first & ~0ull >> (63 - last);
}

/* What is known of a page, or NULL. Without the lock too, on the thread of a vCPU in cpu_run: only a flush, which waits
 * for that, takes pages away. */
struct page_code *page_find(const struct cache *c, u64 host);
/* The same, and makes it; NULL: the cache is full. */
struct page_code *page_get(struct cache *c, u64 host, bool foreign);

/* Blocks are going to be made of these bytes: whoever writes there from now on waits for the lock. Returns the lines
 * that were there before, for page_enter. */
u64 page_announce(struct page_code *p, u64 offset, u64 size);
/* Ends that: b was made from the bytes, or nothing was (NULL). Returns how many other blocks turned out to be made from
 * others and died. */
u32 page_enter(struct cache *c, struct page_code *p, u64 lines, struct block *b, const u8 *bytes, u64 offset, u64 size);

/* Kills the blocks with bytes in this part of the page; returns how many. */
u32 page_kill(struct cache *c, struct page_code *p, u64 offset, u64 size);
/* Is memory not any more what the blocks were made from? Perhaps not if true; takes no lock, as page_find. */
bool page_differs(const struct page_code *p);
/* Kills the blocks for which that holds; returns how many. */
u32 page_renew(struct cache *c, struct page_code *p);

#endif
