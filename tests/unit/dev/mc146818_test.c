#include "dev/mc146818.h"
#include "unit/fake_clock.h"
#include "unit/test.h"

static struct mc146818 rtc;
static struct fake_line line;

static u8 get(u8 i)
{
    mc146818_ops.write(&rtc, 0, i, 1);
    return (u8)mc146818_ops.read(&rtc, 1, 1);
}
static void put(u8 i, u8 v)
{
    mc146818_ops.write(&rtc, 0, i | 0x80, 1);
    mc146818_ops.write(&rtc, 1, v, 1);
}

#define S 1000000000ull

int main(void)
{
    static const struct irq irq = {fake_line_set, &line, 0};
    /* 2024-02-29 23:59:57.5 UTC, a Thursday */
    struct mc146818_config config = {1709251197500000000ll, 3ull << 30, 5ull << 30, 4};
    mc146818_init(&rtc, &fake_clock, &irq, &config);

    TEST("time and date in BCD, binary, 12 hours");
    CHECK(get(0) == 0x57 && get(2) == 0x59 && get(4) == 0x23);
    CHECK(get(6) == 5 && get(7) == 0x29 && get(8) == 2 && get(9) == 0x24 && get(0x32) == 0x20);
    put(11, 0x04);
    CHECK(get(0) == 57 && get(2) == 59 && get(4) == (0x80 | 11) && get(7) == 29 && get(0x32) == 20);
    put(11, 0x02);
    clock_advance(3 * S);
    CHECK(get(0) == 0 && get(4) == 0 && get(7) == 1 && get(8) == 3 && get(6) == 6);

    TEST("update in progress");
    clock_advance(S / 2 - 244001);
    CHECK_EQ(get(10), 0x26);
    clock_advance(2);
    CHECK_EQ(get(10), 0xa6);
    clock_advance(244000);
    CHECK_EQ(get(10), 0x26);

    TEST("register C reports what passed and clears");
    get(12);
    CHECK_EQ(get(12), 0);
    clock_advance(S);
    CHECK_EQ(get(12) & 0x30, 0x10);
    CHECK_EQ(get(12), 0);

    TEST("update interrupts");
    put(11, 0x12);
    line.rises = 0;
    clock_advance(S);
    CHECK(line.level && line.rises == 1);
    CHECK_EQ(get(12) & 0xb0, 0x90);
    CHECK(!line.level);
    clock_advance(S);
    CHECK_EQ(line.rises, 2);
    get(12);

    TEST("alarm, with and without wildcard");
    put(11, 0x22);
    put(1, 0x10);
    put(3, 0xff);
    put(5, 0xc0);
    line.rises = 0;
    clock_advance(59 * S);
    CHECK_EQ(line.rises, 1);
    CHECK_EQ(get(12) & 0xa0, 0xa0);
    put(11, 0x02);
    put(3, 0x02);
    put(5, 0x00);
    clock_advance(120 * S);
    CHECK_EQ(get(12) & 0x20, 0x20);

    TEST("periodic interrupts");
    get(12);
    put(11, 0x42);
    line.rises = 0;
    for (unsigned i = 0; i < 1024; i++) {
        clock_advance(S / 1024 + 1);
        get(12);
    }
    CHECK(line.rises >= 1023 && line.rises <= 1025);
    put(11, 0x02);
    put(10, 0x20);
    clock_advance(S);
    CHECK_EQ(get(12) & 0x40, 0);

    TEST("setting the time with SET and divider reset");
    put(11, 0x92);
    CHECK_EQ(get(11), 0x82);
    put(10, 0x76);
    put(7, 0x31);
    put(8, 0x12);
    put(9, 0x99);
    put(0x32, 0x19);
    put(4, 0x23);
    put(2, 0x59);
    put(0, 0x59);
    clock_advance(10 * S);
    CHECK_EQ(get(0), 0x59);
    put(11, 0x02);
    put(10, 0x26);
    clock_advance(499000000);
    CHECK(get(0) == 0x59 && get(9) == 0x99);
    clock_advance(2000000);
    CHECK(get(0) == 0 && get(9) == 0 && get(0x32) == 0x20 && get(7) == 1 && get(8) == 1);
    put(0, 0x30);
    CHECK(get(0) == 0x30 && get(2) == 0);

    TEST("memory size and checksum");
    CHECK(get(0x15) == 0x80 && get(0x16) == 2);
    CHECK(get(0x34) == 0x00 && get(0x35) == 0xbf);
    CHECK(get(0x5b) == 0x00 && get(0x5c) == 0x40 && get(0x5d) == 1);
    CHECK_EQ(get(0x5f), 3);
    CHECK_EQ(get(13), 0x80);

    TEST("saved and loaded");
    struct state *s = state_save_begin();
    mc146818_device.state(&rtc, s, "mc146818");
    size_t size;
    const void *bytes = state_bytes(s, &size);
    put(0, 0x11);
    struct state *l = state_load_begin(bytes, size);
    mc146818_device.state(&rtc, l, "mc146818");
    CHECK_EQ(get(0), 0x30);
    state_free(s);
    state_free(l);
    return TEST_END();
}
