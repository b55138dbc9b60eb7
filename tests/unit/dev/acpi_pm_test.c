/*
 * ACPI fixed hardware: the PM timer, when the SCI is asserted, and what ends the machine.
 */
#include "dev/acpi_pm.h"
#include "unit/fake_board.h"
#include "unit/test.h"

struct bench {
    struct fake_clock clock;
    struct fake_line sci;
    unsigned offs;
    struct acpi_pm pm;
};

#define S 1000000000ull

static void power_off(void *opaque)
{
    ((struct bench *)opaque)->offs++;
}

static struct bench *bench_create(void)
{
    struct bench *b = fresh(sizeof(*b));
    fake_clock_init(&b->clock);
    acpi_pm_init(&b->pm, &b->clock.clock,
                 &(struct acpi_pm_config){.sci = {fake_line_set, &b->sci, 0}, .power_off = power_off, .opaque = b});
    return b;
}

static void bench_destroy(struct bench *b)
{
    acpi_pm_device.destroy(&b->pm);
    CHECK(!b->clock.clock.timers);
    free(b);
}

static u64 get(struct bench *b, u64 at, unsigned size)
{
    return acpi_pm_ops.read(&b->pm, at, size);
}
static void put(struct bench *b, u64 at, u64 value, unsigned size)
{
    acpi_pm_ops.write(&b->pm, at, value, size);
}

static void test_timer(void)
{
    TEST("timer runs at 3.579545 MHz and wraps at 24 bits");
    struct bench *b = bench_create();
    u64 start = get(b, ACPI_PM_TMR, 4);
    clock_advance(&b->clock, S);
    CHECK_EQ((get(b, ACPI_PM_TMR, 4) - start) & 0xffffff, ACPI_PM_HZ);
    clock_advance(&b->clock, 4 * S);
    CHECK(get(b, ACPI_PM_TMR, 4) < 0x1000000);

    TEST("timer status and SCI");
    CHECK_EQ(get(b, ACPI_PM1_STS, 2) & ACPI_STS_TMR, ACPI_STS_TMR);
    put(b, ACPI_PM1_STS, ACPI_STS_TMR, 2);
    CHECK_EQ(get(b, ACPI_PM1_STS, 2) & ACPI_STS_TMR, 0);
    put(b, ACPI_PM1_EN, ACPI_STS_TMR, 2);
    CHECK(!b->sci.level);
    clock_advance(&b->clock, 2400000000ull);
    CHECK(b->sci.level);
    put(b, ACPI_PM1_STS, 0xffff, 2);
    CHECK(!b->sci.level);
    bench_destroy(b);
}

static void test_events(void)
{
    TEST("power button");
    struct bench *b = bench_create();
    acpi_pm_power_button(&b->pm);
    CHECK(!b->sci.level);
    put(b, ACPI_PM1_EN, ACPI_STS_PWRBTN, 2);
    CHECK(b->sci.level);
    CHECK_EQ(get(b, ACPI_PM1_EVT, 4), ACPI_STS_PWRBTN << 16 | ACPI_STS_PWRBTN);
    put(b, ACPI_PM1_STS + 1, ACPI_STS_PWRBTN >> 8, 1);
    CHECK(!b->sci.level);
    bench_destroy(b);

    TEST("the alarm of the real-time clock");
    b = bench_create();
    put(b, ACPI_PM1_EN, ACPI_STS_RTC, 2);
    acpi_pm_rtc_alarm(&b->pm);
    CHECK(b->sci.level);
    put(b, ACPI_PM1_STS, ACPI_STS_RTC, 2);
    CHECK(!b->sci.level);
    bench_destroy(b);

    TEST("general-purpose events");
    b = bench_create();
    put(b, ACPI_GPE0_EN, BIT(2), 1);
    acpi_pm_gpe(&b->pm, 2);
    CHECK(b->sci.level);
    CHECK_EQ(get(b, ACPI_GPE0_STS, 4), BIT(2));
    put(b, ACPI_GPE0_STS, BIT(2), 1);
    CHECK(!b->sci.level);
    CHECK_EQ(get(b, ACPI_GPE0_EN, 4), BIT(2));
    bench_destroy(b);
}

static void test_control(void)
{
    TEST("control: SCI_EN stays, only S5 powers off");
    struct bench *b = bench_create();
    CHECK_EQ(get(b, ACPI_PM1_CNT, 2), ACPI_CNT_SCI_EN);
    put(b, ACPI_PM1_CNT, ACPI_CNT_SLP_EN | ACPI_CNT_SLP_TYP(1), 2);
    CHECK_EQ(b->offs, 0);
    CHECK_EQ(get(b, ACPI_PM1_CNT, 2), ACPI_CNT_SCI_EN | ACPI_CNT_SLP_TYP(1));
    put(b, ACPI_PM1_CNT, ACPI_CNT_SLP_TYP(ACPI_SLP_TYP_S5), 2);
    CHECK_EQ(b->offs, 0);
    put(b, ACPI_PM1_CNT, ACPI_CNT_SLP_EN | ACPI_CNT_SCI_EN | ACPI_CNT_SLP_TYP(ACPI_SLP_TYP_S5), 2);
    CHECK_EQ(b->offs, 1);
    CHECK_EQ(get(b, ACPI_PM1_CNT, 2), ACPI_CNT_SCI_EN | ACPI_CNT_SLP_TYP(ACPI_SLP_TYP_S5));
    bench_destroy(b);
}

static void test_state(void)
{
    TEST("saved and loaded: an event is still asserted, after a reset it is not");
    struct bench *b = bench_create();
    put(b, ACPI_PM1_EN, ACPI_STS_PWRBTN, 2);
    acpi_pm_power_button(&b->pm);
    CHECK_EQ(state_pass(&acpi_pm_device, &b->pm, &b->pm), 0);
    CHECK_EQ(b->sci.rises, 2);
    CHECK(b->sci.level);
    acpi_pm_device.reset(&b->pm);
    CHECK(!b->sci.level);
    bench_destroy(b);
}

int main(void)
{
    test_timer();
    test_events();
    test_control();
    test_state();
    return TEST_END();
}
