/*
 * The 8254 PIT, computed from the VM's clock: a channel stores the tick (1.193182 MHz since the VM's time began) at
 * which it was loaded, and count and OUT follow from the elapsed ticks. Nothing runs while nobody looks, except for one
 * timer at the next edge of OUT 0. Called under the machine lock.
 *
 * In modes 2, 4 and 5 OUT is low for one tick only; the interrupt line is then pulsed at the rising edge instead of
 * spending two timer events. Edges that the host was too slow for are merged, except for those of mode 2, which
 * periods_update makes up for.
 * Source: Intel 8254 data sheet, "Mode Definitions".
 */
#include "dev/i8254.h"

#define NS 1000000000u
#define BINARY_COUNTS 0x10000
#define BCD_COUNTS 10000
#define PERIODIC_MIN 2 /* a count of 1 is illegal in the periodic modes */

static u64 tick_at(u64 ns)
{
    return (u64)((u128)ns * I8254_HZ / NS);
}

/* The first nanosecond of a tick. */
static u64 tick_ns(u64 tick)
{
    return (u64)(((u128)tick * NS + I8254_HZ - 1) / I8254_HZ);
}

static u64 tick_now(const struct i8254 *pit)
{
    return tick_at(pit->clock->now_ns(pit->clock->opaque));
}

static u32 half_up(u32 count)
{
    return (count + 1) / 2;
}

static u64 elapsed(const struct i8254_channel *c, u64 tick)
{
    if (c->paused)
        return c->held;
    return (s64)(tick - c->start_tick) > 0 ? tick - c->start_tick : 0;
}

/* Takes over a count written in mode 2 or 3, which loads at the end of the (half) period. */
static void channel_sync(struct i8254_channel *c, u64 tick)
{
    if (!c->switching || c->paused || tick < c->switch_tick)
        return;
    c->reload = c->count;
    c->start_tick = c->switch_tick - (c->switch_half ? half_up(c->reload) : 0);
    c->switching = c->null_count = false;
}

static bool channel_out(struct i8254_channel *c, u64 tick)
{
    channel_sync(c, tick);
    u64 e = elapsed(c, tick);
    switch (c->mode) {
    case I8254_TERMINAL_COUNT: return c->armed && e >= c->reload;
    case I8254_ONE_SHOT: return !c->armed || e >= c->reload;
    case I8254_RATE: return !c->armed || !c->gate || e % c->reload != c->reload - 1;
    case I8254_SQUARE_WAVE: return !c->armed || !c->gate || e % c->reload < half_up(c->reload);
    default: return !c->armed || e != c->reload;
    }
}

static u16 to_bcd(u32 n)
{
    n %= BCD_COUNTS;
    return (u16)(n / 1000 << 12 | n / 100 % 10 << 8 | n / 10 % 10 << 4 | n % 10);
}

static u16 channel_count(struct i8254_channel *c, u64 tick)
{
    channel_sync(c, tick);
    u32 n = c->reload, value;
    if (!c->armed || !n)
        return c->bcd ? to_bcd(n) : (u16)n;
    u64 e = elapsed(c, tick);
    u32 wrap = c->bcd ? BCD_COUNTS : BINARY_COUNTS;
    if (c->mode == I8254_RATE) {
        value = n - (u32)(e % n);
    } else if (c->mode == I8254_SQUARE_WAVE) {
        u32 p = (u32)(e % n), h = half_up(n);
        value = (n & ~1u) - 2 * (p < h ? p : p - h);
    } else {
        value = (n % wrap + wrap - (u32)(e % wrap)) % wrap;
    }
    return c->bcd ? to_bcd(value) : (u16)value;
}

/* Returns the tick of the next rising edge (mode 3: any edge) of OUT, or 0. */
static u64 channel_next_edge(const struct i8254_channel *c, u64 tick)
{
    if (!c->armed || c->paused)
        return 0;
    u64 e = elapsed(c, tick), next;
    switch (c->mode) {
    case I8254_TERMINAL_COUNT:
    case I8254_ONE_SHOT: next = e < c->reload ? c->reload : 0; break;
    case I8254_RATE: next = (e / c->reload + 1) * c->reload; break;
    case I8254_SQUARE_WAVE: {
        u64 period = e - e % c->reload;
        next = e - period < half_up(c->reload) ? period + half_up(c->reload) : period + c->reload;
        break;
    }
    default: next = e <= c->reload ? c->reload + 1 : 0; break;
    }
    return next ? c->start_tick + next : 0;
}

