/*
 * The HPET: its counter, and each way in which a timer interrupts.
 */
#include "dev/hpet.h"
#include "unit/fake_board.h"
#include "unit/test.h"

struct bench {
    struct fake_clock clock;
    struct fake_line gsi[24], legacy[2];
    bool switched;
    u64 msi_address;
    u32 msi_data, msis;
    struct hpet hpet;
};

static void legacy_switched(void *opaque, bool on)
{
    ((struct bench *)opaque)->switched = on;
}
static void msi(void *opaque, u64 address, u32 data)
{
    struct bench *b = opaque;
    b->msi_address = address;
    b->msi_data = data;
    b->msis++;
}

static struct bench *bench_create(void)
{
    struct bench *b = fresh(sizeof(*b));
    fake_clock_init(&b->clock);
    hpet_init(&b->hpet, &b->clock.clock,
              &(struct hpet_config){
                  .gsi = {fake_line_set, b->gsi, 0},
                  .legacy = {{fake_line_set, b->legacy, 0}, {fake_line_set, b->legacy, 1}},
                  .msi = msi,
                  .legacy_switched = legacy_switched,
                  .opaque = b,
              });
    return b;
}

static void bench_destroy(struct bench *b)
{
    hpet_device.destroy(&b->hpet);
    CHECK(!b->clock.clock.timers);
    free(b);
}

static u64 get(struct bench *b, u64 at, unsigned size)
{
    return hpet_ops.read(&b->hpet, at, size);
}
static void put(struct bench *b, u64 at, u64 value, unsigned size)
{
    hpet_ops.write(&b->hpet, at, value, size);
}

#define CONFIG(n) (HPET_TIMER(n) + HPET_TIMER_CONFIG)
#define COMPARATOR(n) (HPET_TIMER(n) + HPET_TIMER_COMPARATOR)
#define FSB(n) (HPET_TIMER(n) + HPET_TIMER_FSB)

static void test_counter(void)
{
    TEST("capabilities and counter");
    struct bench *b = bench_create();
    CHECK_EQ(get(b, HPET_CAPABILITIES, 8), 0x009896808086a201ull);
    CHECK_EQ(get(b, HPET_CAPABILITIES + 4, 4), 10000000);
    clock_advance(&b->clock, 1000);
    CHECK_EQ(get(b, HPET_COUNTER, 8), 0);
    put(b, HPET_COUNTER, 0xfffffff0, 8);
    put(b, HPET_CONFIG, HPET_ENABLE, 4);
    clock_advance(&b->clock, 1000);
    CHECK_EQ(get(b, HPET_COUNTER, 8), 0xfffffff0ull + 100);
    CHECK_EQ(get(b, HPET_COUNTER + 4, 4), 1);
    put(b, HPET_CONFIG, 0, 4);
    clock_advance(&b->clock, 1000);
    CHECK_EQ((u32)get(b, HPET_COUNTER, 4), 84);
    bench_destroy(b);
}

static void test_legacy(void)
{
    TEST("one shot with legacy replacement");
    struct bench *b = bench_create();
    put(b, HPET_CONFIG, HPET_ENABLE | HPET_LEGACY, 4);
    CHECK(b->switched);
    put(b, CONFIG(0), HPET_TN_MODE32 | HPET_TN_ENABLE, 4);
    put(b, COMPARATOR(0), 1000, 4);
    clock_advance(&b->clock, 9990);
    CHECK_EQ(b->legacy[0].rises, 0);
    clock_advance(&b->clock, 10);
    CHECK_EQ(b->legacy[0].rises, 1);
    clock_advance(&b->clock, 100000);
    CHECK_EQ(b->legacy[0].rises, 1);

    TEST("periodic as Linux programs it");
    put(b, CONFIG(1), HPET_TN_MODE32 | HPET_TN_VALUE_SET | HPET_TN_PERIODIC | HPET_TN_ENABLE, 4);
    put(b, COMPARATOR(1), get(b, HPET_COUNTER, 4) + 500, 4);
    put(b, COMPARATOR(1), 500, 4);
    clock_advance(&b->clock, 50000);
    CHECK_EQ(b->legacy[1].rises, 10);
    put(b, CONFIG(1), 0, 4);
    clock_advance(&b->clock, 50000);
    CHECK_EQ(b->legacy[1].rises, 10);
    put(b, HPET_CONFIG, HPET_ENABLE, 4);
    CHECK(!b->switched);
    bench_destroy(b);
}

