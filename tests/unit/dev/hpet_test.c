#include "dev/hpet.h"
#include "unit/fake_clock.h"
#include "unit/test.h"

static struct hpet h;
static struct fake_line gsi[24], legacy[2];
static bool switched;
static u64 msi_address;
static u32 msi_data, msis;

static void legacy_switched(void *opaque, bool on)
{
    switched = on;
}
static void msi(void *opaque, u64 address, u32 data)
{
    msi_address = address;
    msi_data = data;
    msis++;
}
static u64 get(u64 at, unsigned size)
{
    return hpet_ops.read(&h, at, size);
}
static void put(u64 at, u64 v, unsigned size)
{
    hpet_ops.write(&h, at, v, size);
}

int main(void)
{
    struct hpet_config config = {
        .gsi = {fake_line_set, gsi, 0},
        .legacy = {{fake_line_set, legacy, 0}, {fake_line_set, legacy, 1}},
        .msi = msi,
        .legacy_switched = legacy_switched,
    };
    hpet_init(&h, &fake_clock, &config);

    TEST("capabilities and counter");
    CHECK_EQ(get(0, 8), 0x009896808086a201ull);
    CHECK_EQ(get(4, 4), 10000000);
    clock_advance(1000);
    CHECK_EQ(get(0xf0, 8), 0);
    put(0xf0, 0xfffffff0, 8);
    put(0x10, 1, 4);
    clock_advance(1000);
    CHECK_EQ(get(0xf0, 8), 0xfffffff0ull + 100);
    CHECK_EQ(get(0xf4, 4), 1);
    put(0x10, 0, 4);
    clock_advance(1000);
    CHECK_EQ((u32)get(0xf0, 4), 84);
    put(0xf0, 0, 8);

    TEST("one shot with legacy replacement");
    put(0x10, 3, 4);
    CHECK(switched);
    put(0x100, 0x104, 4);
    put(0x108, 1000, 4);
    clock_advance(9990);
    CHECK_EQ(legacy[0].rises, 0);
    clock_advance(10);
    CHECK_EQ(legacy[0].rises, 1);
    clock_advance(100000);
    CHECK_EQ(legacy[0].rises, 1);

    TEST("periodic as Linux programs it");
    put(0x120, 0x14c, 4);
    put(0x128, get(0xf0, 4) + 500, 4);
    put(0x128, 500, 4);
    clock_advance(50000);
    CHECK_EQ(legacy[1].rises, 10);
    put(0x120, 0, 4);
    clock_advance(50000);
    CHECK_EQ(legacy[1].rises, 10);

    TEST("level-triggered I/O APIC route");
    put(0x10, 1, 4);
    CHECK(!switched);
    CHECK_EQ(get(0x144, 4), 0x00f00000);
    put(0x140, 0x106 | 21 << 9, 4);
    put(0x148, get(0xf0, 8) + 10, 8);
    clock_advance(100);
    CHECK(gsi[21].level);
    CHECK_EQ(get(0x20, 4), 4);
    put(0x20, 4, 4);
    CHECK(!gsi[21].level);

    TEST("FSB delivery");
    put(0x150, 0xfee01000ull << 32 | 0x41, 8);
    put(0x140, 0x4104, 4);
    put(0x148, (get(0xf0, 8) + 10) & 0xffffffff, 8);
    clock_advance(100);
    CHECK(msis == 1 && msi_address == 0xfee01000 && msi_data == 0x41);

    TEST("a comparator in the past waits for the wrap");
    put(0x148, (u32)get(0xf0, 8) - 5, 4);
    clock_advance(1000000);
    CHECK_EQ(msis, 1);
    clock_advance(43000000000ull);
    CHECK_EQ(msis, 2);

    TEST("saved and loaded");
    struct state *s = state_save_begin();
    hpet_device.state(&h, s, "hpet");
    size_t size;
    const void *bytes = state_bytes(s, &size);
    u64 before = get(0xf0, 8);
    hpet_device.reset(&h);
    CHECK_EQ(get(0xf0, 8), 0);
    struct state *l = state_load_begin(bytes, size);
    hpet_device.state(&h, l, "hpet");
    CHECK_EQ(get(0xf0, 8), before);
    state_free(s);
    state_free(l);
    return TEST_END();
}
