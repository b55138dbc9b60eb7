/*
 * MC146818 RTC. Called under the machine lock.
 *
 * The time is the VM's clock plus an offset; the time registers are filled in when somebody reads them. While SET or a
 * divider reset holds the clock they stand still in cmos[] and take the guest's writes byte by byte, and become the new
 * time when released. Flags of register C that nobody waits for are brought up to date when it is read; timers run only
 * for enabled interrupts. A reset keeps time and memory, and clears interrupt enables and flags. Sources: Motorola
 * MC146818 data sheet; ICH9 data sheet, "Real Time Clock Registers", for the alarm's day of the month.
 */
#include "dev/mc146818.h"

#include <string.h>
#include <time.h>

#define NS 1000000000ll
#define DAY_S 86400
#define UPDATE_NS 244000 /* UIP rises this long before the update */
#define BASE_HZ 32768u
#define RATE_FIRST 3 /* rates 1 and 2 stand for 8 and 9 */
#define CHECKSUM_FIRST 0x10
#define EQUIPMENT_X87 0x02 /* an x87 FPU, and no floppy disk */
#define UNIT_64K 65536

static bool divider_reset(u8 a)
{
    return (a & RTC_A_DIVIDER_RESET) == RTC_A_DIVIDER_RESET;
}

/* Wall-clock times wrap where 64 bits of nanoseconds end, in 2262: a guest may set any time. */
static s64 wall_ns(const struct mc146818 *rtc)
{
    return (s64)(rtc->clock->now_ns(rtc->clock->opaque) + (u64)rtc->offset_ns);
}

static s64 second_of(s64 ns)
{
    return ns / NS - (ns % NS < 0);
}

static s64 second_now(const struct mc146818 *rtc)
{
    return second_of(wall_ns(rtc));
}

/* Nanoseconds of the second that have passed. */
static s64 fraction_now(const struct mc146818 *rtc)
{
    s64 wall = wall_ns(rtc);
    return wall % NS + (wall % NS < 0 ? NS : 0);
}

static void wall_set(struct mc146818 *rtc, s64 second, s64 fraction)
{
    u64 wall = (u64)second * NS + (u64)fraction;
    rtc->offset_ns = (s64)(wall - rtc->clock->now_ns(rtc->clock->opaque));
    rtc->seen_s = second_now(rtc);
}

static u8 encode(const struct mc146818 *rtc, int n)
{
    return (u8)(rtc->cmos[RTC_B] & RTC_B_BINARY ? n : n / 10 % 10 << 4 | n % 10);
}

static int decode(const struct mc146818 *rtc, u8 n)
{
    return rtc->cmos[RTC_B] & RTC_B_BINARY ? n : (n >> 4) * 10 + (n & 15);
}

/* Fills the time registers for a second. */
static void registers_fill(struct mc146818 *rtc, s64 second, u8 *r)
{
    struct tm tm;
    time_t t = second;
    gmtime_r(&t, &tm);
    r[RTC_SECONDS] = encode(rtc, tm.tm_sec);
    r[RTC_MINUTES] = encode(rtc, tm.tm_min);
    if (rtc->cmos[RTC_B] & RTC_B_24H)
        r[RTC_HOURS] = encode(rtc, tm.tm_hour);
    else
        r[RTC_HOURS] = encode(rtc, tm.tm_hour % 12 ? tm.tm_hour % 12 : 12) | (tm.tm_hour >= 12 ? RTC_PM : 0);
    r[RTC_WEEKDAY] = encode(rtc, tm.tm_wday + 1);
    r[RTC_DAY] = encode(rtc, tm.tm_mday);
    r[RTC_MONTH] = encode(rtc, tm.tm_mon + 1);
    r[RTC_YEAR] = encode(rtc, (tm.tm_year + 1900) % 100);
    r[RTC_CENTURY] = encode(rtc, (tm.tm_year + 1900) / 100);
}

