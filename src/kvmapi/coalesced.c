/*
 * Zones of coalesced writes, and the ring. A full ring takes no more: then the write goes to the program by itself,
 * which empties the ring before it looks at the write.
 */
#include "kvmapi/coalesced.h"

#include <errno.h>
#include <string.h>

void coalesced_init(struct coalesced *c)
{
    *c = (struct coalesced){0};
    pthread_mutex_init(&c->lock, NULL);
}

void coalesced_destroy(struct coalesced *c)
{
    pthread_mutex_destroy(&c->lock);
}

static bool contains(const struct kvm_coalesced_mmio_zone *z, bool port, u64 address, u64 size)
{
    return !z->pio == !port && address >= z->addr && size <= z->size && address - z->addr <= z->size - size;
}

int coalesced_add(struct coalesced *c, const struct kvm_coalesced_mmio_zone *zone)
{
    if (zone->pio > 1)
        return -EINVAL;
    pthread_mutex_lock(&c->lock);
    int e = c->count < COALESCED_ZONES_MAX ? 0 : -ENOSPC;
    if (!e) {
        c->zone[c->count] = *zone;
        __atomic_store_n(&c->count, c->count + 1, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&c->lock);
    return e;
}

int coalesced_remove(struct coalesced *c, const struct kvm_coalesced_mmio_zone *zone)
{
    if (zone->pio > 1)
        return -EINVAL;
    pthread_mutex_lock(&c->lock);
    u32 kept = 0;
    for (u32 i = 0; i < c->count; i++) {
        if (!contains(&c->zone[i], zone->pio, zone->addr, zone->size))
            c->zone[kept++] = c->zone[i];
    }
    __atomic_store_n(&c->count, kept, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&c->lock);
    return 0;
}

static bool in_zone(const struct coalesced *c, bool port, u64 address, unsigned size)
{
    for (u32 i = 0; i < c->count; i++) {
        if (contains(&c->zone[i], port, address, size))
            return true;
    }
    return false;
}

static bool put(struct kvm_coalesced_mmio_ring *ring, bool port, u64 address, const void *data, unsigned size)
{
    /* The program may have written anything there. */
    u32 last = ring->last % KVM_COALESCED_MMIO_MAX, next = (last + 1) % KVM_COALESCED_MMIO_MAX;
    if (next == __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE))
        return false;
    struct kvm_coalesced_mmio *entry = &ring->coalesced_mmio[last];
    entry->phys_addr = address;
    entry->len = size;
    memcpy(entry->data, data, size);
    entry->pio = port;
    __atomic_store_n(&ring->last, next, __ATOMIC_RELEASE);
    return true;
}

bool coalesced_write(struct coalesced *c, bool port, u64 address, const void *data, unsigned size)
{
    if (!__atomic_load_n(&c->count, __ATOMIC_RELAXED) || size > sizeof(c->ring->coalesced_mmio[0].data))
        return false;
    pthread_mutex_lock(&c->lock);
    bool taken = c->ring && in_zone(c, port, address, size) && put(c->ring, port, address, data, size);
    pthread_mutex_unlock(&c->lock);
    return taken;
}
