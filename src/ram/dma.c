/*
 * Guest memory for devices, loaders and the VM's owner. Each write is followed by its notice: pages that are logged
 * become dirty, and translated code that was made from the bytes dies.
 *
 * The notice comes after the bytes. A collector of dirty pages that comes between them reads the new bytes and finds
 * the page dirty again in the next epoch. A translator marks the page, then reads it: either it reads the new bytes, or
 * its mark is seen here.
 */
#include "ram/lock.h"

#include <string.h>

/* Gives notice of a write, for each page of a range of one slot. */
static void written(struct ram *r, const struct ram_slot *s, gpa_t at, u64 size)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (u64 end = at.a + size, part; at.a < end; at.a += part) {
        part = PAGE_SIZE - (at.a & PAGE_MASK);
        if (part > end - at.a)
            part = end - at.a;
        if (s->flags & RAM_LOG_DIRTY)
            ram_mark_dirty(s, at);
        if (r->ops && r->ops->code_written && __atomic_load_n(ram_page_word(s, at), __ATOMIC_RELAXED) & RAM_CODE)
            r->ops->code_written(r->opaque, s, at, part);
    }
}

/* Returns the slot of `at`, or NULL; *part is how many of `size` bytes lie in it. */
static struct ram_slot *part_find(const struct ram *r, gpa_t at, u64 size, u64 *part)
{
    struct ram_slot *s = ram_find(&r->space[0], at);
    if (s) {
        u64 left = s->size - (at.a - s->start.a);
        *part = left < size ? left : size;
    }
    return s;
}

static bool range_is_ram(const struct ram *r, gpa_t at, u64 size, bool write)
{
    if (at.a + size < at.a)
        return false;
    for (u64 part; size; at.a += part, size -= part) {
        const struct ram_slot *s = part_find(r, at, size, &part);
        if (!s || (write && s->flags & RAM_READONLY))
            return false;
    }
    return true;
}

bool ram_read(struct ram *r, gpa_t at, void *to, u64 size)
{
    pthread_rwlock_rdlock(&r->locks->slots);
    bool ok = range_is_ram(r, at, size, false);
    for (u64 part; ok && size; at.a += part, size -= part, to = (u8 *)to + part) {
        const struct ram_slot *s = part_find(r, at, size, &part);
        memcpy(to, ram_host(s, at), part);
    }
    pthread_rwlock_unlock(&r->locks->slots);
    return ok;
}

/* Writes the bytes at `from`, or `value` all over if that is NULL. */
static bool put(struct ram *r, gpa_t at, const u8 *from, u8 value, u64 size)
{
    pthread_rwlock_rdlock(&r->locks->slots);
    bool ok = range_is_ram(r, at, size, true);
    for (u64 part; ok && size; at.a += part, size -= part) {
        const struct ram_slot *s = part_find(r, at, size, &part);
        if (from) {
            memcpy(ram_host(s, at), from, part);
            from += part;
        } else {
            memset(ram_host(s, at), value, part);
        }
        written(r, s, at, part);
    }
    pthread_rwlock_unlock(&r->locks->slots);
    return ok;
}

bool ram_write(struct ram *r, gpa_t at, const void *from, u64 size)
{
    return put(r, at, from, 0, size);
}

bool ram_fill(struct ram *r, gpa_t at, u8 value, u64 size)
{
    return put(r, at, NULL, value, size);
}

void *ram_pointer(struct ram *r, gpa_t at, u64 size)
{
    u64 part = 0;
    pthread_rwlock_rdlock(&r->locks->slots);
    const struct ram_slot *s = part_find(r, at, size, &part);
    void *host = s && part == size && !(s->flags & RAM_READONLY) ? ram_host(s, at) : NULL;
    if (host)
        written(r, s, at, size);
    pthread_rwlock_unlock(&r->locks->slots);
    return host;
}

void ram_written(struct ram *r, gpa_t at, u64 size)
{
    pthread_rwlock_rdlock(&r->locks->slots);
    for (u64 part; size; at.a += part, size -= part) {
        const struct ram_slot *s = part_find(r, at, size, &part);
        if (s) {
            written(r, s, at, part);
        } else {
            part = PAGE_SIZE - (at.a & PAGE_MASK);
            part = part < size ? part : size;
        }
    }
    pthread_rwlock_unlock(&r->locks->slots);
}

bool ram_gpa(const struct ram *r, const void *host, gpa_t *at)
{
    const struct ram_space *space = &r->space[0];
    for (u32 i = 0; i < space->count; i++) {
        const struct ram_slot *s = &space->slot[i];
        u64 offset = (u64)host - (u64)s->host;
        if (offset < s->size) {
            *at = GPA(s->start.a + offset);
            return true;
        }
    }
    return false;
}
