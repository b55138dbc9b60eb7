/*
 * Slots that come, go and change. Everything that can fail is made first; then the accelerator is asked, which stops
 * the vCPUs; then the new array takes the place of the old one.
 *
 * What is refused, and how, is KVM's. Source: Linux, Documentation/virt/kvm/api.rst, "KVM_SET_USER_MEMORY_REGION";
 * where the text is silent, what its code does.
 */
#include "ram/lock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS_END BIT64(52)
#define SIZE_MAX_PAGES (BIT64(31) - 1)

/* The words of the pages of one range of host memory. Ranges never overlap: the slots of overlapping memory share one
 * that holds them all. */
struct ram_pages {
    u8 *host;
    u64 size;
    u32 slots;
    u32 word[];
};

/* A change: the new arrays of all spaces that it touches, and what is freed when it is done. */
struct change {
    struct ram *r;
    u32 space;
    struct ram_slot *old;    /* in the present array; NULL: the slot is new */
    struct ram_slot now;     /* size 0: the slot goes */
    struct ram_slot *array;  /* the space's new array */
    struct ram_pages *pages; /* new words for `now` and whoever overlaps it; NULL: none are needed */
};

static struct ram_slot *slot_by_id(const struct ram_space *s, u32 id)
{
    for (u32 i = 0; i < s->count; i++)
        if (s->slot[i].id == id)
            return &s->slot[i];
    return NULL;
}

static bool overlap(u64 a, u64 a_size, u64 b, u64 b_size)
{
    return a < b + b_size && b < a + a_size;
}

static int region_check(const struct ram *r, u32 space, const struct ram_region *g, const struct ram_slot *old)
{
    u64 host = (u64)g->host;
    if ((g->start.a | g->size | host) & PAGE_MASK || g->size >> PAGE_SHIFT > SIZE_MAX_PAGES ||
        g->start.a + g->size < g->start.a || host + g->size < host)
        return -EINVAL;
    if (!g->size)
        return old ? 0 : -EINVAL;
    if (g->start.a + g->size > ADDRESS_END)
        return -EINVAL;
    if (old && (old->host != g->host || old->size != g->size || (old->flags ^ g->flags) & (RAM_READONLY | RAM_FOREIGN)))
        return -EINVAL;
    if (old && old->start.a == g->start.a)
        return 0;
    const struct ram_space *s = &r->space[space];
    for (u32 i = 0; i < s->count; i++)
        if (&s->slot[i] != old && overlap(s->slot[i].start.a, s->slot[i].size, g->start.a, g->size))
            return -EEXIST;
    return 0;
}

/* Makes the bitmap of a slot that begins to be logged. */
static int dirty_create(struct ram_slot *s, bool all)
{
    u64 pages = s->size >> PAGE_SHIFT, words = ram_dirty_words(s->size);
    s->dirty = calloc(2 * words, sizeof *s->dirty);
    if (!s->dirty)
        return -ENOMEM;
    if (all) {
        memset(s->dirty, 0xff, words * sizeof *s->dirty);
        if (pages % 64)
            s->dirty[pages / 64] = BIT64(pages % 64) - 1;
    }
    return 0;
}

/* Finds the words of the slot's pages, or makes new ones for it and all whose host memory it overlaps: *made. */
static int pages_find(const struct ram *r, struct ram_slot *now, struct ram_pages **made)
{
    u64 start = (u64)now->host, end = start + now->size;
    for (u32 space = 0; space < RAM_SPACES; space++) {
        for (u32 i = 0; i < r->space[space].count; i++) {
            struct ram_pages *p = r->space[space].slot[i].pages;
            u64 from = (u64)p->host, to = from + p->size;
            if (!overlap(start, end - start, from, p->size))
                continue;
            now->pages = p;
            start = from < start ? from : start;
            end = to > end ? to : end;
        }
    }
    if (now->pages && (u64)now->pages->host == start && now->pages->size == end - start)
        return 0;
    struct ram_pages *p = calloc(1, sizeof *p + ((end - start) >> PAGE_SHIFT) * sizeof p->word[0]);
    if (!p)
        return -ENOMEM;
    p->host = (u8 *)start;
    p->size = end - start;
    now->pages = *made = p;
    return 0;
}

static void pages_use(struct ram_slot *s, struct ram_pages *p)
{
    s->pages = p;
    s->page = p->word + ((u64)(s->host - p->host) >> PAGE_SHIFT);
    p->slots++;
}

static void pages_drop(struct ram_pages *p)
{
    if (!--p->slots)
        free(p);
}

/* Makes all slots within the new range take their words from it. Slots that go are replaced right after. */
static void pages_merge(struct ram *r, struct ram_pages *made)
{
    for (u32 space = 0; space < RAM_SPACES; space++) {
        for (u32 i = 0; i < r->space[space].count; i++) {
            struct ram_slot *s = &r->space[space].slot[i];
            struct ram_pages *before = s->pages;
            if (!overlap((u64)made->host, made->size, (u64)s->host, s->size))
                continue;
            const u32 *word = s->page;
            pages_use(s, made);
            memcpy(s->page, word, (s->size >> PAGE_SHIFT) * sizeof *word);
            pages_drop(before);
        }
    }
}

static u32 array_remove(struct ram_slot *array, u32 count, u32 id)
{
    u32 n = 0;
    for (u32 i = 0; i < count; i++)
        if (array[i].id != id)
            array[n++] = array[i];
    return n;
}

