/*
 * Page tables for tests: pages from a pool, entries at any level.
 */
#include "runtime.h"

#define POOL_PAGES 256
static u8 pool[POOL_PAGES][4096] __attribute__((aligned(4096)));
static unsigned used;

void *page_alloc(void)
{
    if (used == POOL_PAGES) {
        print("# out of pages\n");
        debug_exit(2);
    }
    return fill(pool[used++], 0, 4096);
}

u64 *pte_of(u64 *root, u64 la, unsigned level)
{
    u64 *table = root;
    for (unsigned l = 4;; l--) {
        u64 *e = &table[la >> (3 + 9 * l) & 511];
        if (l == level)
            return e;
        if (!(*e & PTE_P))
            *e = (u64)page_alloc() | PTE_P | PTE_W | PTE_U;
        table = (u64 *)(*e & 0x000ffffffffff000ull);
    }
}

void map_page(u64 la, u64 pa, u64 flags)
{
    *pte_of(pml4, la, 1) = pa | flags;
    invlpg(la);
}
