/*
 * Dirty pages, epoch by epoch. A page has its bit when it was written in this epoch, and no vCPU has a write mapping of
 * a page without a bit: so a page costs one trip to the slow path per epoch, and nothing after that.
 *
 * To end an epoch the accelerator stops the vCPUs (dirty_begin), the bits are taken, and the accelerator takes write
 * mappings away (dirty_end). One that logs writes itself adds what it knows before that (dirty_fetch). Nothing is
 * stopped when no bit is set: what is written meanwhile belongs to the next epoch.
 */
#include "ram/lock.h"

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
    return (pages + 63) / 64;
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

static void end(struct ram *r, const struct ram_slot *s, u64 first, u64 pages)
{
    if (r->ops && r->ops->dirty_end)
        r->ops->dirty_end(r->opaque, s, first, pages);
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
    bool some = !keep && any(s->dirty, count);
    if (some)
        begin(r);
    for (u64 i = 0; i < count; i++)
        bitmap[i] = !load(&s->dirty[i]) ? 0
                    : some              ? __atomic_exchange_n(&s->dirty[i], 0, __ATOMIC_RELAXED)
                                        : load(&s->dirty[i]);
    if (some)
        end(r, s, 0, pages);
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
    end(r, s, first, count);
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
