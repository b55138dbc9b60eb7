/*
 * What a device under test is connected to: a clock whose time moves only by clock_advance(), which runs every timer at
 * its exact deadline; interrupt lines that remember; and a way through saved state.
 */
#ifndef TESTS_UNIT_FAKE_BOARD_H
#define TESTS_UNIT_FAKE_BOARD_H

#include "bus/bus.h"
#include "bus/device.h"

#include <stdlib.h>

/* Zeroed memory for the objects of one test. */
static inline void *fresh(size_t size)
{
    void *p = calloc(1, size);
    if (!p)
        abort();
    return p;
}

struct fake_clock {
    struct clock clock;
    u64 now;
};

static u64 fake_clock_now(void *opaque)
{
    return ((struct fake_clock *)opaque)->now;
}

static inline void fake_clock_init(struct fake_clock *c)
{
    *c = (struct fake_clock){.clock = {.now_ns = fake_clock_now, .opaque = c}, .now = 1000};
}

static inline void clock_advance(struct fake_clock *c, u64 ns)
{
    u64 end = c->now + ns;
    while (c->clock.timers && c->clock.timers->deadline_ns <= end) {
        if (c->clock.timers->deadline_ns > c->now)
            c->now = c->clock.timers->deadline_ns;
        clock_run(&c->clock);
    }
    c->now = end;
}

/* An interrupt line that remembers. */
struct fake_line {
    bool level;
    unsigned rises;
};
static inline void fake_line_set(void *opaque, unsigned line, bool level)
{
    struct fake_line *l = (struct fake_line *)opaque + line;
    l->rises += level && !l->level;
    l->level = level;
}

/* Saves `from`, and loads that into `to` after its reset; they may be the same. Returns the error of the stream. */
static inline int state_pass(const struct device_ops *ops, void *from, void *to)
{
    size_t size;
    struct state *saving = state_save_begin();
    ops->state(from, saving, "device");
    const void *bytes = state_bytes(saving, &size);
    struct state *loading = state_load_begin(bytes, size);
    ops->reset(to);
    ops->state(to, loading, "device");
    int e = state_error(loading);
    state_free(saving);
    state_free(loading);
    return e;
}

#endif