static u32 array_insert(struct ram_slot *array, u32 count, const struct ram_slot *s)
{
    u32 i = count;
    for (; i && array[i - 1].start.a > s->start.a; i--)
        array[i] = array[i - 1];
    array[i] = *s;
    return count + 1;
}

/* Puts the new array in place of the old one, which is returned. */
static struct ram_slot *change_commit(struct change *c)
{
    struct ram_space *s = &c->r->space[c->space];
    pthread_rwlock_wrlock(&c->r->locks->slots);
    if (c->pages)
        pages_merge(c->r, c->pages);
    u32 count = s->count;
    if (count)
        memcpy(c->array, s->slot, count * sizeof *s->slot);
    if (c->old)
        count = array_remove(c->array, count, c->old->id);
    if (c->now.size) {
        pages_use(&c->now, c->now.pages);
        count = array_insert(c->array, count, &c->now);
    }
    struct ram_slot *before = s->slot;
    s->slot = c->array;
    s->count = count;
    pthread_rwlock_unlock(&c->r->locks->slots);
    return before;
}

static int change_prepare(struct change *c, bool all_dirty)
{
    u32 count = c->r->space[c->space].count;
    c->array = calloc(count + 1, sizeof *c->array);
    if (!c->array)
        return -ENOMEM;
    if (!c->now.size)
        return 0;
    if (c->now.flags & RAM_LOG_DIRTY) {
        if (c->old)
            c->now.dirty = c->old->dirty;
        if (!c->now.dirty && dirty_create(&c->now, all_dirty))
            return -ENOMEM;
    }
    return pages_find(c->r, &c->now, &c->pages);
}

static int change_make(struct change *c)
{
    const struct ram_slot before = c->old ? *c->old : (struct ram_slot){0};
    const struct ram_slot *old = c->old ? &before : NULL, *now = c->now.size ? &c->now : NULL;
    struct ram *r = c->r;
    int e = r->ops ? r->ops->change_begin(r->opaque, c->space, old, now) : 0;
    if (e)
        return e;
    struct ram_pages *pages = old ? old->pages : NULL;
    struct ram_slot *array = change_commit(c);
    if (r->ops && r->ops->change_end)
        r->ops->change_end(r->opaque, c->space, old, now);
    if (pages)
        pages_drop(pages);
    if (old && old->dirty && old->dirty != c->now.dirty)
        free(old->dirty);
    free(array);
    return 0;
}

static int slot_set(struct ram *r, u32 space, const struct ram_region *g)
{
    struct ram_slot *old = slot_by_id(&r->space[space], g->id);
    u32 flags = g->flags & (RAM_LOG_DIRTY | RAM_READONLY | RAM_FOREIGN);
    int e = region_check(r, space, g, old);
    if (e || (old && g->size && old->start.a == g->start.a && old->flags == flags))
        return e;
    struct change c = {
        .r = r,
        .space = space,
        .old = old,
        .now = {.start = g->start, .size = g->size, .host = g->host, .id = g->id, .space = space, .flags = flags},
    };
    e = change_prepare(&c, g->flags & RAM_ALL_DIRTY);
    if (!e)
        e = change_make(&c);
    if (e) {
        free(c.array);
        free(c.pages);
        if (!old || c.now.dirty != old->dirty)
            free(c.now.dirty);
    }
    return e;
}

int ram_slot_set(struct ram *r, u32 space, const struct ram_region *g)
{
    if (space >= RAM_SPACES || g->id >= RAM_SLOT_IDS ||
        g->flags & ~(RAM_LOG_DIRTY | RAM_READONLY | RAM_FOREIGN | RAM_ALL_DIRTY))
        return -EINVAL;
    pthread_mutex_lock(&r->locks->change);
    int e = slot_set(r, space, g);
    pthread_mutex_unlock(&r->locks->change);
    return e;
}

struct ram *ram_create(void)
{
    struct ram *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->locks = calloc(1, sizeof *r->locks);
    if (!r->locks) {
        free(r);
        return NULL;
    }
    pthread_mutex_init(&r->locks->change, NULL);
    pthread_rwlock_init(&r->locks->slots, NULL);
    return r;
}

void ram_destroy(struct ram *r)
{
    if (!r)
        return;
    for (u32 space = 0; space < RAM_SPACES; space++) {
        struct ram_space *s = &r->space[space];
        for (u32 i = 0; i < s->count; i++) {
            pages_drop(s->slot[i].pages);
            free(s->slot[i].dirty);
        }
        free(s->slot);
    }
    pthread_mutex_destroy(&r->locks->change);
    pthread_rwlock_destroy(&r->locks->slots);
    free(r->locks);
    free(r);
}

int ram_attach(struct ram *r, const struct ram_ops *ops, void *opaque)
{
    int e = 0;
    pthread_mutex_lock(&r->locks->change);
    for (u32 space = 0; space < RAM_SPACES && !e; space++) {
        for (u32 i = 0; i < r->space[space].count && !e; i++) {
            const struct ram_slot *s = &r->space[space].slot[i];
            e = ops->change_begin(opaque, space, NULL, s);
            if (!e && ops->change_end)
                ops->change_end(opaque, space, NULL, s);
        }
    }
    if (!e) {
        r->ops = ops;
        r->opaque = opaque;
    }
    pthread_mutex_unlock(&r->locks->change);
    return e;
}

void ram_detach(struct ram *r)
{
    pthread_mutex_lock(&r->locks->change);
    r->ops = NULL;
    pthread_mutex_unlock(&r->locks->change);
}