static void line_set(struct i8254 *pit, bool level)
{
    if (level == pit->level)
        return;
    pit->level = level;
    if (!pit->irq_disabled)
        irq_set(&pit->irq, level);
}

#define MISSED_MAX 50    /* so many pulses are made up for at most */
#define MISSED_SPEEDUP 4 /* they come so many times as fast as the period */

/* Drives the line after a change of channel 0 and arms the timer for the next edge. */
static void line_update(struct i8254 *pit)
{
    struct i8254_channel *c = &pit->channel[0];
    u64 tick = tick_now(pit);
    bool out = channel_out(c, tick);
    if (c->mode == I8254_TERMINAL_COUNT || c->mode == I8254_SQUARE_WAVE)
        line_set(pit, out);
    else
        line_set(pit, true);
    u64 next = channel_next_edge(c, tick);
    u64 early = tick + c->reload / MISSED_SPEEDUP;
    if (pit->missed && !pit->waits && next && c->mode == I8254_RATE && early < next)
        next = early;
    timer_arm(&pit->timer, next ? tick_ns(next) : 0);
}

static bool is_periodic(const struct i8254_channel *c)
{
    return c->mode == I8254_RATE || c->mode == I8254_SQUARE_WAVE;
}

/*
 * Returns true if a period began since the last look. Periods of mode 2 that passed without a pulse because the host
 * was late are made up for, a quarter of a period apart, so that a guest on a busy host still counts its ticks.
 */
static bool periods_update(struct i8254 *pit, const struct i8254_channel *c, u64 tick)
{
    bool running = is_periodic(c) && c->armed && tick > c->start_tick;
    u64 periods = running ? (tick - c->start_tick) / c->reload : 0;
    if (c->start_tick != pit->pulse_start) {
        pit->pulse_start = c->start_tick;
        pit->missed = 0;
        pit->pulses = 0;
    } else if (c->mode == I8254_RATE && periods > pit->pulses + 1) {
        pit->missed += (u32)(periods - pit->pulses - 1 < MISSED_MAX ? periods - pit->pulses - 1 : MISSED_MAX);
    } else if (periods == pit->pulses && pit->missed) {
        pit->missed--;
    }
    if (pit->missed > MISSED_MAX)
        pit->missed = MISSED_MAX;
    if (pit->merges)
        pit->missed = 0;
    bool began = periods > pit->pulses;
    pit->pulses = periods;
    return began;
}

static void edge_expired(void *dev)
{
    struct i8254 *pit = dev;
    struct i8254_channel *c = &pit->channel[0];
    bool began = periods_update(pit, c, tick_now(pit));
    if (c->mode != I8254_TERMINAL_COUNT && (c->mode != I8254_SQUARE_WAVE || began)) {
        pit->waits = false;
        line_set(pit, false);
        line_set(pit, true); /* a fast square wave may be low again */
    }
    line_update(pit);
}

/* Returns true if counting begins with a rising edge of the gate. */
static bool is_triggered(const struct i8254_channel *c)
{
    return c->mode == I8254_ONE_SHOT || c->mode == I8254_HARDWARE_STROBE;
}

/* Loads the counting element on the next clock. */
static void channel_load(struct i8254_channel *c, u64 tick)
{
    c->reload = c->count;
    c->start_tick = tick + 1;
    c->armed = true;
    c->null_count = c->switching = false;
    c->paused = !c->gate && !is_triggered(c);
    c->held = 0;
}

static u32 count_from(const struct i8254_channel *c, u16 raw)
{
    if (!c->bcd)
        return raw ? raw : BINARY_COUNTS;
    u32 n = (raw >> 12) * 1000u + (raw >> 8 & 15) * 100u + (raw >> 4 & 15) * 10u + (raw & 15);
    return n ? n : BCD_COUNTS;
}

