/*
 * What is mapped of guests' address spaces, region by region of 2 MiB: which host page by which entry of the guest's
 * tables. Direct execution has it of its processes (cpu/direct/space.h), mapped memory of users (users.c). Whoever owns
 * the regions decides what is mapped and unmaps it; here they are kept and found.
 */
#ifndef CPU_MMU_REGIONS_H
#define CPU_MMU_REGIONS_H

#include "cpu/mmu/mmu.h"

#define REGION_SHIFT 21
#define REGION_PAGES 512u

struct region {
    u64 la;
    void *owner;                     /* the address space */
    struct region *next_hash, *next; /* of the same hash; of the same owner */
    u32 count;                       /* pages with PAGE_MAPPED */
    struct leaf_table table;         /* as it was when the pages were mapped */
    u64 entry[REGION_PAGES];         /* the same of each page's entry */
    u64 page[REGION_PAGES];          /* host address, and PAGE_*; 0: not mapped */
};
/* What owners have of their own begins at BIT64(2). */
#define PAGE_MAPPED BIT64(0)
#define PAGE_WRITE BIT64(1)

/* The regions of one vCPU's address spaces: `most` of them at `region`, both set by whoever has the memory. */
struct regions {
    struct region *region;
    u32 most, made;
    struct region *free, *hash[4096];
};

/* NULL: the owner has none there. */
struct region *region_find(const struct regions *a, const void *owner, u64 la);
/* Adds an empty one to the owner's list. NULL: there is no room. */
struct region *region_make(struct regions *a, void *owner, struct region **list, u64 la);
/* Gives all of the owner's regions back. */
void regions_free(struct regions *a, struct region **list);

static inline u32 region_index(u64 la)
{
    return la >> PAGE_SHIFT & (REGION_PAGES - 1);
}

static inline u64 region_la(const struct region *r, u32 i)
{
    return r->la + ((u64)i << PAGE_SHIFT);
}

/* What is mapped at an address, as in region.page. */
static inline u64 region_page(const struct regions *a, const void *owner, u64 la)
{
    const struct region *r = region_find(a, owner, la);
    return r ? r->page[region_index(la)] : 0;
}

/* The guest's entry for a page, as it is now. */
static inline u64 leaf_entry(const struct leaf_table *t, u32 i)
{
    return t->entry ? __atomic_load_n(&t->entry[i], __ATOMIC_RELAXED) : t->leaf;
}

bool leaf_table_same(const struct leaf_table *a, const struct leaf_table *b);

/* Host pages, by hash: one that was added is found, and others may be. */
#define FILTER_BITS 65536u
struct page_filter {
    u64 word[FILTER_BITS / 64];
};
void page_filter_add(struct page_filter *f, u64 host);
/* May there be a page of host memory in [host, host + size)? */
bool page_filter_has(const struct page_filter *f, u64 host, u64 size);

#endif
