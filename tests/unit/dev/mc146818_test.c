/*
 * The real-time clock: how it shows the time, when it interrupts, how its time is set, and what it remembers.
 */
#include "dev/mc146818.h"
#include "unit/fake_board.h"
#include "unit/test.h"

struct bench {
    struct fake_clock clock;
    struct fake_line line;
    unsigned alarms;
    struct mc146818 rtc;
};

static void alarm_begins(void *opaque)
{
    ((struct bench *)opaque)->alarms++;
}

#define S 1000000000ull

/* Half a second before 2024-02-29 23:59:58 UTC, a Thursday. */
static struct bench *bench_create(void)
{
    struct bench *b = fresh(sizeof(*b));
    struct mc146818_config config = {1709251197500000000ll, 3ull << 30, 5ull << 30, 4, alarm_begins, b};
    fake_clock_init(&b->clock);
    mc146818_init(&b->rtc, &b->clock.clock, &(struct irq){fake_line_set, &b->line, 0}, &config);
    return b;
}

static void bench_destroy(struct bench *b)
{
    mc146818_device.destroy(&b->rtc);
    CHECK(!b->clock.clock.timers);
    free(b);
}

static u8 get(struct bench *b, u8 reg)
{
    mc146818_ops.write(&b->rtc, RTC_INDEX, reg, 1);
    return (u8)mc146818_ops.read(&b->rtc, RTC_DATA, 1);
}
static void put(struct bench *b, u8 reg, unsigned value)
{
    mc146818_ops.write(&b->rtc, RTC_INDEX, reg | RTC_INDEX_NMI, 1);
    mc146818_ops.write(&b->rtc, RTC_DATA, (u8)value, 1);
}

/* Midnight at the beginning of the 1st of March. */
static struct bench *midnight_create(void)
{
    struct bench *b = bench_create();
    clock_advance(&b->clock, 2 * S + S / 2);
    return b;
}

static void test_time(void)
{
    TEST("time and date in BCD, binary, 12 hours");
    struct bench *b = bench_create();
    CHECK(get(b, RTC_SECONDS) == 0x57 && get(b, RTC_MINUTES) == 0x59 && get(b, RTC_HOURS) == 0x23);
    CHECK(get(b, RTC_WEEKDAY) == 5 && get(b, RTC_DAY) == 0x29 && get(b, RTC_MONTH) == 2);
    CHECK(get(b, RTC_YEAR) == 0x24 && get(b, RTC_CENTURY) == 0x20);
    put(b, RTC_B, RTC_B_BINARY);
    CHECK(get(b, RTC_SECONDS) == 57 && get(b, RTC_MINUTES) == 59 && get(b, RTC_HOURS) == (RTC_PM | 11));
    CHECK(get(b, RTC_DAY) == 29 && get(b, RTC_CENTURY) == 20);
    put(b, RTC_B, RTC_B_24H);
    clock_advance(&b->clock, 3 * S);
    CHECK(get(b, RTC_SECONDS) == 0 && get(b, RTC_HOURS) == 0);
    CHECK(get(b, RTC_DAY) == 1 && get(b, RTC_MONTH) == 3 && get(b, RTC_WEEKDAY) == 6);
    bench_destroy(b);

    TEST("update in progress");
    b = midnight_create();
    clock_advance(&b->clock, S - 244001);
    CHECK_EQ(get(b, RTC_A), 0x26);
    clock_advance(&b->clock, 2);
    CHECK_EQ(get(b, RTC_A), RTC_A_UIP | 0x26);
    clock_advance(&b->clock, 244000);
    CHECK_EQ(get(b, RTC_A), 0x26);
    bench_destroy(b);
}

