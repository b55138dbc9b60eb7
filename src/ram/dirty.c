/*
 * Dirty pages, epoch by epoch. A page has its bit when it was written in this epoch, and no vCPU has a write mapping of
 * a page without a bit: so a page costs one trip to the slow path per epoch, and nothing after that.
 *
 * To end an epoch the accelerator stops the vCPUs (dirty_begin), the bits are taken, and the accelerator takes write
 * mappings away (dirty_cleared) and lets the vCPUs go (dirty_end). An accelerator that logs writes itself adds what it
 * knows before that (dirty_fetch). Nothing is stopped when no bit is set: what is written meanwhile belongs to the next
 * epoch. Bits that are read and stay stop the vCPUs, too: otherwise one that waits for a host CPU in the middle of a
 * store may write a value that is two epochs older than the bitmap which reports it.
 *
 * With dirty rings (ring.h) the pages whose epoch ends are those of the entries that were taken.
 */
#include "ram/lock.h"
#include "ram/ring.h"

#include <errno.h>
#include <string.h>

static struct ram_slot *logged(struct ram *r, u32 space, u32 id)
{
    if (space >= RAM_SPACES)
        return NULL;
    for (u32 i = 0; i < r->space[space].count; i++) {
        struct ram_slot *s = &r->space[space].slot[i];
        if (s->id == id)
            return s->dirty ? s : NULL;
    }
    return NULL;
}

static u64 words(u64 pages)
{
    return ram_dirty_words(pages << PAGE_SHIFT);
}

