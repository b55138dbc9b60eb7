/*
 * HPET: a 100 MHz main counter computed from the VM's clock, and timers armed at the exact nanosecond of their match.
 * Called under the machine lock.
 *
 * A comparator that the counter has already passed matches only after the counter wrapped, as in hardware: drivers
 * check for that themselves. Periodic matches that the host was too slow for come later: timer_next. Source: IA-PC HPET
 * (High Precision Event Timers) Specification 1.0a, "Register Model Overview".
 */
#include "dev/hpet.h"

#define ROUTE_MASK 31u
#define T_WRITABLE                                                                                                     \
    (HPET_TN_LEVEL | HPET_TN_ENABLE | HPET_TN_PERIODIC | HPET_TN_MODE32 | HPET_TN_ROUTE(ROUTE_MASK) | HPET_TN_FSB)
#define GSI_MASK_DEFAULT 0x00f00000u /* inputs 20 to 23 of the I/O APIC */
#define FAR_TICKS BIT64(60)          /* a match so far away never comes */
#define MISSED_MAX 50                /* so many interrupts are made up for at most */
#define MISSED_SPEEDUP 4             /* they come so many times as fast as the period */
#define MISSED_PERIOD 100000000u     /* one second in ticks: interrupts of longer periods are not made up for */

static u64 now_ns(const struct hpet *h)
{
    return h->clock->now_ns(h->clock->opaque);
}

static u64 counter_now(const struct hpet *h)
{
    if (!(h->config & HPET_ENABLE))
        return h->held;
    return h->held + (now_ns(h) - h->start_ns) / HPET_TICK_NS;
}

static unsigned timer_index(const struct hpet_timer *t)
{
    return (unsigned)(t - t->hpet->timer);
}

static unsigned timer_route(const struct hpet_timer *t)
{
    return (unsigned)(t->config / HPET_TN_ROUTE(1)) & ROUTE_MASK;
}

static bool legacy_on(const struct hpet *h)
{
    return (h->config & (HPET_ENABLE | HPET_LEGACY)) == (HPET_ENABLE | HPET_LEGACY);
}

static void timer_line(struct hpet_timer *t, bool level)
{
    struct hpet *h = t->hpet;
    unsigned n = timer_index(t), route = timer_route(t);
    if (legacy_on(h) && n < 2)
        irq_set(&h->wiring.legacy[n], level);
    else if (h->wiring.gsi.set && h->wiring.gsi_mask >> route & 1)
        h->wiring.gsi.set(h->wiring.gsi.opaque, route, level);
}

/* Level-triggered outputs follow the status bit while the timer may interrupt. */
static void timer_level(struct hpet_timer *t)
{
    struct hpet *h = t->hpet;
    bool level = h->status >> timer_index(t) & 1 && t->config & HPET_TN_LEVEL && t->config & HPET_TN_ENABLE &&
                 !(t->config & HPET_TN_FSB) && h->config & HPET_ENABLE;
    if (level != t->level) {
        t->level = level;
        timer_line(t, level);
    }
}

static void timer_interrupt(struct hpet_timer *t)
{
    struct hpet *h = t->hpet;
    if (t->config & HPET_TN_LEVEL) {
        h->status |= BIT64(timer_index(t));
        timer_level(t);
    } else if (t->config & HPET_TN_ENABLE) {
        if (t->config & HPET_TN_FSB) {
            h->wiring.msi(h->wiring.opaque, t->fsb >> 32, (u32)t->fsb);
        } else {
            timer_line(t, true);
            timer_line(t, false);
        }
    }
}

static u64 timer_mask(const struct hpet_timer *t)
{
    return t->config & HPET_TN_MODE32 ? 0xffffffffull : ~0ull;
}

/* `now` is the counter as the caller read it: a match that is still ahead of that is not lost while we get here. */
static void timer_schedule(struct hpet_timer *t, u64 now)
{
    struct hpet *h = t->hpet;
    u64 due = 0;
    if (h->config & HPET_ENABLE) {
        u64 delta = (t->compare - now) & timer_mask(t);
        u64 ticks = now - h->held + delta;
        if (delta < FAR_TICKS && ticks < FAR_TICKS)
            due = h->start_ns + ticks * HPET_TICK_NS;
    }
    timer_arm(&t->timer, due);
}

/* Returns true if missed interrupts can be made up for: they are edges, and not so frequent that only some can come. */
static bool timer_counts(const struct hpet_timer *t)
{
    return t->config & HPET_TN_ENABLE && !(t->config & HPET_TN_LEVEL) && t->period <= MISSED_PERIOD &&
           t->period * HPET_TICK_NS >= MISSED_SPEEDUP * TIMER_GAP_NS;
}