static s64 registers_time(const struct mc146818 *rtc)
{
    const u8 *r = rtc->cmos;
    int hour = decode(rtc, r[RTC_HOURS] & ~RTC_PM);
    if (rtc->cmos[RTC_B] & RTC_B_24H)
        hour = decode(rtc, r[RTC_HOURS]);
    else
        hour = hour % 12 + (r[RTC_HOURS] & RTC_PM ? 12 : 0);
    struct tm tm = {
        .tm_sec = decode(rtc, r[RTC_SECONDS]),
        .tm_min = decode(rtc, r[RTC_MINUTES]),
        .tm_hour = hour,
        .tm_mday = decode(rtc, r[RTC_DAY]),
        .tm_mon = decode(rtc, r[RTC_MONTH]) - 1,
        .tm_year = decode(rtc, r[RTC_CENTURY]) * 100 + decode(rtc, r[RTC_YEAR]) - 1900,
    };
    return timegm(&tm);
}

static bool alarm_matches(struct mc146818 *rtc, s64 second)
{
    u8 r[RTC_BYTES];
    registers_fill(rtc, second, r);
    for (unsigned i = RTC_SECONDS; i <= RTC_HOURS; i += 2) {
        u8 alarm = rtc->cmos[i + 1];
        if ((alarm & RTC_ANY_TIME) != RTC_ANY_TIME && alarm != r[i])
            return false;
    }
    u8 day = rtc->cmos[RTC_D] & RTC_D_DAY_ALARM;
    return !day || day == RTC_D_DAY_ALARM || day == r[RTC_DAY];
}

static u64 period_ticks(const struct mc146818 *rtc)
{
    unsigned rate = rtc->cmos[RTC_A] & RTC_A_RATE;
    if (!rate || divider_reset(rtc->cmos[RTC_A]))
        return 0;
    return 1ull << ((rate < RATE_FIRST ? rate + 7 : rate) - 1);
}

static u64 period_now(const struct mc146818 *rtc)
{
    u64 ticks = period_ticks(rtc);
    return ticks ? (u64)((u128)rtc->clock->now_ns(rtc->clock->opaque) * BASE_HZ / NS) / ticks : 0;
}

/* Brings the flags of register C up to date. */
static void flags_update(struct mc146818 *rtc)
{
    u64 period = period_now(rtc);
    if (period_ticks(rtc) && period != rtc->seen_period)
        rtc->cmos[RTC_C] |= RTC_C_PF;
    rtc->seen_period = period;
    if (rtc->held)
        return;
    s64 second = second_now(rtc);
    if (second != rtc->seen_s)
        rtc->cmos[RTC_C] |= RTC_C_UF;
    s64 first = second - DAY_S > rtc->seen_s ? second - DAY_S : rtc->seen_s;
    while (!(rtc->cmos[RTC_C] & RTC_C_AF) && first < second) {
        if (alarm_matches(rtc, ++first))
            rtc->cmos[RTC_C] |= RTC_C_AF;
    }
    rtc->seen_s = second;
}

static bool alarm_pending(const struct mc146818 *rtc)
{
    return rtc->cmos[RTC_C] & rtc->cmos[RTC_B] & RTC_C_AF;
}

/* The chipset's wake logic sees the alarm whether or not the HPET has the interrupt line. */
static void interrupt_update(struct mc146818 *rtc)
{
    bool alarm = alarm_pending(rtc);
    if (alarm && !rtc->alarm_seen && rtc->config.alarm)
        rtc->config.alarm(rtc->config.opaque);
    rtc->alarm_seen = alarm;
    bool active = rtc->cmos[RTC_C] & rtc->cmos[RTC_B] & (RTC_C_PF | RTC_C_AF | RTC_C_UF);
    rtc->cmos[RTC_C] = (rtc->cmos[RTC_C] & (u8)~RTC_C_IRQF) | (active ? RTC_C_IRQF : 0);
    if (!rtc->irq_disabled)
        irq_set(&rtc->irq, active);
}

static void timers_arm(struct mc146818 *rtc)
{
    u64 now = rtc->clock->now_ns(rtc->clock->opaque), due = 0;
    if (!rtc->held && rtc->cmos[RTC_B] & (RTC_B_AIE | RTC_B_UIE))
        due = now + (u64)(NS - fraction_now(rtc));
    timer_arm(&rtc->second, due);
    due = 0;
    u64 ticks = period_ticks(rtc);
    if (ticks && rtc->cmos[RTC_B] & RTC_B_PIE)
        due = (u64)(((u128)(period_now(rtc) + 1) * ticks * NS + BASE_HZ - 1) / BASE_HZ);
    timer_arm(&rtc->periodic, due);
}