static void count_written(struct i8254_channel *c, u16 raw, u64 tick)
{
    channel_sync(c, tick);
    c->count = count_from(c, raw);
    if (is_periodic(c) && c->count < PERIODIC_MIN)
        c->count = PERIODIC_MIN;
    c->null_count = true;
    if (is_triggered(c))
        return; /* loads on the next trigger */
    if (!is_periodic(c) || !c->armed || c->paused) {
        channel_load(c, tick);
        return;
    }
    u64 e = elapsed(c, tick), period = e - e % c->reload;
    c->switching = true;
    c->switch_half = c->mode == I8254_SQUARE_WAVE && e - period < half_up(c->reload);
    c->switch_tick = c->start_tick + period + (c->switch_half ? half_up(c->reload) : c->reload);
}

static void gate_set(struct i8254_channel *c, bool gate, u64 tick)
{
    if (gate == c->gate)
        return;
    channel_sync(c, tick);
    u64 e = elapsed(c, tick);
    c->gate = gate;
    switch (c->mode) {
    case I8254_TERMINAL_COUNT:
    case I8254_SOFTWARE_STROBE:
        c->held = e;
        c->paused = !gate;
        c->start_tick = tick - e;
        break;
    case I8254_RATE:
    case I8254_SQUARE_WAVE:
        if (gate && c->armed)
            channel_load(c, tick);
        c->held = e;
        c->paused = !gate;
        break;
    default:
        if (gate && c->count)
            channel_load(c, tick);
        break;
    }
}

static void count_latch(struct i8254_channel *c, u64 tick)
{
    if (c->latched)
        return;
    c->latch = channel_count(c, tick);
    c->latched = c->access == I8254_LOW_HIGH ? 2 : 1;
}

static void status_latch(struct i8254_channel *c, u64 tick)
{
    if (c->status_latched)
        return;
    bool out = channel_out(c, tick);
    c->status = (u8)((out ? I8254_STATUS_OUT : 0) | (c->null_count ? I8254_STATUS_NULL_COUNT : 0) |
                     I8254_ACCESS(c->access) | I8254_MODE(c->mode) | c->bcd);
    c->status_latched = true;
}

static void read_back(struct i8254 *pit, u8 value)
{
    u64 tick = tick_now(pit);
    for (unsigned i = 0; i < I8254_CHANNELS; i++) {
        if (!(value & I8254_OF(i)))
            continue;
        if (!(value & I8254_NO_COUNT))
            count_latch(&pit->channel[i], tick);
        if (!(value & I8254_NO_STATUS))
            status_latch(&pit->channel[i], tick);
    }
}

static void control_write(struct i8254 *pit, u8 value)
{
    if (value >= I8254_READ_BACK) {
        read_back(pit, value);
        return;
    }
    struct i8254_channel *c = &pit->channel[value >> 6];
    u8 access = value >> 4 & 3, mode = value >> 1 & 7;
    if (access == I8254_LATCH) {
        count_latch(c, tick_now(pit));
        return;
    }
    *c = (struct i8254_channel){
        .mode = mode > I8254_HARDWARE_STROBE ? mode & 3 : mode, /* bit 2 counts for modes 4 and 5 only */
        .access = access,
        .bcd = value & I8254_BCD,
        .gate = c->gate,
        .reload = c->reload,
        .null_count = true,
    };
    if (c == &pit->channel[0]) {
        pit->missed = 0;
        line_update(pit);
    }
}

static void data_write(struct i8254 *pit, unsigned n, u8 value)
{
    struct i8254_channel *c = &pit->channel[n];
    u64 tick = tick_now(pit);
    if (c->access == I8254_LOW_HIGH && !c->write_high) {
        c->write_low = value;
        c->write_high = true;
        if (c->mode == I8254_TERMINAL_COUNT)
            c->armed = false; /* "Writing the first byte disables counting. OUT is set low immediately." */
    } else {
        u16 raw = value;
        if (c->access == I8254_HIGH)
            raw = (u16)(value << 8);
        else if (c->access == I8254_LOW_HIGH)
            raw = (u16)(value << 8 | c->write_low);
        c->write_high = false;
        count_written(c, raw, tick);
    }
    if (n == 0)
        line_update(pit);
}