/*
 * The next match of a periodic timer. Interrupts that the host was too late for are made up for, a quarter of a period
 * apart, so that a guest on a busy host still counts its ticks.
 */
static void timer_next(struct hpet_timer *t)
{
    u64 mask = timer_mask(t), now = counter_now(t->hpet), ahead = (t->compare - now) & mask;
    if (ahead && ahead <= t->period && t->missed) {
        t->missed--;
    } else {
        u64 late = ((now - t->compare) & mask) / t->period;
        t->compare = (t->compare + (late + 1) * t->period) & mask;
        t->missed = late + t->missed < MISSED_MAX ? (u32)late + t->missed : MISSED_MAX;
        ahead = (t->compare - now) & mask;
    }
    if (!timer_counts(t))
        t->missed = 0;
    timer_schedule(t, now);
    if (t->missed && t->period / MISSED_SPEEDUP < ahead)
        timer_arm(&t->timer, now_ns(t->hpet) + t->period / MISSED_SPEEDUP * HPET_TICK_NS);
}

static void timer_expired(void *dev)
{
    struct hpet_timer *t = dev;
    timer_interrupt(t);
    u64 mask = timer_mask(t);
    if (t->config & HPET_TN_PERIODIC && t->period) {
        timer_next(t);
    } else if (t->config & HPET_TN_MODE32) {
        /* It matches again when the low half of the counter comes round. */
        timer_arm(&t->timer, now_ns(t->hpet) + (mask + 1) * HPET_TICK_NS);
    }
}

static void config_write(struct hpet *h, u64 value)
{
    bool legacy = legacy_on(h);
    u64 old = h->config, now = counter_now(h);
    if (old & ~value & HPET_ENABLE)
        h->held = now;
    else if (value & ~old & HPET_ENABLE)
        h->start_ns = now_ns(h);
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        if (h->timer[i].level)
            timer_line(&h->timer[i], h->timer[i].level = false);
    }
    h->config = value & (HPET_ENABLE | HPET_LEGACY);
    if (legacy_on(h) != legacy && h->wiring.legacy_switched)
        h->wiring.legacy_switched(h->wiring.opaque, !legacy);
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        h->timer[i].missed = 0;
        timer_level(&h->timer[i]);
        timer_schedule(&h->timer[i], now);
    }
}

static void timer_config_write(struct hpet_timer *t, u64 value)
{
    if (t->level)
        timer_line(t, t->level = false);
    if (!(t->config & HPET_TN_FSB_CAP))
        value &= ~HPET_TN_FSB;
    t->config = (t->config & ~T_WRITABLE) | (value & T_WRITABLE);
    t->value_set = value & HPET_TN_VALUE_SET;
    if (!(t->config & HPET_TN_LEVEL))
        t->hpet->status &= ~BIT64(timer_index(t));
    t->compare &= timer_mask(t);
    t->missed = 0;
    timer_level(t);
    timer_schedule(t, counter_now(t->hpet));
}

/* In periodic mode the comparator register gives the period; after HPET_TN_VALUE_SET the next match too. */
static void compare_write(struct hpet_timer *t, u64 value, u64 touched)
{
    if (!(t->config & HPET_TN_PERIODIC) || t->value_set)
        t->compare = ((t->compare & ~touched) | value) & timer_mask(t);
    if (t->config & HPET_TN_PERIODIC)
        t->period = ((t->period & ~touched) | value) & timer_mask(t);
    if (touched & 1)
        t->value_set = false;
    t->missed = 0;
    timer_schedule(t, counter_now(t->hpet));
}

/* Returns the timer whose register is at `offset`, or NULL. */
static struct hpet_timer *timer_at(struct hpet *h, u64 offset)
{
    u64 n = (offset - HPET_TIMER(0)) / HPET_TIMER_SIZE;
    return offset >= HPET_TIMER(0) && n < HPET_TIMERS ? &h->timer[n] : NULL;
}

static u64 register_read(struct hpet *h, u64 offset)
{
    switch (offset) {
    case HPET_CAPABILITIES: return (u64)HPET_PERIOD_FS << 32 | HPET_ID;
    case HPET_CONFIG: return h->config;
    case HPET_STATUS: return h->status;
    case HPET_COUNTER: return counter_now(h);
    }
    const struct hpet_timer *t = timer_at(h, offset);
    if (!t)
        return 0;
    switch (offset % HPET_TIMER_SIZE) {
    case HPET_TIMER_CONFIG: return (u64)h->wiring.gsi_mask << HPET_TN_ROUTE_CAP_SHIFT | t->config;
    case HPET_TIMER_COMPARATOR: return t->compare;
    case HPET_TIMER_FSB: return t->fsb;
    default: return 0;
    }
}