static void test_flags(void)
{
    TEST("register C reports what passed and clears");
    struct bench *b = midnight_create();
    get(b, RTC_C);
    CHECK_EQ(get(b, RTC_C), 0);
    clock_advance(&b->clock, S);
    CHECK_EQ(get(b, RTC_C) & (RTC_C_UF | RTC_C_AF), RTC_C_UF);
    CHECK_EQ(get(b, RTC_C), 0);
    bench_destroy(b);

    TEST("update interrupts");
    b = midnight_create();
    get(b, RTC_C);
    put(b, RTC_B, RTC_B_24H | RTC_B_UIE);
    clock_advance(&b->clock, S);
    CHECK(b->line.level && b->line.rises == 1);
    CHECK_EQ(get(b, RTC_C) & (RTC_C_IRQF | RTC_C_AF | RTC_C_UF), RTC_C_IRQF | RTC_C_UF);
    CHECK(!b->line.level);
    clock_advance(&b->clock, S);
    CHECK_EQ(b->line.rises, 2);
    bench_destroy(b);

    TEST("periodic interrupts");
    b = midnight_create();
    get(b, RTC_C);
    put(b, RTC_B, RTC_B_24H | RTC_B_PIE);
    for (unsigned i = 0; i < 1024; i++) {
        clock_advance(&b->clock, S / 1024 + 1);
        get(b, RTC_C);
    }
    CHECK(b->line.rises >= 1023 && b->line.rises <= 1025);
    put(b, RTC_B, RTC_B_24H);
    put(b, RTC_A, RTC_A_DIVIDER_RUNS);
    clock_advance(&b->clock, S);
    CHECK_EQ(get(b, RTC_C) & RTC_C_PF, 0);
    bench_destroy(b);
}

static void test_alarm(void)
{
    TEST("alarm, with and without wildcard");
    struct bench *b = midnight_create();
    clock_advance(&b->clock, 20 * S);
    get(b, RTC_C);
    put(b, RTC_B, RTC_B_24H | RTC_B_AIE);
    put(b, RTC_SECONDS_ALARM, 0x10);
    put(b, RTC_MINUTES_ALARM, 0xff);
    put(b, RTC_HOURS_ALARM, RTC_ANY_TIME);
    clock_advance(&b->clock, 59 * S);
    CHECK_EQ(b->line.rises, 1);
    CHECK_EQ(get(b, RTC_C) & (RTC_C_IRQF | RTC_C_AF), RTC_C_IRQF | RTC_C_AF);
    put(b, RTC_B, RTC_B_24H);
    put(b, RTC_MINUTES_ALARM, 0x02);
    put(b, RTC_HOURS_ALARM, 0x00);
    clock_advance(&b->clock, 120 * S);
    CHECK_EQ(get(b, RTC_C) & RTC_C_AF, RTC_C_AF);
    bench_destroy(b);

    TEST("the chipset learns of each alarm that interrupts, also of one while the line is taken");
    b = midnight_create();
    get(b, RTC_C);
    put(b, RTC_SECONDS_ALARM, 0x10);
    put(b, RTC_MINUTES_ALARM, RTC_ANY_TIME);
    put(b, RTC_HOURS_ALARM, RTC_ANY_TIME);
    clock_advance(&b->clock, 20 * S);
    CHECK_EQ(b->alarms, 0);
    put(b, RTC_B, RTC_B_24H | RTC_B_AIE);
    CHECK_EQ(b->alarms, 1);
    clock_advance(&b->clock, 60 * S);
    CHECK_EQ(b->alarms, 1);
    get(b, RTC_C);
    mc146818_irq_disable(&b->rtc, true);
    unsigned rises = b->line.rises;
    clock_advance(&b->clock, 60 * S);
    CHECK_EQ(b->alarms, 2);
    CHECK_EQ(b->line.rises, rises);
    CHECK_EQ(state_pass(&mc146818_device, &b->rtc, &b->rtc), 0);
    CHECK_EQ(b->alarms, 2);
    bench_destroy(b);

    TEST("the alarm's day of the month");
    b = midnight_create();
    get(b, RTC_C);
    put(b, RTC_HOURS_ALARM, 0x12);
    put(b, RTC_MINUTES_ALARM, 0);
    put(b, RTC_SECONDS_ALARM, 0);
    put(b, RTC_D, 0xff & ~RTC_D_DAY_ALARM);
    CHECK_EQ(get(b, RTC_D), RTC_D_VRT);
    put(b, RTC_D, 3);
    CHECK_EQ(get(b, RTC_D), RTC_D_VRT | 3);
    put(b, RTC_B, RTC_B_24H | RTC_B_AIE);
    clock_advance(&b->clock, 48 * 3600 * S);
    CHECK_EQ(b->line.rises, 0);
    clock_advance(&b->clock, 24 * 3600 * S);
    CHECK_EQ(b->line.rises, 1);
    get(b, RTC_C);
    put(b, RTC_D, RTC_D_DAY_ALARM);
    clock_advance(&b->clock, 24 * 3600 * S);
    CHECK_EQ(b->line.rises, 2);
    bench_destroy(b);
}

