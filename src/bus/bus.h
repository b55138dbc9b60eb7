/*
 * What a device sees of its machine: accesses to its windows of ports and memory, interrupt lines, time and timers. A
 * device knows neither its address nor its interrupt controller: it gets offsets, and a struct irq to drive.
 *
 * Threads: windows are added before vCPUs run or under the machine lock. Accesses, lines and timers are used with the
 * machine lock held, so devices need no locks.
 */
#ifndef BUS_BUS_H
#define BUS_BUS_H

#include "base/types.h"

/* A device's register window. Offsets are relative to the window; sizes are 1, 2, 4 or 8 and within [min_size,
 * max_size]: the bus splits wider and widens narrower accesses. */
struct bus_ops {
    u64 (*read)(void *dev, u64 offset, unsigned size);
    void (*write)(void *dev, u64 offset, u64 value, unsigned size);
    u8 min_size, max_size; /* 0 stands for 1 and 8 */
};

struct bus_window {
    u64 start, size;
    const struct bus_ops *ops;
    void *dev;
};

#define BUS_WINDOWS 64

struct bus {
    struct bus_window window[BUS_WINDOWS]; /* sorted by start */
    unsigned count;
    u64 unclaimed_reads, unclaimed_writes;
};

/* Returns 0, -EEXIST if it overlaps a window, -ENOSPC, or -EINVAL if it is empty or wraps around. */
int MUST_CHECK bus_add(struct bus *bus, u64 start, u64 size, const struct bus_ops *ops, void *dev);
void bus_remove(struct bus *bus, u64 start);
/* Reads where no window is return all ones. */
u64 bus_read(struct bus *bus, u64 address, unsigned size);
void bus_write(struct bus *bus, u64 address, u64 value, unsigned size);

/* An interrupt line as a device sees it. */
struct irq {
    void (*set)(void *opaque, unsigned line, bool level);
    void *opaque;
    unsigned line;
};
static inline void irq_set(const struct irq *irq, bool level)
{
    if (irq->set)
        irq->set(irq->opaque, irq->line, level);
}

/*
 * Time and timers for devices, which the machine provides. Callbacks run with the machine lock held.
 *
 * A guest must make progress, whatever it sets its clocks to. So each expiry is a debt of TIMER_GAP_NS, which is paid
 * by the time that passes, and a timer that owes TIMER_DEBT_NS waits until it owes less. A device that must know how
 * often it would have been due computes it from the time.
 */
#define TIMER_GAP_NS 100000
#define TIMER_DEBT_NS (16 * TIMER_GAP_NS)
struct dev_timer {
    u64 deadline_ns; /* time of `clock`; 0: not armed */
    u64 paid_ns;     /* when the debt is paid */
    void (*expired)(void *dev);
    void *dev;
    struct clock *clock;
    struct dev_timer *next;
};
struct clock {
    u64 (*now_ns)(void *opaque);                  /* monotonic time of the VM: stops while the VM is stopped */
    void (*rearm)(void *opaque, u64 deadline_ns); /* the earliest deadline changed; 0: none is left */
    void *opaque;
    struct dev_timer *timers; /* sorted by deadline */
};
void timer_init(struct dev_timer *t, struct clock *clock, void (*expired)(void *dev), void *dev);
void timer_arm(struct dev_timer *t, u64 deadline_ns); /* 0 disarms */
/* Runs what is due, and returns the next deadline or 0. The machine's timer thread calls it. */
u64 clock_run(struct clock *clock);

#endif