static void timer_expired(void *dev)
{
    struct mc146818 *rtc = dev;
    flags_update(rtc);
    interrupt_update(rtc);
    timers_arm(rtc);
}

/* SET or the divider changed: stop or start the clock. "The first update cycle begins one-half second later" after a
 * divider reset; SET alone keeps the fraction of the second. */
static void hold_update(struct mc146818 *rtc, bool was_reset)
{
    bool hold = rtc->cmos[RTC_B] & RTC_B_SET || divider_reset(rtc->cmos[RTC_A]);
    if (hold == rtc->held)
        return;
    if (hold)
        registers_fill(rtc, second_now(rtc), rtc->cmos);
    else
        wall_set(rtc, registers_time(rtc), was_reset ? NS / 2 : fraction_now(rtc));
    rtc->held = hold;
}

static bool is_time(unsigned i)
{
    bool is_alarm = i == RTC_SECONDS_ALARM || i == RTC_MINUTES_ALARM || i == RTC_HOURS_ALARM;
    return (i <= RTC_YEAR && !is_alarm) || i == RTC_CENTURY;
}

static u8 register_read(struct mc146818 *rtc, unsigned i)
{
    if (is_time(i) && !rtc->held)
        registers_fill(rtc, second_now(rtc), rtc->cmos);
    if (i == RTC_A) {
        bool uip = !rtc->held && NS - fraction_now(rtc) <= UPDATE_NS;
        return rtc->cmos[RTC_A] | (uip ? RTC_A_UIP : 0);
    }
    if (i == RTC_C) {
        flags_update(rtc);
        interrupt_update(rtc);
        u8 value = rtc->cmos[RTC_C];
        rtc->cmos[RTC_C] = 0;
        interrupt_update(rtc);
        return value;
    }
    return rtc->cmos[i];
}

static void register_write(struct mc146818 *rtc, unsigned i, u8 value)
{
    bool was_reset = divider_reset(rtc->cmos[RTC_A]);
    flags_update(rtc);
    switch (i) {
    case RTC_A:
        rtc->cmos[RTC_A] = value & (u8)~RTC_A_UIP;
        rtc->seen_period = period_now(rtc);
        hold_update(rtc, was_reset);
        break;
    case RTC_B:
        if (value & RTC_B_SET)
            value &= (u8)~RTC_B_UIE; /* "SET ... clears UIE" */
        if (!rtc->held)
            registers_fill(rtc, second_now(rtc), rtc->cmos);
        rtc->cmos[RTC_B] = value;
        hold_update(rtc, was_reset);
        break;
    case RTC_C: return;
    case RTC_D: rtc->cmos[RTC_D] = RTC_D_VRT | (value & RTC_D_DAY_ALARM); break;
    default:
        if (is_time(i) && !rtc->held) {
            registers_fill(rtc, second_now(rtc), rtc->cmos);
            rtc->cmos[i] = value;
            wall_set(rtc, registers_time(rtc), fraction_now(rtc));
        } else {
            rtc->cmos[i] = value;
        }
    }
    interrupt_update(rtc);
    timers_arm(rtc);
}

static u64 rtc_read(void *dev, u64 offset, unsigned size)
{
    struct mc146818 *rtc = dev;
    return offset == RTC_DATA ? register_read(rtc, rtc->index) : rtc->index;
}

static void rtc_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct mc146818 *rtc = dev;
    if (offset == RTC_DATA)
        register_write(rtc, rtc->index, (u8)value);
    else
        rtc->index = (u8)value & (u8)~RTC_INDEX_NMI;
}

const struct bus_ops mc146818_ops = {rtc_read, rtc_write, 1, 1};

static void cmos_put16(struct mc146818 *rtc, unsigned at, u64 value)
{
    if (value > 0xffff)
        value = 0xffff;
    rtc->cmos[at] = (u8)value;
    rtc->cmos[at + 1] = (u8)(value >> 8);
}

static void checksum_update(struct mc146818 *rtc)
{
    unsigned sum = 0;
    for (unsigned i = CHECKSUM_FIRST; i < RTC_CHECKSUM; i++)
        sum += rtc->cmos[i];
    rtc->cmos[RTC_CHECKSUM] = (u8)(sum >> 8);
    rtc->cmos[RTC_CHECKSUM + 1] = (u8)sum;
}