static void test_setting(void)
{
    TEST("setting the time with SET and divider reset");
    struct bench *b = midnight_create();
    put(b, RTC_B, RTC_B_SET | RTC_B_UIE | RTC_B_24H);
    CHECK_EQ(get(b, RTC_B), RTC_B_SET | RTC_B_24H);
    put(b, RTC_A, RTC_A_DIVIDER_RESET | 0x10 | RTC_A_RATE_1024HZ);
    put(b, RTC_DAY, 0x31);
    put(b, RTC_MONTH, 0x12);
    put(b, RTC_YEAR, 0x99);
    put(b, RTC_CENTURY, 0x19);
    put(b, RTC_HOURS, 0x23);
    put(b, RTC_MINUTES, 0x59);
    put(b, RTC_SECONDS, 0x59);
    clock_advance(&b->clock, 10 * S);
    CHECK_EQ(get(b, RTC_SECONDS), 0x59);
    put(b, RTC_B, RTC_B_24H);
    put(b, RTC_A, RTC_A_DIVIDER_RUNS | RTC_A_RATE_1024HZ);
    clock_advance(&b->clock, 499000000);
    CHECK(get(b, RTC_SECONDS) == 0x59 && get(b, RTC_YEAR) == 0x99);
    clock_advance(&b->clock, 2000000);
    CHECK(get(b, RTC_SECONDS) == 0 && get(b, RTC_YEAR) == 0 && get(b, RTC_CENTURY) == 0x20);
    CHECK(get(b, RTC_DAY) == 1 && get(b, RTC_MONTH) == 1);
    put(b, RTC_SECONDS, 0x30);
    CHECK(get(b, RTC_SECONDS) == 0x30 && get(b, RTC_MINUTES) == 0);
    bench_destroy(b);

    TEST("a date beyond what 64 bits of nanoseconds hold does no harm");
    b = midnight_create();
    put(b, RTC_CENTURY, 0x99);
    put(b, RTC_YEAR, 0x99);
    clock_advance(&b->clock, 2 * S);
    CHECK_EQ(get(b, RTC_C) & RTC_C_UF, RTC_C_UF);
    bench_destroy(b);
}

static void test_memory(void)
{
    TEST("memory size and CPUs");
    struct bench *b = bench_create();
    CHECK(get(b, RTC_BASE_KIB) == 0x80 && get(b, RTC_BASE_KIB + 1) == 2);
    CHECK(get(b, RTC_ABOVE_16M) == 0x00 && get(b, RTC_ABOVE_16M + 1) == 0xbf);
    CHECK(get(b, RTC_ABOVE_4G) == 0x00 && get(b, RTC_ABOVE_4G + 1) == 0x40 && get(b, RTC_ABOVE_4G + 2) == 1);
    CHECK_EQ(get(b, RTC_CPUS), 3);
    CHECK_EQ(get(b, RTC_D), RTC_D_VRT);

    TEST("checksum");
    unsigned sum = 0;
    for (u8 at = 0x10; at < RTC_CHECKSUM; at++)
        sum += get(b, at);
    CHECK_EQ(get(b, RTC_CHECKSUM) << 8 | get(b, RTC_CHECKSUM + 1), sum);
    bench_destroy(b);

    TEST("saved and loaded, the time and the memory");
    b = midnight_create();
    put(b, RTC_SECONDS, 0x30);
    put(b, 0x7f, 0xa5);
    put(b, RTC_B, RTC_B_24H | RTC_B_UIE);
    struct bench *other = bench_create();
    CHECK_EQ(state_pass(&mc146818_device, &b->rtc, &other->rtc), 0);
    clock_advance(&other->clock, b->clock.now - other->clock.now);
    CHECK(get(other, RTC_SECONDS) == 0x30 && get(other, 0x7f) == 0xa5 && get(other, RTC_MINUTES) == 0);
    get(other, RTC_C);
    other->line.rises = 0;
    clock_advance(&other->clock, S);
    CHECK_EQ(other->line.rises, 1);
    bench_destroy(other);
    bench_destroy(b);
}

int main(void)
{
    test_time();
    test_flags();
    test_alarm();
    test_setting();
    test_memory();
    return TEST_END();
}
