/*
 * What is known of a page that blocks are made from.
 *
 * Data often lies beside code: writes to lines that have no code kill nothing and take no lock. A translator announces
 * the lines before it reads them, a writer writes before it looks at the lines, so one of them sees the other; the
 * same as with RAM_CODE.
 *
 * In memory that others write without notice a copy is kept of the lines that have code, so that one pass without the
 * lock says that nothing has changed. Its invariant: the bytes of each live block are there. Where memory differs from
 * it, blocks that differ die before the copy is made anew; so who reads a line of it while that happens sees no match
 * that a live block does not have.
 */
#include "cpu/jit/page.h"

#include "cpu/core/copy.h"

#define LINE_WORDS (PAGE_LINE / 8)

static struct page_code **bucket_of(const struct cache *c, u64 host)
{
    u64 h = (host >> PAGE_SHIFT) * 0x9e3779b97f4a7c15ull >> (64 - PAGE_HASH_BITS);
    return (struct page_code **)&c->pages[h];
}

struct page_code *page_find(const struct cache *c, u64 host)
{
    struct page_code *p = __atomic_load_n(bucket_of(c, host), __ATOMIC_ACQUIRE);
    while (p && p->host != host)
        p = p->next;
    return p;
}

struct page_code *page_get(struct cache *c, u64 host, bool foreign)
{
    struct page_code *p = page_find(c, host), **bucket = bucket_of(c, host);
    if (!p) {
        p = cache_alloc(c, sizeof(*p));
        if (!p)
            return NULL;
        *p = (struct page_code){.host = host, .next = *bucket};
        __atomic_store_n(bucket, p, __ATOMIC_RELEASE);
    }
    if (foreign && !p->original) {
        u8 *original = cache_alloc(c, PAGE_SIZE);
        if (!original)
            return NULL;
        copy_bytes(original, (const u8 *)host, PAGE_SIZE);
        __atomic_store_n(&p->original, original, __ATOMIC_RELEASE);
    }
    return p;
}

/* Takes dead blocks out of the list. */
static void sweep(struct page_code *p)
{
    u64 lines = p->direct != DIRECT_CODE_UNKNOWN ? ~0ull : 0;
    for (struct page_ref **at = &p->blocks, *r; (r = *at);) {
        if (r->block->valid) {
            lines |= page_lines(r->offset, r->size);
            at = &r->next;
        } else {
            *at = r->next;
        }
    }
    __atomic_store_n(&p->lines, lines, __ATOMIC_RELEASE);
}

u32 page_kill(struct cache *c, struct page_code *p, u64 offset, u64 size)
{
    u32 killed = 0;
    for (const struct page_ref *r = p->blocks; r; r = r->next) {
        if (!r->block->valid || r->offset >= offset + size || offset >= (u64)r->offset + r->size)
            continue;
        block_kill(c, r->block);
        killed++;
    }
    sweep(p);
    return killed;
}

/* -- memory that others write -- */

static bool bytes_differ(const u8 *a, const u8 *b, u64 size)
{
    while (size && *a == *b)
        a++, b++, size--;
    return size;
}

/* A line of the page is found to be `now`: kills the blocks that were made from something else. */
static u32 line_set(struct cache *c, struct page_code *p, u32 line, const u8 *now)
{
    u32 killed = 0;
    u64 start = (u64)line * PAGE_LINE, end = start + PAGE_LINE;
    u8 *old = p->original + start;
    bool same = !bytes_differ(old, now, PAGE_LINE);
    for (const struct page_ref *r = p->blocks; r && !same; r = r->next) {
        u64 from = r->offset > start ? r->offset : start, to = (u64)r->offset + r->size;
        to = to < end ? to : end;
        if (from >= to || !r->block->valid || !bytes_differ(old + (from - start), now + (from - start), to - from))
            continue;
        block_kill(c, r->block);
        killed++;
    }
    copy_bytes(old, now, PAGE_LINE);
    return killed;
}

bool page_differs(const struct page_code *p)
{
    u64 lines = __atomic_load_n(&p->lines, __ATOMIC_ACQUIRE);
    const u8 *original = __atomic_load_n(&p->original, __ATOMIC_RELAXED);
    if (!original)
        return false;
    for (; lines; lines &= lines - 1) {
        u64 line = (u64)__builtin_ctzll(lines) * PAGE_LINE, difference = 0;
        const u64 *a = (const u64 *)(original + line), *b = (const u64 *)(p->host + line);
        for (u32 i = 0; i < LINE_WORDS; i++)
            difference |= a[i] ^ b[i];
        if (difference)
            return true;
    }
    return false;
}

u32 page_renew(struct cache *c, struct page_code *p)
{
    u32 killed = 0;
    for (u64 lines = p->lines; lines; lines &= lines - 1) {
        u32 line = (u32)__builtin_ctzll(lines);
        u8 now[PAGE_LINE];
        copy_bytes(now, (const u8 *)p->host + (u64)line * PAGE_LINE, PAGE_LINE); /* once: it may change meanwhile */
        killed += line_set(c, p, line, now);
    }
    sweep(p);
    return killed;
}

/* -- translation -- */

u64 page_announce(struct page_code *p, u64 offset, u64 size)
{
    u64 room = PAGE_SIZE - offset;
    return __atomic_fetch_or(&p->lines, page_lines(offset, size < room ? size : room), __ATOMIC_SEQ_CST);
}

u32 page_enter(struct cache *c, struct page_code *p, u64 lines, struct block *b, const u8 *bytes, u64 offset, u64 size)
{
    u32 killed = 0;
    struct page_ref *r = b ? cache_alloc(c, sizeof(*r)) : NULL;
    if (!r) { /* the cache had room */
        __atomic_store_n(&p->lines, lines, __ATOMIC_RELEASE);
        return 0;
    }
    for (u64 at = offset, n; p->original && at < offset + size; at += n) {
        u8 now[PAGE_LINE];
        u32 line = (u32)(at / PAGE_LINE);
        u64 in_line = at % PAGE_LINE, left = offset + size - at;
        n = PAGE_LINE - in_line < left ? PAGE_LINE - in_line : left;
        copy_bytes(now, (const u8 *)p->host + (u64)line * PAGE_LINE, PAGE_LINE);
        copy_bytes(now + in_line, bytes + (at - offset), n);
        killed += line_set(c, p, line, now);
    }
    *r = (struct page_ref){.block = b, .next = p->blocks, .offset = (u16)offset, .size = (u16)size};
    p->blocks = r;
    __atomic_store_n(&p->lines, lines | page_lines(offset, size), __ATOMIC_RELEASE);
    return killed;
}
