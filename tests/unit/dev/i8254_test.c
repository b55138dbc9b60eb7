#include "dev/i8254.h"
#include "unit/fake_clock.h"
#include "unit/test.h"

static struct i8254 pit;
static struct fake_line line;

static void out(unsigned port, u8 v)
{
    i8254_ops.write(&pit, port, v, 1);
}
static u8 in(unsigned port)
{
    return (u8)i8254_ops.read(&pit, port, 1);
}
static u16 count(unsigned ch)
{
    out(3, (u8)(ch << 6));
    u8 low = in(ch);
    return (u16)(low | in(ch) << 8);
}
static void program(unsigned ch, unsigned mode, u16 n)
{
    out(3, (u8)(ch << 6 | 0x30 | mode << 1));
    out(ch, (u8)n);
    out(ch, (u8)(n >> 8));
}
static u8 status(unsigned ch)
{
    out(3, (u8)(0xe0 | 2 << ch));
    return in(ch);
}
/* The middle of the n-th tick from now; tests start in the middle of a tick. */
static u64 after(u64 n)
{
    static u64 tick;
    if (!tick)
        tick = fake_now * I8254_HZ / 1000000000u;
    tick += n;
    return (tick * 2 + 1) * 500000000u / I8254_HZ;
}
static void ticks(u64 n)
{
    clock_advance(after(n) - fake_now);
}
/* The same on a host that runs no timer before the end. */
static void late(u64 n)
{
    fake_now = after(n);
    clock_run(&fake_clock);
}
static u8 speaker(void)
{
    return (u8)i8254_speaker_ops.read(&pit, 0, 1);
}

