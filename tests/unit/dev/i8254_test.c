/*
 * The PIT: its modes, what can be read of a channel, port 0x61, and what a host that is late does to its ticks.
 */
#include "dev/i8254.h"
#include "unit/fake_board.h"
#include "unit/test.h"

struct bench {
    struct fake_clock clock;
    struct fake_line line;
    struct i8254 pit;
    u64 tick; /* time stands in the middle of this one */
};

/* Time goes on to the middle of the n-th tick from now. */
static u64 after(struct bench *b, u64 n)
{
    b->tick += n;
    return (b->tick * 2 + 1) * 500000000u / I8254_HZ;
}

static void ticks(struct bench *b, u64 n)
{
    clock_advance(&b->clock, after(b, n) - b->clock.now);
}

/* Time goes on, too, but the host runs no timer before the end. */
static void late(struct bench *b, u64 n)
{
    b->clock.now = after(b, n);
    clock_run(&b->clock.clock);
}

static struct bench *bench_create(void)
{
    struct bench *b = fresh(sizeof(*b));
    fake_clock_init(&b->clock);
    i8254_init(&b->pit, &b->clock.clock, &(struct irq){fake_line_set, &b->line, 0});
    ticks(b, b->clock.now * I8254_HZ / 1000000000u + 1);
    return b;
}

static void bench_destroy(struct bench *b)
{
    i8254_device.destroy(&b->pit);
    CHECK(!b->clock.clock.timers);
    free(b);
}

static void out(struct bench *b, unsigned offset, unsigned value)
{
    i8254_ops.write(&b->pit, offset, (u8)value, 1);
}
static u8 in(struct bench *b, unsigned offset)
{
    return (u8)i8254_ops.read(&b->pit, offset, 1);
}

/* Latches and reads the count of a channel that is programmed for two bytes. */
static u16 count(struct bench *b, unsigned channel)
{
    out(b, I8254_CONTROL, I8254_SELECT(channel) | I8254_ACCESS(I8254_LATCH));
    u8 low = in(b, channel);
    return (u16)(low | in(b, channel) << 8);
}

static void count_write(struct bench *b, unsigned channel, u16 n)
{
    out(b, channel, (u8)n);
    out(b, channel, n >> 8);
}

static void program(struct bench *b, unsigned channel, enum i8254_mode mode, u16 n)
{
    out(b, I8254_CONTROL, I8254_SELECT(channel) | I8254_ACCESS(I8254_LOW_HIGH) | I8254_MODE(mode));
    count_write(b, channel, n);
}

static u8 status(struct bench *b, unsigned channel)
{
    out(b, I8254_CONTROL, I8254_READ_BACK | I8254_NO_COUNT | I8254_OF(channel));
    return in(b, channel);
}

static u8 speaker(struct bench *b)
{
    return (u8)i8254_speaker_ops.read(&b->pit, 0, 1);
}
static void speaker_write(struct bench *b, u8 value)
{
    i8254_speaker_ops.write(&b->pit, 0, value, 1);
}

static void test_terminal_count(void)
{
    TEST("mode 0 counts down and raises OUT once");
    struct bench *b = bench_create();
    program(b, 0, I8254_TERMINAL_COUNT, 1000);
    CHECK(!b->line.level);
    ticks(b, 1);
    CHECK_EQ(count(b, 0), 1000);
    ticks(b, 400);
    CHECK_EQ(count(b, 0), 600);
    CHECK_EQ(status(b, 0), I8254_ACCESS(I8254_LOW_HIGH));
    ticks(b, 599);
    CHECK(!b->line.level);
    ticks(b, 1);
    CHECK(b->line.level);
    CHECK_EQ(status(b, 0), I8254_STATUS_OUT | I8254_ACCESS(I8254_LOW_HIGH));
    ticks(b, 5);
    CHECK_EQ(count(b, 0), 0xfffb);
    CHECK_EQ(b->line.rises, 1);
    bench_destroy(b);
}

