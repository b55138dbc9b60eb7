/*
 * MC146818 RTC. Called under the machine lock.
 *
 * The time is the VM's clock plus an offset; the time registers are filled in when somebody reads
 * them. While SET or a divider reset holds the clock they stand still in cmos[] and take the
 * guest's writes byte by byte, and become the new time when released. Flags of register C that
 * nobody waits for are brought up to date when it is read; timers run only for enabled interrupts.
 * Source: Motorola MC146818 data sheet; byte 0x32 holds the century, as ACPI's FADT says.
 */
#include "dev/mc146818.h"

#include <string.h>
#include <time.h>

enum { SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, WEEKDAY, DAY, MONTH, YEAR, A, B, C, D };
#define A_UIP BIT(7)
#define A_RATE 15
#define B_SET BIT(7)
#define B_PIE BIT(6)
#define B_AIE BIT(5)
#define B_UIE BIT(4)
#define B_BINARY BIT(2)
#define B_24H BIT(1)
#define C_IRQF BIT(7)
#define C_PF BIT(6)
#define C_AF BIT(5)
#define C_UF BIT(4)
#define D_VRT BIT(7)
#define NS 1000000000ll
#define UPDATE_NS 244000 /* UIP rises this long before the update */
#define BASE_HZ 32768u

static bool divider_reset(u8 a)
{
    return (a & 0x60) == 0x60;
}

static s64 wall_ns(const struct mc146818 *rtc)
{
    return (s64)rtc->clock->now_ns(rtc->clock->opaque) + rtc->offset_ns;
}

static s64 floor_s(s64 ns)
{
    return ns >= 0 ? ns / NS : -((-ns + NS - 1) / NS);
}

static u8 encode(const struct mc146818 *rtc, int n)
{
    return (u8)(rtc->cmos[B] & B_BINARY ? n : n / 10 % 10 << 4 | n % 10);
}

static int decode(const struct mc146818 *rtc, u8 n)
{
    return rtc->cmos[B] & B_BINARY ? n : (n >> 4) * 10 + (n & 15);
}

/* Fills the time registers for a second. */
static void registers_fill(struct mc146818 *rtc, s64 second, u8 *r)
{
    struct tm tm;
    time_t t = second;
    gmtime_r(&t, &tm);
    r[SECONDS] = encode(rtc, tm.tm_sec);
    r[MINUTES] = encode(rtc, tm.tm_min);
    if (rtc->cmos[B] & B_24H)
        r[HOURS] = encode(rtc, tm.tm_hour);
    else
        r[HOURS] = encode(rtc, tm.tm_hour % 12 ? tm.tm_hour % 12 : 12) | (tm.tm_hour >= 12 ? 0x80 : 0);
    r[WEEKDAY] = encode(rtc, tm.tm_wday + 1);
    r[DAY] = encode(rtc, tm.tm_mday);
    r[MONTH] = encode(rtc, tm.tm_mon + 1);
    r[YEAR] = encode(rtc, (tm.tm_year + 1900) % 100);
    r[MC146818_CENTURY] = encode(rtc, (tm.tm_year + 1900) / 100);
}

static s64 registers_time(const struct mc146818 *rtc)
{
    const u8 *r = rtc->cmos;
    int hour = decode(rtc, r[HOURS] & 0x7f);
    if (rtc->cmos[B] & B_24H)
        hour = decode(rtc, r[HOURS]);
    else
        hour = hour % 12 + (r[HOURS] & 0x80 ? 12 : 0);
    struct tm tm = {
        .tm_sec = decode(rtc, r[SECONDS]),
        .tm_min = decode(rtc, r[MINUTES]),
        .tm_hour = hour,
        .tm_mday = decode(rtc, r[DAY]),
        .tm_mon = decode(rtc, r[MONTH]) - 1,
        .tm_year = decode(rtc, r[MC146818_CENTURY]) * 100 + decode(rtc, r[YEAR]) - 1900,
    };
    return timegm(&tm);
}

static bool alarm_matches(struct mc146818 *rtc, s64 second)
{
    u8 r[128];
    registers_fill(rtc, second, r);
    for (unsigned i = SECONDS; i <= HOURS; i += 2) {
        u8 alarm = rtc->cmos[i + 1];
        if ((alarm & 0xc0) != 0xc0 && alarm != r[i])
            return false;
    }
    return true;
}