int main(void)
{
    static const struct irq irq = {fake_line_set, &line, 0};
    i8254_init(&pit, &fake_clock, &irq);
    ticks(1);

    TEST("mode 0 counts down and raises OUT once");
    program(0, 0, 1000);
    CHECK(!line.level);
    ticks(1);
    CHECK_EQ(count(0), 1000);
    ticks(400);
    CHECK_EQ(count(0), 600);
    CHECK_EQ(status(0), 0x30);
    ticks(599);
    CHECK(!line.level);
    ticks(1);
    CHECK(line.level);
    CHECK_EQ(status(0), 0xb0);
    ticks(5);
    CHECK_EQ(count(0), 0xfffb);
    CHECK_EQ(line.rises, 1);

    TEST("mode 2 interrupts each period; a new count waits for the end of the period");
    line.rises = 0;
    program(0, 2, 100);
    ticks(1);
    CHECK_EQ(count(0), 100);
    ticks(99);
    CHECK_EQ(count(0), 1);
    CHECK_EQ(status(0) & 0x80, 0);
    CHECK_EQ(line.rises, 0);
    ticks(1);
    CHECK_EQ(count(0), 100);
    CHECK_EQ(line.rises, 1);
    ticks(1000);
    CHECK_EQ(line.rises, 11);
    out(0, 50);
    out(0, 0);
    CHECK_EQ(status(0) & 0x40, 0x40);
    ticks(10);
    CHECK_EQ(count(0), 90);
    ticks(90);
    CHECK_EQ(line.rises, 12);
    CHECK_EQ(count(0), 50);
    CHECK_EQ(status(0) & 0x40, 0);
    ticks(100);
    CHECK_EQ(line.rises, 14);

    TEST("mode 2 makes up for periods that a busy host missed, a quarter of a period apart");
    program(0, 2, 1000);
    ticks(1001);
    line.rises = 0;
    late(5500); /* five periods */
    CHECK_EQ(line.rises, 1);
    ticks(249);
    CHECK_EQ(line.rises, 1);
    ticks(2);
    CHECK_EQ(line.rises, 2);
    ticks(5000 - 251);
    CHECK_EQ(line.rises, 10);

    TEST("no more than 50 of them");
    line.rises = 0;
    late(1000000);
    ticks(100000);
    CHECK_EQ(line.rises, 1 + 50 + 100);

    TEST("programming the channel anew forgets them");
    late(5000);
    program(0, 2, 1000);
    line.rises = 0;
    ticks(1000);
    CHECK_EQ(line.rises, 0);
    ticks(1);
    CHECK_EQ(line.rises, 1);
    ticks(5000);
    CHECK_EQ(line.rises, 6);

    TEST("mode 3 is a square wave");
    line.rises = 0;
    program(0, 3, 7);
    ticks(1);
    unsigned high = 0;
    for (unsigned i = 0; i < 70; i++) {
        CHECK_EQ(line.level, status(0) >> 7);
        high += line.level;
        ticks(1);
    }
    CHECK_EQ(high, 40);
    CHECK_EQ(line.rises, 10);
    program(0, 3, 0);
    ticks(1);
    CHECK_EQ(count(0), 0);
    ticks(0x4000);
    CHECK_EQ(count(0), 0x8000);

    TEST("mode 4 strobes once");
    line.rises = 0;
    program(0, 4, 20);
    ticks(21);
    CHECK_EQ(status(0) & 0x80, 0);
    ticks(1);
    CHECK_EQ(status(0) & 0x80, 0x80);
    CHECK_EQ(line.rises, 1);
    ticks(200000);
    CHECK_EQ(line.rises, 1);

    TEST("channel 2 through port 0x61");
    i8254_speaker_ops.write(&pit, 0, 0, 1);
    program(2, 0, 500);
    ticks(100);
    CHECK_EQ(speaker() & 0x21, 0);
    CHECK_EQ(count(2), 500);
    i8254_speaker_ops.write(&pit, 0, 1, 1);
    ticks(499);
    CHECK_EQ(speaker() & 0x21, 1);
    ticks(1);
    CHECK_EQ(speaker() & 0x21, 0x21);
    u8 first = speaker();
    clock_advance(15085);
    CHECK_EQ((first ^ speaker()) & 0x10, 0x10);
    ticks(30);

    TEST("modes 1 and 5 are triggered by the gate");
    i8254_speaker_ops.write(&pit, 0, 0, 1);
    program(2, 1, 10);
    ticks(50);
    CHECK_EQ(speaker() & 0x20, 0x20);
    i8254_speaker_ops.write(&pit, 0, 1, 1);
    ticks(10);
    CHECK_EQ(speaker() & 0x20, 0);
    ticks(1);
    CHECK_EQ(speaker() & 0x20, 0x20);
    i8254_speaker_ops.write(&pit, 0, 0, 1);
    program(2, 5, 10);
    i8254_speaker_ops.write(&pit, 0, 1, 1);
    ticks(11);
    CHECK_EQ(speaker() & 0x20, 0);
    ticks(1);
    CHECK_EQ(speaker() & 0x20, 0x20);

    TEST("BCD, single bytes, read-back of count and status");
    out(3, 0x31 | 0x80);
    out(2, 0x00);
    out(2, 0x10); /* 1000 */
    ticks(2);
    CHECK_EQ(count(2), 0x0999);
    out(3, 0x94); /* channel 2, low byte, mode 2 */
    out(2, 200);
    ticks(3);
    CHECK_EQ(in(2), 198);
    program(0, 2, 0x1234);
    ticks(1);
    out(3, 0xc2);
    ticks(5);
    CHECK_EQ(in(0), 0xb4);
    CHECK_EQ(in(0), 0x34);
    CHECK_EQ(in(0), 0x12);
    CHECK_EQ(in(0), 0x2f);

    TEST("saved and loaded; legacy replacement");
    struct state *s = state_save_begin();
    i8254_device.state(&pit, s, "i8254");
    size_t size;
    const void *bytes = state_bytes(s, &size);
    struct state *l = state_load_begin(bytes, size);
    u16 before = count(0);
    i8254_device.reset(&pit);
    i8254_device.state(&pit, l, "i8254");
    CHECK_EQ(count(0), before);
    state_free(s);
    state_free(l);
    line.rises = 0;
    i8254_irq_disable(&pit, true);
    ticks(0x5000);
    CHECK_EQ(line.rises, 0);
    i8254_irq_disable(&pit, false);
    ticks(0x2000);
    CHECK(line.rises >= 1);
    return TEST_END();
}
