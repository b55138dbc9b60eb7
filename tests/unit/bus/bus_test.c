/*
 * The bus: where windows may lie, how accesses are cut and widened; and the timers of devices.
 */
#include "bus/bus.h"
#include "unit/fake_board.h"
#include "unit/test.h"

#include <errno.h>
#include <string.h>

/* A device whose registers are memory. */
struct registers {
    u8 byte[64];
    unsigned reads, writes, last_size;
};

static u64 registers_read(void *dev, u64 offset, unsigned size)
{
    struct registers *r = dev;
    u64 v = 0;
    memcpy(&v, r->byte + offset, size);
    r->reads++;
    r->last_size = size;
    return v;
}

static void registers_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct registers *r = dev;
    memcpy(r->byte + offset, &value, size);
    r->writes++;
    r->last_size = size;
}

static const struct bus_ops any_ops = {registers_read, registers_write, 0, 0};
static const struct bus_ops byte_ops = {registers_read, registers_write, 1, 1};
static const struct bus_ops dword_ops = {registers_read, registers_write, 4, 4};

/* Three windows of 16 bytes, two of which touch. */
struct bench {
    struct bus bus;
    struct registers any, dwords, bytes;
};
enum { ANY = 0x1000, DWORDS = 0x1010, BYTES = 0x2000 };

static struct bench *bench_create(void)
{
    struct bench *b = fresh(sizeof(*b));
    CHECK_EQ(bus_add(&b->bus, BYTES, 16, &byte_ops, &b->bytes), 0);
    CHECK_EQ(bus_add(&b->bus, ANY, 16, &any_ops, &b->any), 0);
    CHECK_EQ(bus_add(&b->bus, DWORDS, 16, &dword_ops, &b->dwords), 0);
    return b;
}

static void test_windows(void)
{
    TEST("windows are kept sorted and may not overlap");
    struct bench *b = bench_create();
    CHECK_EQ(bus_add(&b->bus, ANY + 15, 1, &any_ops, &b->any), -EEXIST);
    CHECK_EQ(bus_add(&b->bus, ANY - 1, 2, &any_ops, &b->any), -EEXIST);
    CHECK_EQ(bus_add(&b->bus, 0, 0x10000, &any_ops, &b->any), -EEXIST);
    CHECK_EQ(bus_add(&b->bus, ~0ull, 2, &any_ops, &b->any), -EINVAL);
    CHECK_EQ(bus_add(&b->bus, 0x100, 0, &any_ops, &b->any), -EINVAL);
    CHECK(b->bus.count == 3 && b->bus.window[0].dev == &b->any && b->bus.window[1].dev == &b->dwords &&
          b->bus.window[2].dev == &b->bytes);

    TEST("the number of windows is limited");
    for (unsigned i = b->bus.count; i < BUS_WINDOWS; i++)
        CHECK_EQ(bus_add(&b->bus, 0x3000 + i, 1, &any_ops, &b->any), 0);
    CHECK_EQ(bus_add(&b->bus, 0x4000, 1, &any_ops, &b->any), -ENOSPC);
    free(b);

    TEST("a window is removed");
    b = bench_create();
    bus_remove(&b->bus, DWORDS);
    bus_remove(&b->bus, DWORDS + 1);
    CHECK_EQ(b->bus.count, 2);
    CHECK_EQ(bus_read(&b->bus, DWORDS, 2), 0xffff);
    free(b);
}