static u64 period_ticks(const struct mc146818 *rtc)
{
    unsigned rate = rtc->cmos[A] & A_RATE;
    if (!rate || divider_reset(rtc->cmos[A]))
        return 0;
    return 1ull << ((rate < 3 ? rate + 7 : rate) - 1);
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
        rtc->cmos[C] |= C_PF;
    rtc->seen_period = period;
    if (rtc->held)
        return;
    s64 second = floor_s(wall_ns(rtc));
    if (second != rtc->seen_s)
        rtc->cmos[C] |= C_UF;
    s64 first = second - 86400 > rtc->seen_s ? second - 86400 : rtc->seen_s;
    while (!(rtc->cmos[C] & C_AF) && first < second) {
        if (alarm_matches(rtc, ++first))
            rtc->cmos[C] |= C_AF;
    }
    rtc->seen_s = second;
}

static void interrupt_update(struct mc146818 *rtc)
{
    bool active = rtc->cmos[C] & rtc->cmos[B] & (C_PF | C_AF | C_UF);
    rtc->cmos[C] = (rtc->cmos[C] & (u8)~C_IRQF) | (active ? C_IRQF : 0);
    if (!rtc->irq_disabled)
        irq_set(&rtc->irq, active);
}

static void timers_arm(struct mc146818 *rtc)
{
    u64 now = rtc->clock->now_ns(rtc->clock->opaque), due = 0;
    if (!rtc->held && rtc->cmos[B] & (B_AIE | B_UIE))
        due = now + (u64)((floor_s(wall_ns(rtc)) + 1) * NS - wall_ns(rtc));
    timer_arm(&rtc->second, due);
    due = 0;
    u64 ticks = period_ticks(rtc);
    if (ticks && rtc->cmos[B] & B_PIE)
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

/* SET or the divider changed: stop or start the clock. "The first update cycle begins one-half
 * second later" after a divider reset; SET alone keeps the fraction of the second. */
static void hold_update(struct mc146818 *rtc, bool was_reset)
{
    bool hold = rtc->cmos[B] & B_SET || divider_reset(rtc->cmos[A]);
    if (hold == rtc->held)
        return;
    if (hold) {
        registers_fill(rtc, floor_s(wall_ns(rtc)), rtc->cmos);
    } else {
        s64 wall = wall_ns(rtc), fraction = was_reset ? NS / 2 : wall - floor_s(wall) * NS;
        rtc->offset_ns += registers_time(rtc) * NS + fraction - wall;
        rtc->seen_s = floor_s(wall_ns(rtc));
    }
    rtc->held = hold;
}

static u8 register_read(struct mc146818 *rtc, unsigned i)
{
    if ((i <= YEAR && i != SECONDS_ALARM && i != MINUTES_ALARM && i != HOURS_ALARM) || i == MC146818_CENTURY) {
        if (!rtc->held)
            registers_fill(rtc, floor_s(wall_ns(rtc)), rtc->cmos);
        return rtc->cmos[i];
    }
    if (i == A) {
        s64 wall = wall_ns(rtc);
        bool uip = !rtc->held && (floor_s(wall) + 1) * NS - wall <= UPDATE_NS;
        return rtc->cmos[A] | (uip ? A_UIP : 0);
    }
    if (i == C) {
        flags_update(rtc);
        interrupt_update(rtc);
        u8 value = rtc->cmos[C];
        rtc->cmos[C] = 0;
        interrupt_update(rtc);
        return value;
    }
    return rtc->cmos[i];
}

static void register_write(struct mc146818 *rtc, unsigned i, u8 value)
{
    bool was_reset = divider_reset(rtc->cmos[A]);
    flags_update(rtc);
    switch (i) {
    case SECONDS_ALARM:
    case MINUTES_ALARM:
    case HOURS_ALARM: rtc->cmos[i] = value; break;
    case A:
        rtc->cmos[A] = value & (u8)~A_UIP;
        rtc->seen_period = period_now(rtc);
        hold_update(rtc, was_reset);
        break;
    case B:
        if (value & B_SET)
            value &= (u8)~B_UIE; /* "SET ... clears UIE" */
        if (!rtc->held)
            registers_fill(rtc, floor_s(wall_ns(rtc)), rtc->cmos);
        rtc->cmos[B] = value;
        hold_update(rtc, was_reset);
        break;
    case C:
    case D: return;
    default:
        if (i > YEAR && i != MC146818_CENTURY) {
            rtc->cmos[i] = value;
        } else if (rtc->held) {
            rtc->cmos[i] = value;
        } else {
            s64 wall = wall_ns(rtc);
            registers_fill(rtc, floor_s(wall), rtc->cmos);
            rtc->cmos[i] = value;
            rtc->offset_ns += (registers_time(rtc) - floor_s(wall)) * NS;
            rtc->seen_s = floor_s(wall_ns(rtc));
        }
    }
    interrupt_update(rtc);
    timers_arm(rtc);
}

static u64 rtc_read(void *dev, u64 offset, unsigned size)
{
    struct mc146818 *rtc = dev;
    return offset ? register_read(rtc, rtc->index) : rtc->index;
}

static void rtc_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct mc146818 *rtc = dev;
    if (offset)
        register_write(rtc, rtc->index, (u8)value);
    else
        rtc->index = value & 0x7f; /* bit 7 is the NMI gate of the PC */
}