static u64 load(const u64 *word)
{
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static bool any(const u64 *word, u64 count)
{
    for (u64 i = 0; i < count; i++)
        if (load(&word[i]))
            return true;
    return false;
}

static void begin(struct ram *r)
{
    if (r->ops && r->ops->dirty_begin)
        r->ops->dirty_begin(r->opaque);
}

static void cleared(struct ram *r, const struct ram_slot *s, u64 first, u64 pages)
{
    if (r->ops && r->ops->dirty_cleared)
        r->ops->dirty_cleared(r->opaque, s, first, pages);
}

static void end(struct ram *r)
{
    if (r->ops && r->ops->dirty_end)
        r->ops->dirty_end(r->opaque);
}

static int dirty_get(struct ram *r, u32 space, u32 id, u64 *bitmap, bool keep)
{
    struct ram_slot *s = logged(r, space, id);
    if (!s)
        return -ENOENT;
    int e = r->ops && r->ops->dirty_fetch ? r->ops->dirty_fetch(r->opaque, space, s) : 0;
    if (e)
        return e;
    u64 pages = s->size >> PAGE_SHIFT, count = words(pages);
    if (!any(s->dirty, count)) {
        memset(bitmap, 0, count * sizeof(*bitmap));
        return 0;
    }
    begin(r);
    for (u64 i = 0; i < count; i++)
        bitmap[i] =
            keep || !load(&s->dirty[i]) ? load(&s->dirty[i]) : __atomic_exchange_n(&s->dirty[i], 0, __ATOMIC_RELAXED);
    if (!keep)
        cleared(r, s, 0, pages);
    end(r);
    return 0;
}

static int dirty_clear(struct ram *r, u32 space, u32 id, u64 first, u64 count, const u64 *bitmap)
{
    struct ram_slot *s = logged(r, space, id);
    if (!s)
        return -ENOENT;
    u64 pages = s->size >> PAGE_SHIFT;
    if (first % 64 || first > pages || count > pages - first || (count % 64 && count < pages - first))
        return -EINVAL;
    if (!any(bitmap, words(count)))
        return 0;
    begin(r);
    for (u64 i = 0; i < words(count); i++)
        __atomic_fetch_and(&s->dirty[first / 64 + i], ~bitmap[i], __ATOMIC_RELAXED);
    cleared(r, s, first, count);
    end(r);
    return 0;
}

int ram_dirty_get(struct ram *r, u32 space, u32 id, u64 *bitmap, bool keep)
{
    pthread_mutex_lock(&r->locks->change);
    int e = dirty_get(r, space, id, bitmap, keep);
    pthread_mutex_unlock(&r->locks->change);
    return e;
}

int ram_dirty_clear(struct ram *r, u32 space, u32 id, u64 first, u64 count, const u64 *bitmap)
{
    pthread_mutex_lock(&r->locks->change);
    int e = dirty_clear(r, space, id, first, count, bitmap);
    pthread_mutex_unlock(&r->locks->change);
    return e;
}

/* -- rings -- */

/* Pages of each slot whose bits were cleared: from `first` up to, not including, `end`. */
struct spans {
    u64 first[RAM_SPACES][RAM_SLOT_IDS], end[RAM_SPACES][RAM_SLOT_IDS];
};

static struct ram_dirty_page *taken(const struct ram_ring *ring)
{
    struct ram_dirty_page *p = &ring->page[ring->reset & (ring->size - 1)];
    return ring->reset != __atomic_load_n(&ring->next, __ATOMIC_RELAXED) &&
                   __atomic_load_n(&p->flags, __ATOMIC_ACQUIRE) & RAM_PAGE_TAKEN
               ? p
               : NULL;
}

/* The owner may have written anything there, and the slot may be gone. */
static void entry_reset(struct ram *r, struct spans *spans, struct ram_dirty_page *p)
{
    u32 slot = __atomic_load_n(&p->slot, __ATOMIC_RELAXED), space = slot >> 16, id = slot & 0xffff;
    u64 page = __atomic_load_n(&p->offset, __ATOMIC_RELAXED);
    __atomic_store_n(&p->flags, 0, __ATOMIC_RELEASE);
    const struct ram_slot *s = logged(r, space, id);
    if (!s || page >= s->size >> PAGE_SHIFT)
        return;
    __atomic_fetch_and(&s->dirty[page / 64], ~BIT64(page % 64), __ATOMIC_RELAXED);
    u64 *first = &spans->first[space][id], *last = &spans->end[space][id];
    if (!*last || page < *first)
        *first = page;
    if (page >= *last)
        *last = page + 1;
}

static u32 rings_reset(struct ram *r, struct ram_ring *const *ring, u32 count)
{
    struct spans spans;
    u32 n = 0, first = 0;
    while (first < count && !taken(ring[first]))
        first++;
    if (first == count)
        return 0;
    memset(&spans, 0, sizeof(spans));
    begin(r);
    for (u32 i = first; i < count; i++) {
        for (struct ram_dirty_page *p; (p = taken(ring[i])); n++) {
            entry_reset(r, &spans, p);
            __atomic_store_n(&ring[i]->reset, ring[i]->reset + 1, __ATOMIC_RELEASE);
        }
    }
    for (u32 space = 0; space < RAM_SPACES; space++) {
        for (u32 i = 0; i < r->space[space].count; i++) {
            const struct ram_slot *s = &r->space[space].slot[i];
            u64 from = spans.first[space][s->id], to = spans.end[space][s->id];
            if (to)
                cleared(r, s, from, to - from);
        }
    }
    end(r);
    return n;
}

u32 ram_rings_reset(struct ram *r, struct ram_ring *const *ring, u32 count)
{
    pthread_mutex_lock(&r->locks->change);
    u32 n = rings_reset(r, ring, count);
    pthread_mutex_unlock(&r->locks->change);
    return n;
}

/* False: the ring is full again. */
static bool slot_settle(const struct ram_slot *s, struct ram_ring *ring)
{
    u64 *late = ram_late(s), bits;
    for (u64 i = 0; i < ram_dirty_words(s->size); i++) {
        while ((bits = load(&late[i]))) {
            if (ram_ring_full(ring))
                return false;
            u64 bit = bits & -bits;
            if (__atomic_fetch_and(&late[i], ~bit, __ATOMIC_RELAXED) & bit)
                ram_ring_push(ring, s, i * 64 + (u64)__builtin_ctzll(bit));
        }
    }
    return true;
}

void ram_ring_settle(struct ram *r, struct ram_ring *ring)
{
    bool room = true;
    if (likely(!ring->late))
        return;
    pthread_rwlock_rdlock(&r->locks->slots);
    for (u32 space = 0; space < RAM_SPACES; space++)
        for (u32 i = 0; i < r->space[space].count && room; i++)
            if (r->space[space].slot[i].dirty)
                room = slot_settle(&r->space[space].slot[i], ring);
    pthread_rwlock_unlock(&r->locks->slots);
    ring->late = !room;
}