#define PERIOD 100000 /* ticks */

static void ticks(struct bench *b, u64 n)
{
    clock_advance(&b->clock, n * HPET_TICK_NS);
}

/* The host does not run timers for so many ticks. */
static void late(struct bench *b, u64 n)
{
    b->clock.now += n * HPET_TICK_NS;
    clock_run(&b->clock.clock);
}

/* Timer 0 interrupts every millisecond by legacy replacement; the first interrupt was just now. */
static struct bench *periodic_create(void)
{
    struct bench *b = bench_create();
    put(b, HPET_CONFIG, HPET_ENABLE | HPET_LEGACY, 4);
    put(b, CONFIG(0), HPET_TN_MODE32 | HPET_TN_VALUE_SET | HPET_TN_PERIODIC | HPET_TN_ENABLE, 4);
    put(b, COMPARATOR(0), PERIOD, 4);
    put(b, COMPARATOR(0), PERIOD, 4);
    ticks(b, PERIOD);
    CHECK_EQ(b->legacy[0].rises, 1);
    b->legacy[0].rises = 0;
    return b;
}

static void test_missed(void)
{
    TEST("a periodic timer makes up for matches that a busy host missed, a quarter of a period apart");
    struct bench *b = periodic_create();
    late(b, PERIOD * 11 / 2); /* five periods */
    CHECK_EQ(b->legacy[0].rises, 1);
    ticks(b, PERIOD / 4 - 1);
    CHECK_EQ(b->legacy[0].rises, 1);
    ticks(b, 2);
    CHECK_EQ(b->legacy[0].rises, 2);
    ticks(b, PERIOD * 5 - PERIOD / 4 - 1);
    CHECK_EQ(b->legacy[0].rises, 10);
    bench_destroy(b);

    TEST("a timer makes up for no more than 50 matches");
    b = periodic_create();
    late(b, PERIOD * 1000 + PERIOD / 2);
    ticks(b, PERIOD * 100);
    CHECK_EQ(b->legacy[0].rises, 1 + 50 + 100);
    bench_destroy(b);

    TEST("programming the timer anew forgets missed matches");
    b = periodic_create();
    late(b, PERIOD * 11 / 2);
    put(b, COMPARATOR(0), PERIOD, 4);
    b->legacy[0].rises = 0;
    ticks(b, PERIOD);
    CHECK_EQ(b->legacy[0].rises, 1);
    bench_destroy(b);

    TEST("saved and loaded");
    b = periodic_create();
    late(b, PERIOD * 11 / 2);
    CHECK_EQ(state_pass(&hpet_device, &b->hpet, &b->hpet), 0);
    b->legacy[0].rises = 0;
    ticks(b, PERIOD * 5);
    CHECK_EQ(b->legacy[0].rises, 9);
    bench_destroy(b);

    TEST("a timer so fast that only some of its interrupts can come makes up for none");
    b = bench_create();
    put(b, HPET_CONFIG, HPET_ENABLE | HPET_LEGACY, 4);
    put(b, CONFIG(0), HPET_TN_MODE32 | HPET_TN_VALUE_SET | HPET_TN_PERIODIC | HPET_TN_ENABLE, 4);
    put(b, COMPARATOR(0), 10, 4);
    put(b, COMPARATOR(0), 10, 4);
    late(b, 100000);
    CHECK_EQ(b->hpet.timer[0].missed, 0);
    bench_destroy(b);
}

