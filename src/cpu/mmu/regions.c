/*
 * Regions of guests' address spaces: see regions.h.
 */
#include "cpu/mmu/regions.h"

#include "cpu/core/copy.h"

static u32 bucket(const void *owner, u64 la)
{
    u64 h = (la >> REGION_SHIFT) * 0x9e3779b97f4a7c15ull + (u64)owner * 0x2545f4914f6cdd1dull;
    return (u32)(h >> 52);
}

struct region *region_find(const struct regions *a, const void *owner, u64 la)
{
    struct region *r = a->hash[bucket(owner, la)];
    while (r && (r->owner != owner || r->la != la >> REGION_SHIFT << REGION_SHIFT))
        r = r->next_hash;
    return r;
}

struct region *region_make(struct regions *a, void *owner, struct region **list, u64 la)
{
    struct region *r = a->free, **at = &a->hash[bucket(owner, la)];
    if (r)
        a->free = r->next;
    else if (a->made < a->most)
        r = &a->region[a->made++];
    else
        return NULL;
    fill_bytes(r->page, 0, sizeof r->page);
    r->la = la >> REGION_SHIFT << REGION_SHIFT;
    r->owner = owner;
    r->count = 0;
    r->next_hash = *at;
    r->next = *list;
    *at = *list = r;
    return r;
}

void regions_free(struct regions *a, struct region **list)
{
    for (struct region *r = *list, *next; r; r = next) {
        struct region **at = &a->hash[bucket(r->owner, r->la)];
        while (*at != r)
            at = &(*at)->next_hash;
        *at = r->next_hash;
        next = r->next;
        r->count = 0; /* for whoever is going through the list */
        r->next = a->free;
        a->free = r;
    }
    *list = NULL;
}

bool leaf_table_same(const struct leaf_table *a, const struct leaf_table *b)
{
    return a->entry == b->entry && a->leaf == b->leaf && a->shift == b->shift && a->user == b->user &&
           a->write == b->write && a->fetch == b->fetch;
}

static u32 filter_bit(u64 host)
{
    return (host >> PAGE_SHIFT) % FILTER_BITS;
}

void page_filter_add(struct page_filter *f, u64 host)
{
    f->word[filter_bit(host) / 64] |= BIT64(filter_bit(host) % 64);
}

bool page_filter_has(const struct page_filter *f, u64 host, u64 size)
{
    for (u64 at = 0; at < size; at += PAGE_SIZE)
        if (at >= 64 * PAGE_SIZE || f->word[filter_bit(host + at) / 64] >> (filter_bit(host + at) % 64) & 1)
            return true;
    return false;
}
