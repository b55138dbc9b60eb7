/*
 * The events of a VM in one sorted array: they are few, looked up often and seldom changed.
 */
#include "kvmapi/ioeventfd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FLAGS (KVM_IOEVENTFD_FLAG_DATAMATCH | KVM_IOEVENTFD_FLAG_PIO | KVM_IOEVENTFD_FLAG_DEASSIGN)

void ioevents_init(struct ioevents *all)
{
    *all = (struct ioevents){0};
    pthread_rwlock_init(&all->lock, NULL);
}

void ioevents_destroy(struct ioevents *all)
{
    for (u32 i = 0; i < all->count; i++)
        eventfd_close(&all->event[i].event);
    free(all->event);
    pthread_rwlock_destroy(&all->lock);
}

/* Returns the index of the first event at the address or behind it. */
static u32 find(const struct ioevents *all, bool port, u64 address)
{
    u32 low = 0, high = all->count;
    while (low < high) {
        u32 mid = (low + high) / 2;
        const struct ioevent *e = &all->event[mid];
        if (e->port != port ? e->port < port : e->address < address)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool is_at(const struct ioevents *all, u32 i, bool port, u64 address)
{
    return i < all->count && all->event[i].port == port && all->event[i].address == address;
}

static u64 masked(u64 value, u32 size)
{
    return size >= 8 ? value : value & (BIT64(size * 8) - 1);
}

/* Could one write match both? */
static bool collide(const struct ioevent *a, const struct ioevent *b)
{
    return !a->size || !b->size || (a->size == b->size && (!a->matches || !b->matches || a->match == b->match));
}

static int add(struct ioevents *all, struct ioevent *e, int fd)
{
    u32 at = find(all, e->port, e->address);
    for (u32 i = at; is_at(all, i, e->port, e->address); i++) {
        if (collide(&all->event[i], e))
            return -EEXIST;
    }
    if (all->count == IOEVENTS_MAX)
        return -ENOSPC;
    struct ioevent *grown = realloc(all->event, (all->count + 1) * sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    all->event = grown;
    int r = eventfd_copy(&e->event, fd);
    if (r)
        return r;
    memmove(&grown[at + 1], &grown[at], (all->count - at) * sizeof(*grown));
    grown[at] = *e;
    all->count++;
    return 0;
}

static int drop(struct ioevents *all, const struct ioevent *e, int fd)
{
    for (u32 i = find(all, e->port, e->address); is_at(all, i, e->port, e->address); i++) {
        struct ioevent *old = &all->event[i];
        if (old->size != e->size || old->matches != e->matches || (e->matches && old->match != e->match) ||
            !eventfd_is(&old->event, fd))
            continue;
        eventfd_close(&old->event);
        all->count--;
        memmove(old, old + 1, (all->count - i) * sizeof(*old));
        return 0;
    }
    return -ENOENT;
}

int ioevents_change(struct ioevents *all, const struct kvm_ioeventfd *k)
{
    struct ioevent e = {.address = k->addr,
                        .size = k->len,
                        .port = k->flags & KVM_IOEVENTFD_FLAG_PIO,
                        .matches = k->flags & KVM_IOEVENTFD_FLAG_DATAMATCH};
    if (k->flags & ~FLAGS || k->addr + k->len < k->addr || (e.matches && !k->len))
        return -EINVAL;
    if (k->len != 0 && k->len != 1 && k->len != 2 && k->len != 4 && k->len != 8)
        return -EINVAL;
    if (e.matches)
        e.match = masked(k->datamatch, k->len);
    pthread_rwlock_wrlock(&all->lock);
    int r = k->flags & KVM_IOEVENTFD_FLAG_DEASSIGN ? drop(all, &e, k->fd) : add(all, &e, k->fd);
    pthread_rwlock_unlock(&all->lock);
    return r;
}

bool ioevents_write(struct ioevents *all, bool port, u64 address, u64 value, unsigned size)
{
    bool found = false;
    if (!__atomic_load_n(&all->count, __ATOMIC_RELAXED))
        return false;
    pthread_rwlock_rdlock(&all->lock);
    for (u32 i = find(all, port, address); !found && is_at(all, i, port, address); i++) {
        const struct ioevent *e = &all->event[i];
        found = !e->size || (e->size == size && (!e->matches || e->match == masked(value, size)));
        if (found)
            eventfd_signal(&e->event);
    }
    pthread_rwlock_unlock(&all->lock);
    return found;
}