const struct bus_ops mc146818_ops = {rtc_read, rtc_write, 1, 1};

static void cmos_put16(struct mc146818 *rtc, unsigned at, u64 value)
{
    if (value > 0xffff)
        value = 0xffff;
    rtc->cmos[at] = (u8)value;
    rtc->cmos[at + 1] = (u8)(value >> 8);
}

/* The sum of 0x10 to 0x2d, which firmware keeps in 0x2e and 0x2f, high byte first. */
static void checksum_update(struct mc146818 *rtc)
{
    unsigned sum = 0;
    for (unsigned i = 0x10; i < 0x2e; i++)
        sum += rtc->cmos[i];
    rtc->cmos[0x2e] = (u8)(sum >> 8);
    rtc->cmos[0x2f] = (u8)sum;
}

static void mc146818_reset(void *dev)
{
    struct mc146818 *rtc = dev;
    rtc->cmos[B] &= (u8) ~(B_PIE | B_AIE | B_UIE);
    rtc->cmos[C] = 0;
    rtc->irq_disabled = false;
    interrupt_update(rtc);
    timers_arm(rtc);
}

void mc146818_init(struct mc146818 *rtc, struct clock *clock, const struct irq *irq,
                   const struct mc146818_config *config)
{
    *rtc = (struct mc146818){.clock = clock, .irq = *irq};
    timer_init(&rtc->second, clock, timer_expired, rtc);
    timer_init(&rtc->periodic, clock, timer_expired, rtc);
    rtc->offset_ns = config->unix_ns - (s64)clock->now_ns(clock->opaque);
    rtc->cmos[A] = 0x26;
    rtc->cmos[B] = B_24H;
    rtc->cmos[D] = D_VRT;
    u64 low = config->ram_below_4g;
    cmos_put16(rtc, 0x15, low / 1024 < 640 ? low / 1024 : 640);
    cmos_put16(rtc, 0x17, low > 0x100000 ? (low - 0x100000) / 1024 : 0);
    cmos_put16(rtc, 0x30, low > 0x100000 ? (low - 0x100000) / 1024 : 0);
    cmos_put16(rtc, 0x34, low > 0x1000000 ? (low - 0x1000000) / 65536 : 0);
    u64 high = config->ram_above_4g / 65536;
    cmos_put16(rtc, 0x5b, high & 0xffff);
    rtc->cmos[0x5d] = (u8)(high >> 16);
    rtc->cmos[0x5f] = (u8)(config->vcpus ? config->vcpus - 1 : 0);
    rtc->cmos[0x14] = 0x02; /* x87 present, no floppy */
    checksum_update(rtc);
    rtc->seen_s = floor_s(wall_ns(rtc));
    rtc->seen_period = period_now(rtc);
}

void mc146818_cmos_set(struct mc146818 *rtc, unsigned index, u8 value)
{
    if (index > D && index < sizeof(rtc->cmos) && index != MC146818_CENTURY)
        rtc->cmos[index] = value;
    checksum_update(rtc);
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
        rtc->index &= 0x7f;
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
