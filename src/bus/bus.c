/*
 * Dispatch of port and MMIO accesses to device windows, and the timers of devices.
 *
 * Called with the machine lock held, from vCPU threads (accesses) and the timer thread (clock_run). An access is cut at
 * window borders, then into pieces of a size that the device takes. A piece that is narrower than the device's smallest
 * access reads the whole register; a write puts the changed bytes back with the others. A sorted array with binary
 * search was preferred to a tree: the machine has some thirty windows, which rarely change.
 */
#include "bus/bus.h"

#include <errno.h>
#include <string.h>

/* Returns the index of the first window that ends above `address`. */
static unsigned bus_find(const struct bus *bus, u64 address)
{
    unsigned low = 0, high = bus->count;
    while (low < high) {
        unsigned mid = (low + high) / 2;
        const struct bus_window *w = &bus->window[mid];
        if (w->start + (w->size - 1) < address)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

int bus_add(struct bus *bus, u64 start, u64 size, const struct bus_ops *ops, void *dev)
{
    if (size == 0 || start + (size - 1) < start)
        return -EINVAL;
    if (bus->count == BUS_WINDOWS)
        return -ENOSPC;
    unsigned i = bus_find(bus, start);
    if (i < bus->count && bus->window[i].start <= start + (size - 1))
        return -EEXIST;
    memmove(&bus->window[i + 1], &bus->window[i], (bus->count - i) * sizeof(bus->window[0]));
    bus->window[i] = (struct bus_window){start, size, ops, dev};
    bus->count++;
    return 0;
}

void bus_remove(struct bus *bus, u64 start)
{
    unsigned i = bus_find(bus, start);
    if (i == bus->count || bus->window[i].start != start)
        return;
    bus->count--;
    memmove(&bus->window[i], &bus->window[i + 1], (bus->count - i) * sizeof(bus->window[0]));
}

static u64 ones(unsigned size)
{
    return size >= 8 ? ~0ull : (1ull << (size * 8)) - 1;
}

/* Returns the size of the largest naturally aligned piece at `offset` that is at most `max` and at most `size`. */
static unsigned piece_size(u64 offset, unsigned size, unsigned max)
{
    unsigned n = max;
    while (n > size || (n > 1 && (offset & (n - 1))))
        n /= 2;
    return n;
}

static u64 window_read(const struct bus_window *w, u64 offset, unsigned size)
{
    unsigned min = w->ops->min_size ? w->ops->min_size : 1;
    unsigned max = w->ops->max_size ? w->ops->max_size : 8;
    u64 value = 0;
    for (unsigned done = 0; done < size;) {
        unsigned n = piece_size(offset + done, size - done, max);
        u64 piece;
        if (n < min) {
            u64 whole = (offset + done) & ~(u64)(min - 1);
            piece = w->ops->read(w->dev, whole, min) >> ((offset + done - whole) * 8);
        } else {
            piece = w->ops->read(w->dev, offset + done, n);
        }
        value |= (piece & ones(n)) << (done * 8);
        done += n;
    }
    return value;
}

static void window_write(const struct bus_window *w, u64 offset, u64 value, unsigned size)
{
    unsigned min = w->ops->min_size ? w->ops->min_size : 1;
    unsigned max = w->ops->max_size ? w->ops->max_size : 8;
    for (unsigned done = 0; done < size;) {
        unsigned n = piece_size(offset + done, size - done, max);
        u64 piece = (value >> (done * 8)) & ones(n);
        if (n < min) {
            u64 whole = (offset + done) & ~(u64)(min - 1);
            unsigned shift = (unsigned)(offset + done - whole) * 8;
            u64 old = w->ops->read(w->dev, whole, min);
            w->ops->write(w->dev, whole, (old & ~(ones(n) << shift)) | piece << shift, min);
        } else {
            w->ops->write(w->dev, offset + done, piece, n);
        }
        done += n;
    }
}

/* Returns the window at `address`, or NULL; *part is how much of an access of `size` lies in it, or in the gap. */
static const struct bus_window *bus_at(const struct bus *bus, u64 address, unsigned size, unsigned *part)
{
    *part = size;
    unsigned i = bus_find(bus, address);
    if (i == bus->count)
        return NULL;
    const struct bus_window *w = &bus->window[i];
    if (address < w->start) {
        if (w->start - address < size)
            *part = (unsigned)(w->start - address);
        return NULL;
    }
    if (w->size - (address - w->start) < size)
        *part = (unsigned)(w->size - (address - w->start));
    return w;
}

u64 bus_read(struct bus *bus, u64 address, unsigned size)
{
    u64 value = 0;
    for (unsigned done = 0, part; done < size; done += part) {
        const struct bus_window *w = bus_at(bus, address + done, size - done, &part);
        u64 piece = ones(part);
        if (w)
            piece = window_read(w, address + done - w->start, part);
        else
            bus->unclaimed_reads++;
        value |= piece << (done * 8);
    }
    return value;
}

void bus_write(struct bus *bus, u64 address, u64 value, unsigned size)
{
    for (unsigned done = 0, part; done < size; done += part) {
        const struct bus_window *w = bus_at(bus, address + done, size - done, &part);
        if (w)
            window_write(w, address + done - w->start, value >> (done * 8), part);
        else
            bus->unclaimed_writes++;
    }
}

void timer_init(struct dev_timer *t, struct clock *clock, void (*expired)(void *dev), void *dev)
{
    *t = (struct dev_timer){.expired = expired, .dev = dev, .clock = clock};
}

static void timer_unlink(struct dev_timer *t)
{
    struct dev_timer **p = &t->clock->timers;
    while (*p && *p != t)
        p = &(*p)->next;
    if (*p)
        *p = t->next;
    t->next = NULL;
    t->deadline_ns = 0;
}

static u64 clock_first(const struct clock *clock)
{
    return clock->timers ? clock->timers->deadline_ns : 0;
}

void timer_arm(struct dev_timer *t, u64 deadline_ns)
{
    struct clock *clock = t->clock;
    u64 first = clock_first(clock);
    if (t->deadline_ns)
        timer_unlink(t);
    if (deadline_ns) {
        if (deadline_ns + TIMER_DEBT_NS < t->paid_ns)
            deadline_ns = t->paid_ns - TIMER_DEBT_NS;
        struct dev_timer **p = &clock->timers;
        while (*p && (*p)->deadline_ns <= deadline_ns)
            p = &(*p)->next;
        t->deadline_ns = deadline_ns;
        t->next = *p;
        *p = t;
    }
    if (clock_first(clock) != first && clock->rearm)
        clock->rearm(clock->opaque, clock_first(clock));
}

u64 clock_run(struct clock *clock)
{
    u64 now = clock->now_ns(clock->opaque);
    while (clock->timers && clock->timers->deadline_ns <= now) {
        struct dev_timer *t = clock->timers;
        timer_unlink(t);
        t->paid_ns = (t->paid_ns > now ? t->paid_ns : now) + TIMER_GAP_NS;
        t->expired(t->dev);
    }
    return clock_first(clock);
}