static void test_rate(void)
{
    TEST("mode 2 interrupts each period; a new count waits for the end of the period");
    struct bench *b = bench_create();
    program(b, 0, I8254_RATE, 100);
    ticks(b, 1);
    b->line.rises = 0;
    CHECK_EQ(count(b, 0), 100);
    ticks(b, 99);
    CHECK_EQ(count(b, 0), 1);
    CHECK_EQ(status(b, 0) & I8254_STATUS_OUT, 0);
    CHECK_EQ(b->line.rises, 0);
    ticks(b, 1);
    CHECK_EQ(count(b, 0), 100);
    CHECK_EQ(b->line.rises, 1);
    ticks(b, 1000);
    CHECK_EQ(b->line.rises, 11);
    count_write(b, 0, 50);
    CHECK_EQ(status(b, 0) & I8254_STATUS_NULL_COUNT, I8254_STATUS_NULL_COUNT);
    ticks(b, 10);
    CHECK_EQ(count(b, 0), 90);
    ticks(b, 90);
    CHECK_EQ(b->line.rises, 12);
    CHECK_EQ(count(b, 0), 50);
    CHECK_EQ(status(b, 0) & I8254_STATUS_NULL_COUNT, 0);
    ticks(b, 100);
    CHECK_EQ(b->line.rises, 14);
    bench_destroy(b);
}

/* A channel 0 that interrupts every 1000 ticks; its first period has just begun. */
static struct bench *rate_create(void)
{
    struct bench *b = bench_create();
    program(b, 0, I8254_RATE, 1000);
    ticks(b, 1001);
    b->line.rises = 0;
    return b;
}

static void test_missed(void)
{
    TEST("mode 2 makes up for periods that a busy host missed, a quarter of a period apart");
    struct bench *b = rate_create();
    late(b, 5500); /* five periods */
    CHECK_EQ(b->line.rises, 1);
    ticks(b, 249);
    CHECK_EQ(b->line.rises, 1);
    ticks(b, 2);
    CHECK_EQ(b->line.rises, 2);
    ticks(b, 5000 - 251);
    CHECK_EQ(b->line.rises, 10);
    bench_destroy(b);

    TEST("mode 2 makes up for no more than 50 periods");
    b = rate_create();
    ticks(b, 500);
    late(b, 1000000);
    ticks(b, 100000);
    CHECK_EQ(b->line.rises, 1 + 50 + 100);
    bench_destroy(b);

    TEST("programming the channel anew forgets missed periods");
    b = rate_create();
    late(b, 5000);
    program(b, 0, I8254_RATE, 1000);
    b->line.rises = 0;
    ticks(b, 1000);
    CHECK_EQ(b->line.rises, 0);
    ticks(b, 1);
    CHECK_EQ(b->line.rises, 1);
    ticks(b, 5000);
    CHECK_EQ(b->line.rises, 6);
    bench_destroy(b);

    TEST("saving and loading keeps missed periods");
    b = rate_create();
    late(b, 5500);
    CHECK_EQ(state_pass(&i8254_device, &b->pit, &b->pit), 0);
    b->line.rises = 1;
    ticks(b, 5000);
    CHECK_EQ(b->line.rises, 10);
    bench_destroy(b);
}

static void not_taken(void *opaque, unsigned line, bool level)
{
    struct bench *b = opaque;
    if (level)
        i8254_not_taken(&b->pit);
}

static void test_not_taken(void)
{
    TEST("pulses that the guest does not take come when it does");
    struct bench *b = rate_create();
    ticks(b, 500);
    b->pit.irq = (struct irq){not_taken, b, 0};
    ticks(b, 3000);
    CHECK_EQ(b->pit.missed, 3);
    b->line = (struct fake_line){.level = true};
    b->pit.irq = (struct irq){fake_line_set, &b->line, 0};
    ticks(b, 501); /* the first in time */
    CHECK_EQ(b->line.rises, 1);
    ticks(b, 750); /* and the three */
    CHECK_EQ(b->line.rises, 4);
    ticks(b, 2000);
    CHECK_EQ(b->line.rises, 6);
    bench_destroy(b);

    TEST("pulses that were missed do not come if they are merged");
    b = rate_create();
    i8254_merge(&b->pit, true);
    late(b, 5500);
    b->line.rises = 0;
    ticks(b, 5000);
    CHECK_EQ(b->line.rises, 5);
    bench_destroy(b);
}