/* Notes how much memory there is, as a PC's firmware does. */
static void memory_fill_in(struct mc146818 *rtc, u64 below_4g, u64 above_4g)
{
    static const u64 base_max = 640, from_1m = 1 << 20, from_16m = 16 << 20;
    u64 base = below_4g / 1024, extended = below_4g > from_1m ? (below_4g - from_1m) / 1024 : 0;
    u64 high = above_4g / UNIT_64K;
    cmos_put16(rtc, RTC_BASE_KIB, base < base_max ? base : base_max);
    cmos_put16(rtc, RTC_EXTENDED_KIB, extended);
    cmos_put16(rtc, RTC_EXTENDED_KIB2, extended);
    cmos_put16(rtc, RTC_ABOVE_16M, below_4g > from_16m ? (below_4g - from_16m) / UNIT_64K : 0);
    cmos_put16(rtc, RTC_ABOVE_4G, high & 0xffff);
    rtc->cmos[RTC_ABOVE_4G + 2] = (u8)(high >> 16);
}

static void mc146818_reset(void *dev)
{
    struct mc146818 *rtc = dev;
    rtc->cmos[RTC_B] &= (u8) ~(RTC_B_PIE | RTC_B_AIE | RTC_B_UIE);
    rtc->cmos[RTC_C] = 0;
    rtc->irq_disabled = false;
    interrupt_update(rtc);
    timers_arm(rtc);
}

void mc146818_init(struct mc146818 *rtc, struct clock *clock, const struct irq *irq,
                   const struct mc146818_config *config)
{
    *rtc = (struct mc146818){.clock = clock, .irq = *irq, .config = *config};
    timer_init(&rtc->second, clock, timer_expired, rtc);
    timer_init(&rtc->periodic, clock, timer_expired, rtc);
    rtc->offset_ns = config->unix_ns - (s64)clock->now_ns(clock->opaque);
    rtc->cmos[RTC_A] = RTC_A_DIVIDER_RUNS | RTC_A_RATE_1024HZ;
    rtc->cmos[RTC_B] = RTC_B_24H;
    rtc->cmos[RTC_D] = RTC_D_VRT;
    rtc->cmos[RTC_EQUIPMENT] = EQUIPMENT_X87;
    rtc->cmos[RTC_CPUS] = (u8)(config->vcpus ? config->vcpus - 1 : 0);
    memory_fill_in(rtc, config->ram_below_4g, config->ram_above_4g);
    checksum_update(rtc);
    rtc->seen_s = second_now(rtc);
    rtc->seen_period = period_now(rtc);
}

void mc146818_irq_disable(struct mc146818 *rtc, bool disable)
{
    if (disable && !rtc->irq_disabled)
        irq_set(&rtc->irq, false);
    rtc->irq_disabled = disable;
    interrupt_update(rtc);
}

static const struct state_field fields[] = {
    STATE_FIELD("cmos", u8[128], struct mc146818, cmos),
    STATE_FIELD("index", u8, struct mc146818, index),
    STATE_FIELD("irq_disabled", bool, struct mc146818, irq_disabled),
    STATE_FIELD("offset_ns", s64, struct mc146818, offset_ns),
    STATE_FIELD("held", bool, struct mc146818, held),
    STATE_FIELD("seen_s", s64, struct mc146818, seen_s),
    STATE_FIELD("seen_period", u64, struct mc146818, seen_period),
};
static const struct state_layout layout = STATE_LAYOUT(1, fields);

static void mc146818_state(void *dev, struct state *s, const char *name)
{
    struct mc146818 *rtc = dev;
    state_section(s, name, NULL, &layout, rtc);
    if (!state_saving(s)) {
        rtc->index %= RTC_BYTES;
        rtc->alarm_seen = alarm_pending(rtc);
        interrupt_update(rtc);
        timers_arm(rtc);
    }
}

static void mc146818_destroy(void *dev)
{
    struct mc146818 *rtc = dev;
    timer_arm(&rtc->second, 0);
    timer_arm(&rtc->periodic, 0);
}

const struct device_ops mc146818_device = {
    .size = sizeof(struct mc146818),
    .reset = mc146818_reset,
    .state = mc146818_state,
    .destroy = mc146818_destroy,
};