/* Timer 2, which interrupts by input 21 while it is asserted, 10 ticks from now. */
static struct bench *level_create(void)
{
    struct bench *b = bench_create();
    put(b, HPET_CONFIG, HPET_ENABLE, 4);
    put(b, CONFIG(2), HPET_TN_MODE32 | HPET_TN_ENABLE | HPET_TN_LEVEL | HPET_TN_ROUTE(21), 4);
    put(b, COMPARATOR(2), get(b, HPET_COUNTER, 8) + 10, 8);
    return b;
}

static void test_level(void)
{
    TEST("level-triggered I/O APIC route");
    struct bench *b = level_create();
    CHECK_EQ(get(b, CONFIG(2) + 4, 4), 0x00f00000);
    clock_advance(&b->clock, 100);
    CHECK(b->gsi[21].level);
    CHECK_EQ(get(b, HPET_STATUS, 4), BIT(2));
    put(b, HPET_STATUS, BIT(2), 4);
    CHECK(!b->gsi[21].level);
    bench_destroy(b);

    TEST("the level is there again after loading");
    b = level_create();
    clock_advance(&b->clock, 100);
    struct bench *other = bench_create();
    CHECK_EQ(state_pass(&hpet_device, &b->hpet, &other->hpet), 0);
    CHECK(other->gsi[21].level);
    put(other, HPET_STATUS, BIT(2), 4);
    CHECK(!other->gsi[21].level);
    bench_destroy(other);
    bench_destroy(b);
}

static void test_fsb(void)
{
    TEST("FSB delivery");
    struct bench *b = bench_create();
    put(b, HPET_CONFIG, HPET_ENABLE, 4);
    put(b, FSB(2), 0xfee01000ull << 32 | 0x41, 8);
    put(b, CONFIG(2), HPET_TN_FSB | HPET_TN_MODE32 | HPET_TN_ENABLE, 4);
    put(b, COMPARATOR(2), (get(b, HPET_COUNTER, 8) + 10) & 0xffffffff, 8);
    clock_advance(&b->clock, 100);
    CHECK(b->msis == 1 && b->msi_address == 0xfee01000 && b->msi_data == 0x41);

    TEST("a comparator in the past waits for the wrap");
    put(b, COMPARATOR(2), (u32)get(b, HPET_COUNTER, 8) - 5, 4);
    clock_advance(&b->clock, 1000000);
    CHECK_EQ(b->msis, 1);
    clock_advance(&b->clock, 43000000000ull);
    CHECK_EQ(b->msis, 2);
    bench_destroy(b);
}

/* A clock that goes on while the device computes. */
static u64 creep(void *opaque)
{
    return *(u64 *)opaque += 15;
}

static void test_busy(void)
{
    TEST("no match is lost while the device looks at the clock");
    struct bench *b = bench_create();
    u64 now = 1000;
    b->clock.clock.now_ns = creep;
    b->clock.clock.opaque = &now;
    put(b, FSB(2), 0xfee01000ull << 32 | 0x41, 8);
    put(b, CONFIG(2), HPET_TN_FSB | HPET_TN_PERIODIC | HPET_TN_VALUE_SET | HPET_TN_ENABLE, 8);
    put(b, COMPARATOR(2), 1, 8);
    put(b, HPET_CONFIG, HPET_ENABLE, 8);
    for (unsigned i = 0; i < 10000; i++)
        clock_run(&b->clock.clock);
    CHECK(b->clock.clock.timers && b->msis > 10);
    bench_destroy(b);
}

static void test_state(void)
{
    TEST("saved and loaded; reset halts it");
    struct bench *b = bench_create();
    put(b, HPET_CONFIG, HPET_ENABLE, 4);
    clock_advance(&b->clock, 1000000);
    CHECK_EQ(state_pass(&hpet_device, &b->hpet, &b->hpet), 0);
    CHECK_EQ(get(b, HPET_COUNTER, 8), 100000);
    hpet_device.reset(&b->hpet);
    CHECK_EQ(get(b, HPET_COUNTER, 8), 0);
    bench_destroy(b);
}

int main(void)
{
    test_counter();
    test_legacy();
    test_missed();
    test_level();
    test_fsb();
    test_busy();
    test_state();
    return TEST_END();
}
