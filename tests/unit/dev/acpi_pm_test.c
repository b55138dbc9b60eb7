#include "dev/acpi_pm.h"
#include "unit/fake_clock.h"
#include "unit/test.h"

static struct acpi_pm pm;
static struct fake_line sci;
static unsigned offs;

static void power_off(void *opaque)
{
    offs++;
}
static u64 get(u64 at, unsigned size)
{
    return acpi_pm_ops.read(&pm, at, size);
}
static void put(u64 at, u64 v, unsigned size)
{
    acpi_pm_ops.write(&pm, at, v, size);
}

int main(void)
{
    struct acpi_pm_config config = {.sci = {fake_line_set, &sci, 0}, .power_off = power_off};
    acpi_pm_init(&pm, &fake_clock, &config);

    TEST("timer runs at 3.579545 MHz and wraps at 24 bits");
    u64 t = get(8, 4);
    clock_advance(1000000000);
    CHECK_EQ((get(8, 4) - t) & 0xffffff, 3579545);
    clock_advance(4000000000ull);
    CHECK(get(8, 4) < 0x1000000);

    TEST("timer status and SCI");
    CHECK_EQ(get(0, 2) & 1, 1);
    put(0, 1, 2);
    CHECK_EQ(get(0, 2) & 1, 0);
    put(2, 1, 2);
    CHECK(!sci.level);
    clock_advance(2400000000ull);
    CHECK(sci.level);
    put(0, 0xffff, 2);
    CHECK(!sci.level);
    put(2, 0, 2);

    TEST("power button");
    acpi_pm_power_button(&pm);
    CHECK(!sci.level);
    put(2, 0x100, 2);
    CHECK(sci.level);
    CHECK_EQ(get(0, 4), 0x01000100);
    put(1, 1, 1);
    CHECK(!sci.level);

    TEST("general-purpose events");
    put(0x28, 0x4, 1);
    acpi_pm_gpe(&pm, 2);
    CHECK(sci.level);
    CHECK_EQ(get(0x20, 4), 4);
    put(0x20, 4, 1);
    CHECK(!sci.level);
    CHECK_EQ(get(0x28, 4), 4);

    TEST("control: SCI_EN stays, only S5 powers off");
    CHECK_EQ(get(4, 2), 1);
    put(4, 0x2000 | 1 << 10, 2);
    CHECK_EQ(offs, 0);
    CHECK_EQ(get(4, 2), 0x0401);
    put(4, 5 << 10, 2);
    CHECK_EQ(offs, 0);
    put(4, 0x2001 | 5 << 10, 2);
    CHECK_EQ(offs, 1);
    CHECK_EQ(get(4, 2), 0x1401);
    return TEST_END();
}