static void test_times(void)
{
    TEST("a channel by its count and the time when it was loaded");
    struct bench *b = rate_create(), *other = bench_create();
    u64 loaded;
    ticks(b, 300);
    CHECK_EQ(i8254_count_get(&b->pit, 0, &loaded), 1000);
    other->pit.channel[2] = b->pit.channel[0];
    other->pit.channel[2].armed = false;
    ticks(other, b->tick - other->tick);
    i8254_count_set(&other->pit, 2, 1000, loaded);
    CHECK_EQ(count(other, 2), count(b, 0));
    CHECK_EQ(i8254_count_get(&other->pit, 2, &loaded), 1000);
    other->pit.channel[0].mode = I8254_RATE;
    i8254_count_set(&other->pit, 0, 0, after(other, 0));
    CHECK_EQ(i8254_count_get(&other->pit, 0, &loaded), 0x10000);
    other->line.rises = 0;
    ticks(other, 0x10000 + 1);
    CHECK_EQ(other->line.rises, 1);
    bench_destroy(b);
    bench_destroy(other);
}

static void test_square_wave(void)
{
    TEST("mode 3 is a square wave");
    struct bench *b = bench_create();
    program(b, 0, I8254_SQUARE_WAVE, 701);
    ticks(b, 1);
    b->line.rises = 0;
    unsigned high = 0;
    for (unsigned i = 0; i < 7010; i++) {
        CHECK_EQ(b->line.level, (status(b, 0) & I8254_STATUS_OUT) != 0);
        high += b->line.level;
        ticks(b, 1);
    }
    CHECK_EQ(high, 3510);
    CHECK_EQ(b->line.rises, 10);
    program(b, 0, I8254_SQUARE_WAVE, 0);
    ticks(b, 1);
    CHECK_EQ(count(b, 0), 0);
    ticks(b, 0x4000);
    CHECK_EQ(count(b, 0), 0x8000);
    bench_destroy(b);
}

static void test_fast(void)
{
    TEST("waves too fast for the timer become pulses at the timer's pace");
    struct bench *b = bench_create();
    static const enum i8254_mode modes[] = {I8254_RATE, I8254_SQUARE_WAVE};
    for (unsigned i = 0; i < ARRAY_LEN(modes); i++) {
        for (u16 n = 2; n < 5; n++) {
            program(b, 0, modes[i], n);
            clock_advance(&b->clock, 2 * TIMER_DEBT_NS);
            b->line.rises = 0;
            clock_advance(&b->clock, 100 * TIMER_GAP_NS);
            CHECK(b->line.rises >= 99 && b->line.rises <= 101);
        }
    }
    bench_destroy(b);
}

static void test_strobe(void)
{
    TEST("mode 4 strobes once");
    struct bench *b = bench_create();
    program(b, 0, I8254_SOFTWARE_STROBE, 20);
    b->line.rises = 0;
    ticks(b, 21);
    CHECK_EQ(status(b, 0) & I8254_STATUS_OUT, 0);
    ticks(b, 1);
    CHECK_EQ(status(b, 0) & I8254_STATUS_OUT, I8254_STATUS_OUT);
    CHECK_EQ(b->line.rises, 1);
    ticks(b, 200000);
    CHECK_EQ(b->line.rises, 1);
    bench_destroy(b);
}

