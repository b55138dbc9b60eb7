/*
 * A clock for device tests: time moves only by clock_advance(), which runs every timer at its exact
 * deadline.
 */
#ifndef TESTS_UNIT_FAKE_CLOCK_H
#define TESTS_UNIT_FAKE_CLOCK_H

#include "bus/bus.h"

static u64 fake_now = 1000;
static u64 fake_now_ns(void *opaque)
{
    return fake_now;
}
static struct clock fake_clock = {.now_ns = fake_now_ns};

static inline void clock_advance(u64 ns)
{
    u64 end = fake_now + ns;
    while (fake_clock.timers && fake_clock.timers->deadline_ns <= end) {
        if (fake_clock.timers->deadline_ns > fake_now)
            fake_now = fake_clock.timers->deadline_ns;
        clock_run(&fake_clock);
    }
    fake_now = end;
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

#endif