/* `touched` has ones where bits are written; elsewhere `value` is 0. */
static void register_write(struct hpet *h, u64 offset, u64 value, u64 touched)
{
    switch (offset) {
    case HPET_CONFIG:
        if (touched & 1)
            config_write(h, value);
        return;
    case HPET_STATUS:
        h->status &= ~value;
        for (unsigned i = 0; i < HPET_TIMERS; i++)
            timer_level(&h->timer[i]);
        return;
    case HPET_COUNTER: /* writable while halted */
        if (!(h->config & HPET_ENABLE))
            h->held = (h->held & ~touched) | value;
        return;
    }
    struct hpet_timer *t = timer_at(h, offset);
    if (!t)
        return;
    switch (offset % HPET_TIMER_SIZE) {
    case HPET_TIMER_CONFIG:
        if (touched & 1)
            timer_config_write(t, value);
        return;
    case HPET_TIMER_COMPARATOR: compare_write(t, value, touched); return;
    case HPET_TIMER_FSB: t->fsb = (t->fsb & ~touched) | value; return;
    }
}

static u64 hpet_read(void *dev, u64 offset, unsigned size)
{
    return register_read(dev, offset & ~7ull) >> (offset & 4) * 8;
}

static void hpet_write(void *dev, u64 offset, u64 value, unsigned size)
{
    unsigned shift = (offset & 4) * 8;
    u64 touched = size == 8 ? ~0ull : 0xffffffffull << shift;
    register_write(dev, offset & ~7ull, value << shift & touched, touched);
}

const struct bus_ops hpet_ops = {hpet_read, hpet_write, 4, 8};

static void hpet_reset(void *dev)
{
    struct hpet *h = dev;
    config_write(h, 0);
    h->held = h->status = 0;
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        struct hpet_timer *t = &h->timer[i];
        t->config = HPET_TN_PERIODIC_CAP | HPET_TN_SIZE64_CAP | (h->wiring.msi ? HPET_TN_FSB_CAP : 0);
        t->compare = ~0ull;
        t->period = t->fsb = 0;
        t->value_set = false;
    }
}

void hpet_init(struct hpet *h, struct clock *clock, const struct hpet_config *config)
{
    *h = (struct hpet){.clock = clock, .wiring = *config};
    if (!h->wiring.gsi_mask)
        h->wiring.gsi_mask = GSI_MASK_DEFAULT;
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        h->timer[i].hpet = h;
        timer_init(&h->timer[i].timer, clock, timer_expired, &h->timer[i]);
    }
    hpet_reset(h);
}

static const struct state_field fields[] = {
    STATE_FIELD("config", u64, struct hpet, config),
    STATE_FIELD("status", u64, struct hpet, status),
    STATE_FIELD("held", u64, struct hpet, held),
    STATE_FIELD("start_ns", u64, struct hpet, start_ns),
};
static const struct state_layout layout = STATE_LAYOUT(1, fields);

static const struct state_field timer_fields[] = {
    STATE_FIELD("config", u64, struct hpet_timer, config),
    STATE_FIELD("compare", u64, struct hpet_timer, compare),
    STATE_FIELD("period", u64, struct hpet_timer, period),
    STATE_FIELD("fsb", u64, struct hpet_timer, fsb),
    STATE_FIELD("value_set", bool, struct hpet_timer, value_set),
    STATE_FIELD("missed", u32, struct hpet_timer, missed),
};
static const struct state_layout timer_layout = STATE_LAYOUT(1, timer_fields);

static void hpet_state(void *dev, struct state *s, const char *name)
{
    struct hpet *h = dev;
    static const char *const part[HPET_TIMERS] = {"0", "1", "2"};
    state_section(s, name, NULL, &layout, h);
    for (unsigned i = 0; i < HPET_TIMERS; i++) {
        struct hpet_timer *t = &h->timer[i];
        state_section(s, name, part[i], &timer_layout, t);
        if (!h->wiring.msi)
            t->config &= ~HPET_TN_FSB;
        if (!state_saving(s)) {
            timer_level(t);
            timer_schedule(t, counter_now(t->hpet));
        }
    }
    if (!state_saving(s) && h->wiring.legacy_switched)
        h->wiring.legacy_switched(h->wiring.opaque, legacy_on(h));
}

static void hpet_destroy(void *dev)
{
    struct hpet *h = dev;
    for (unsigned i = 0; i < HPET_TIMERS; i++)
        timer_arm(&h->timer[i].timer, 0);
}

const struct device_ops hpet_device = {
    .size = sizeof(struct hpet),
    .reset = hpet_reset,
    .state = hpet_state,
    .destroy = hpet_destroy,
};