static void test_accesses(void)
{
    TEST("wide accesses are split, narrow ones widened");
    struct bench *b = bench_create();
    bus_write(&b->bus, BYTES, 0x1122334455667788, 8);
    CHECK_EQ(b->bytes.writes, 8);
    CHECK_EQ(bus_read(&b->bus, BYTES + 2, 4), 0x33445566);
    CHECK_EQ(b->bytes.reads, 4);
    bus_write(&b->bus, DWORDS, 0xaabbccdd, 4);
    bus_write(&b->bus, DWORDS + 2, 0x11, 1);
    CHECK_EQ(b->dwords.last_size, 4);
    CHECK_EQ(bus_read(&b->bus, DWORDS, 4), 0xaa11ccdd);
    CHECK_EQ(bus_read(&b->bus, DWORDS + 1, 2), 0x11cc);
    bus_write(&b->bus, ANY, 0x0102030405060708, 8);
    CHECK_EQ(b->any.writes, 1);
    free(b);

    TEST("accesses across borders and holes");
    b = bench_create();
    bus_write(&b->bus, BYTES, 0x7788, 2);
    bus_write(&b->bus, DWORDS - 2, 0x44332211, 4);
    CHECK_EQ(b->any.byte[15], 0x22);
    CHECK_EQ(b->dwords.byte[0], 0x33);
    CHECK_EQ(b->dwords.byte[1], 0x44);
    CHECK_EQ(bus_read(&b->bus, BYTES - 2, 4), 0x7788ffff);
    CHECK_EQ(bus_read(&b->bus, BYTES + 15, 2), 0xff00);
    CHECK_EQ(bus_read(&b->bus, 0x9000, 8), ~0ull);
    CHECK_EQ(b->bus.unclaimed_reads, 3);
    free(b);
}

/* A clock that remembers what it was set to. */
struct alarm {
    struct clock clock;
    struct dev_timer timer[3];
    u64 now, rearmed;
    unsigned again;
    char order[8]; /* digits of the timers that expired */
};

static u64 now_ns(void *opaque)
{
    return ((struct alarm *)opaque)->now;
}
static void rearm(void *opaque, u64 deadline_ns)
{
    ((struct alarm *)opaque)->rearmed = deadline_ns;
}
static void expired(struct alarm *a, char digit)
{
    a->order[strlen(a->order)] = digit;
}
static void expired_0(void *opaque)
{
    expired(opaque, '0');
}
static void expired_1(void *opaque)
{
    expired(opaque, '1');
}
static void expired_2(void *opaque)
{
    expired(opaque, '2');
}

/* Sets itself again at once. */
static void expired_again(void *opaque)
{
    struct alarm *a = opaque;
    a->again++;
    timer_arm(&a->timer[0], a->now + 1);
}

static void test_fast(void)
{
    TEST("a timer that its device arms anew at once is slowed down, but not at first");
    struct alarm *a = fresh(sizeof(*a));
    a->clock = (struct clock){.now_ns = now_ns, .opaque = a};
    timer_init(&a->timer[0], &a->clock, expired_again, a);
    timer_arm(&a->timer[0], a->now + 1);
    for (u64 end = a->now + 2 * TIMER_DEBT_NS; a->now < end; a->now += 1000)
        clock_run(&a->clock);
    CHECK(a->again >= 16 + 31 && a->again <= 16 + 33);
    timer_arm(&a->timer[0], 0);
    a->now += 2 * TIMER_DEBT_NS;
    a->again = 0;
    timer_arm(&a->timer[0], a->now + 1);
    for (unsigned i = 0; i < 15; i++) {
        a->now += 10;
        clock_run(&a->clock);
    }
    CHECK_EQ(a->again, 15);
    free(a);
}

static void test_timers(void)
{
    TEST("timers run in order and once");
    struct alarm *a = fresh(sizeof(*a));
    a->clock = (struct clock){.now_ns = now_ns, .rearm = rearm, .opaque = a};
    timer_init(&a->timer[0], &a->clock, expired_0, a);
    timer_init(&a->timer[1], &a->clock, expired_1, a);
    timer_init(&a->timer[2], &a->clock, expired_2, a);
    timer_arm(&a->timer[0], 300);
    CHECK_EQ(a->rearmed, 300);
    timer_arm(&a->timer[1], 100);
    CHECK_EQ(a->rearmed, 100);
    timer_arm(&a->timer[2], 200);
    CHECK_EQ(a->rearmed, 100);
    timer_arm(&a->timer[1], 250);
    CHECK_EQ(a->rearmed, 200);
    a->now = 260;
    CHECK_EQ(clock_run(&a->clock), 300);
    CHECK(strcmp(a->order, "21") == 0);
    timer_arm(&a->timer[0], 0);
    CHECK_EQ(a->rearmed, 0);
    CHECK_EQ(clock_run(&a->clock), 0);
    free(a);
}

int main(void)
{
    test_windows();
    test_accesses();
    test_timers();
    test_fast();
    return TEST_END();
}