static void test_speaker(void)
{
    static const u8 watched = I8254_SPEAKER_GATE | I8254_SPEAKER_OUT;
    TEST("channel 2 through port 0x61");
    struct bench *b = bench_create();
    speaker_write(b, 0);
    program(b, 2, I8254_TERMINAL_COUNT, 500);
    ticks(b, 100);
    CHECK_EQ(speaker(b) & watched, 0);
    CHECK_EQ(count(b, 2), 500);
    speaker_write(b, I8254_SPEAKER_GATE);
    ticks(b, 499);
    CHECK_EQ(speaker(b) & watched, I8254_SPEAKER_GATE);
    ticks(b, 1);
    CHECK_EQ(speaker(b) & watched, watched);
    u8 first = speaker(b);
    clock_advance(&b->clock, 15085);
    CHECK_EQ((first ^ speaker(b)) & I8254_SPEAKER_REFRESH, I8254_SPEAKER_REFRESH);
    bench_destroy(b);

    TEST("modes 1 and 5 are triggered by the gate");
    b = bench_create();
    program(b, 2, I8254_ONE_SHOT, 10);
    ticks(b, 50);
    CHECK_EQ(speaker(b) & I8254_SPEAKER_OUT, I8254_SPEAKER_OUT);
    speaker_write(b, I8254_SPEAKER_GATE);
    ticks(b, 10);
    CHECK_EQ(speaker(b) & I8254_SPEAKER_OUT, 0);
    ticks(b, 1);
    CHECK_EQ(speaker(b) & I8254_SPEAKER_OUT, I8254_SPEAKER_OUT);
    speaker_write(b, 0);
    program(b, 2, I8254_HARDWARE_STROBE, 10);
    speaker_write(b, I8254_SPEAKER_GATE);
    ticks(b, 11);
    CHECK_EQ(speaker(b) & I8254_SPEAKER_OUT, 0);
    ticks(b, 1);
    CHECK_EQ(speaker(b) & I8254_SPEAKER_OUT, I8254_SPEAKER_OUT);
    bench_destroy(b);
}

static void test_reading(void)
{
    TEST("BCD, single bytes, read-back of count and status");
    struct bench *b = bench_create();
    speaker_write(b, I8254_SPEAKER_GATE);
    out(b, I8254_CONTROL, I8254_SELECT(2) | I8254_ACCESS(I8254_LOW_HIGH) | I8254_BCD);
    count_write(b, 2, 0x1000);
    ticks(b, 2);
    CHECK_EQ(count(b, 2), 0x0999);
    out(b, I8254_CONTROL, I8254_SELECT(2) | I8254_ACCESS(I8254_LOW) | I8254_MODE(I8254_RATE));
    out(b, 2, 200);
    ticks(b, 3);
    CHECK_EQ(in(b, 2), 198);
    program(b, 0, I8254_RATE, 0x1234);
    ticks(b, 1);
    out(b, I8254_CONTROL, I8254_READ_BACK | I8254_OF(0));
    ticks(b, 5);
    CHECK_EQ(in(b, 0), I8254_STATUS_OUT | I8254_ACCESS(I8254_LOW_HIGH) | I8254_MODE(I8254_RATE));
    CHECK_EQ(in(b, 0), 0x34);
    CHECK_EQ(in(b, 0), 0x12);
    CHECK_EQ(in(b, 0), 0x2f);
    bench_destroy(b);
}

static void test_others(void)
{
    TEST("saved and loaded");
    struct bench *b = bench_create();
    program(b, 0, I8254_RATE, 0x1234);
    ticks(b, 6);
    u16 before = count(b, 0);
    CHECK_EQ(before, 0x122f);
    CHECK_EQ(state_pass(&i8254_device, &b->pit, &b->pit), 0);
    CHECK_EQ(count(b, 0), before);
    CHECK(b->line.level);

    TEST("the HPET takes its line");
    i8254_irq_disable(&b->pit, true);
    b->line.rises = 0;
    ticks(b, 0x5000);
    CHECK_EQ(b->line.rises, 0);
    i8254_irq_disable(&b->pit, false);
    ticks(b, 0x2000);
    CHECK(b->line.rises >= 1);
    bench_destroy(b);
}

int main(void)
{
    test_terminal_count();
    test_rate();
    test_missed();
    test_not_taken();
    test_times();
    test_square_wave();
    test_fast();
    test_strobe();
    test_speaker();
    test_reading();
    test_others();
    return TEST_END();
}