static u8 data_read(struct i8254 *pit, unsigned n)
{
    struct i8254_channel *c = &pit->channel[n];
    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
    u16 value = c->latched ? c->latch : channel_count(c, tick_now(pit));
    if (c->latched)
        c->latched--;
    bool high = c->access == I8254_HIGH;
    if (c->access == I8254_LOW_HIGH) {
        high = c->read_high;
        c->read_high = !c->read_high;
    }
    return (u8)(high ? value >> 8 : value);
}

static u64 pit_read(void *dev, u64 offset, unsigned size)
{
    return offset == I8254_CONTROL ? 0xff : data_read(dev, (unsigned)offset);
}

static void pit_write(void *dev, u64 offset, u64 value, unsigned size)
{
    if (offset == I8254_CONTROL)
        control_write(dev, (u8)value);
    else
        data_write(dev, (unsigned)offset, (u8)value);
}

#define SPEAKER_WRITABLE 0x0f
#define SPEAKER_CHANNEL 2
#define REFRESH_NS 15085 /* half a period of channel 1's traditional memory refresh */

static u64 speaker_read(void *dev, u64 offset, unsigned size)
{
    struct i8254 *pit = dev;
    u64 now = pit->clock->now_ns(pit->clock->opaque);
    u8 value = pit->speaker;
    if (now / REFRESH_NS & 1)
        value |= I8254_SPEAKER_REFRESH;
    if (channel_out(&pit->channel[SPEAKER_CHANNEL], tick_at(now)))
        value |= I8254_SPEAKER_OUT;
    return value;
}

static void speaker_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct i8254 *pit = dev;
    pit->speaker = value & SPEAKER_WRITABLE;
    gate_set(&pit->channel[SPEAKER_CHANNEL], value & I8254_SPEAKER_GATE, tick_now(pit));
}

const struct bus_ops i8254_ops = {pit_read, pit_write, 1, 1};
const struct bus_ops i8254_speaker_ops = {speaker_read, speaker_write, 1, 1};

/* The chip has no reset; firmware leaves channel 0 as the 18.2 Hz clock and channel 1 as the refresh timer. */
static void i8254_reset(void *dev)
{
    struct i8254 *pit = dev;
    for (unsigned i = 0; i < I8254_CHANNELS; i++)
        pit->channel[i] = (struct i8254_channel){
            .mode = I8254_SQUARE_WAVE, .access = I8254_LOW_HIGH, .gate = i != SPEAKER_CHANNEL, .null_count = true};
    pit->speaker = 0;
    pit->missed = 0;
    line_set(pit, false);
    timer_arm(&pit->timer, 0);
}

void i8254_init(struct i8254 *pit, struct clock *clock, const struct irq *irq)
{
    *pit = (struct i8254){.clock = clock, .irq = *irq};
    timer_init(&pit->timer, clock, edge_expired, pit);
    i8254_reset(pit);
}

void i8254_irq_disable(struct i8254 *pit, bool disable)
{
    if (disable && !pit->irq_disabled)
        irq_set(&pit->irq, false);
    if (!disable && pit->irq_disabled)
        irq_set(&pit->irq, pit->level);
    pit->irq_disabled = disable;
}

void i8254_merge(struct i8254 *pit, bool merge)
{
    pit->merges = merge;
    if (merge)
        pit->missed = 0;
}

void i8254_not_taken(struct i8254 *pit)
{
    if (pit->channel[0].mode != I8254_RATE || pit->merges)
        return;
    pit->waits = true;
    if (pit->missed < MISSED_MAX)
        pit->missed++;
}

u32 i8254_count_get(const struct i8254 *pit, unsigned channel, u64 *loaded_ns)
{
    const struct i8254_channel *c = &pit->channel[channel];
    u64 start = c->paused ? tick_now(pit) - c->held : c->start_tick;
    *loaded_ns = tick_ns(start);
    return c->count ? c->count : c->bcd ? BCD_COUNTS : BINARY_COUNTS;
}

void i8254_count_set(struct i8254 *pit, unsigned channel, u32 count, u64 loaded_ns)
{
    struct i8254_channel *c = &pit->channel[channel];
    c->count = count ? count : c->bcd ? BCD_COUNTS : BINARY_COUNTS;
    if (is_periodic(c) && c->count < PERIODIC_MIN)
        c->count = PERIODIC_MIN;
    c->reload = c->count;
    c->armed = true;
    c->switching = c->null_count = false;
    c->start_tick = tick_at(loaded_ns);
    c->paused = !c->gate && !is_triggered(c);
    c->held = c->paused ? tick_now(pit) - c->start_tick : 0;
    if (channel == 0) {
        pit->missed = 0;
        pit->waits = false;
        line_update(pit);
    }
}

static const struct state_field channel_fields[] = {
    STATE_FIELD("mode", u8, struct i8254_channel, mode),
    STATE_FIELD("access", u8, struct i8254_channel, access),
    STATE_FIELD("bcd", bool, struct i8254_channel, bcd),
    STATE_FIELD("gate", bool, struct i8254_channel, gate),
    STATE_FIELD("armed", bool, struct i8254_channel, armed),
    STATE_FIELD("paused", bool, struct i8254_channel, paused),
    STATE_FIELD("null_count", bool, struct i8254_channel, null_count),
    STATE_FIELD("write_high", bool, struct i8254_channel, write_high),
    STATE_FIELD("read_high", bool, struct i8254_channel, read_high),
    STATE_FIELD("write_low", u8, struct i8254_channel, write_low),
    STATE_FIELD("status_latched", bool, struct i8254_channel, status_latched),
    STATE_FIELD("status", u8, struct i8254_channel, status),
    STATE_FIELD("latched", u8, struct i8254_channel, latched),
    STATE_FIELD("latch", u16, struct i8254_channel, latch),
    STATE_FIELD("count", u32, struct i8254_channel, count),
    STATE_FIELD("reload", u32, struct i8254_channel, reload),
    STATE_FIELD("switching", bool, struct i8254_channel, switching),
    STATE_FIELD("switch_half", bool, struct i8254_channel, switch_half),
    STATE_FIELD("switch_tick", u64, struct i8254_channel, switch_tick),
    STATE_FIELD("start_tick", u64, struct i8254_channel, start_tick),
    STATE_FIELD("held", u64, struct i8254_channel, held),
};
static const struct state_layout channel_layout = STATE_LAYOUT(1, channel_fields);

static const struct state_field fields[] = {
    STATE_FIELD("speaker", u8, struct i8254, speaker), STATE_FIELD("irq_disabled", bool, struct i8254, irq_disabled),
    STATE_FIELD("level", bool, struct i8254, level),   STATE_FIELD("pulse_start", u64, struct i8254, pulse_start),
    STATE_FIELD("pulses", u64, struct i8254, pulses),  STATE_FIELD("missed", u32, struct i8254, missed),
};
static const struct state_layout layout = STATE_LAYOUT(1, fields);

static void i8254_state(void *dev, struct state *s, const char *name)
{
    struct i8254 *pit = dev;
    static const char *const part[I8254_CHANNELS] = {"0", "1", "2"};
    for (unsigned i = 0; i < I8254_CHANNELS; i++) {
        struct i8254_channel *c = &pit->channel[i];
        state_section(s, name, part[i], &channel_layout, c);
        if (c->armed && (c->reload < 1 || c->reload > BINARY_COUNTS))
            c->armed = false; /* only a damaged stream has such a count */
        if (!c->count)
            c->switching = false;
    }
    state_section(s, name, NULL, &layout, pit);
    if (state_saving(s))
        return;
    irq_set(&pit->irq, pit->level && !pit->irq_disabled);
    if (pit->missed > MISSED_MAX)
        pit->missed = MISSED_MAX;
    if (pit->channel[0].armed)
        line_update(pit);
}

static void i8254_destroy(void *dev)
{
    timer_arm(&((struct i8254 *)dev)->timer, 0);
}

const struct device_ops i8254_device = {
    .size = sizeof(struct i8254),
    .reset = i8254_reset,
    .state = i8254_state,
    .destroy = i8254_destroy,
};
