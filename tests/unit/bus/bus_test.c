#include "bus/bus.h"
#include "unit/test.h"

#include <errno.h>
#include <string.h>

struct ram {
    u8 byte[64];
    unsigned reads, writes, last_size;
};

static u64 ram_read(void *dev, u64 offset, unsigned size)
{
    struct ram *m = dev;
    u64 v = 0;
    memcpy(&v, m->byte + offset, size);
    m->reads++;
    m->last_size = size;
    return v;
}

static void ram_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct ram *m = dev;
    memcpy(m->byte + offset, &value, size);
    m->writes++;
    m->last_size = size;
}

static const struct bus_ops any_ops = {ram_read, ram_write, 0, 0};
static const struct bus_ops byte_ops = {ram_read, ram_write, 1, 1};
static const struct bus_ops dword_ops = {ram_read, ram_write, 4, 4};

static u64 fake_now;
static u64 rearmed;
static u64 now_ns(void *opaque)
{
    return fake_now;
}
static void rearm(void *opaque, u64 deadline_ns)
{
    rearmed = deadline_ns;
}

static char order[8];
static void expired(void *dev)
{
    strncat(order, dev, 1);
}

int main(void)
{
    static struct bus bus;
    struct ram a = {{0}}, b = {{0}}, c = {{0}};

    TEST("regions are kept sorted and may not overlap");
    CHECK_EQ(bus_add(&bus, 0x2000, 16, &byte_ops, &b), 0);
    CHECK_EQ(bus_add(&bus, 0x1000, 16, &any_ops, &a), 0);
    CHECK_EQ(bus_add(&bus, 0x1010, 16, &dword_ops, &c), 0);
    CHECK_EQ(bus_add(&bus, 0x100f, 1, &any_ops, &a), -EEXIST);
    CHECK_EQ(bus_add(&bus, 0xfff, 2, &any_ops, &a), -EEXIST);
    CHECK_EQ(bus_add(&bus, 0, 0x10000, &any_ops, &a), -EEXIST);
    CHECK_EQ(bus_add(&bus, ~0ull, 2, &any_ops, &a), -EINVAL);
    CHECK_EQ(bus_add(&bus, 0x100, 0, &any_ops, &a), -EINVAL);
    CHECK(bus.count == 3 && bus.region[0].dev == &a && bus.region[1].dev == &c && bus.region[2].dev == &b);

    TEST("wide accesses are split, narrow ones widened");
    bus_write(&bus, 0x2000, 0x1122334455667788, 8);
    CHECK_EQ(b.writes, 8);
    CHECK_EQ(bus_read(&bus, 0x2002, 4), 0x33445566);
    CHECK_EQ(b.reads, 4);
    bus_write(&bus, 0x1010, 0xaabbccdd, 4);
    bus_write(&bus, 0x1012, 0x11, 1);
    CHECK_EQ(c.last_size, 4);
    CHECK_EQ(bus_read(&bus, 0x1010, 4), 0xaa11ccdd);
    CHECK_EQ(bus_read(&bus, 0x1011, 2), 0x11cc);
    bus_write(&bus, 0x1000, 0x0102030405060708, 8);
    CHECK_EQ(a.writes, 1);

    TEST("accesses across borders and holes");
    bus_write(&bus, 0x100e, 0x44332211, 4);
    CHECK_EQ(a.byte[15], 0x22);
    CHECK_EQ(c.byte[0], 0x33);
    CHECK_EQ(c.byte[1], 0x44);
    CHECK_EQ(bus_read(&bus, 0x1ffe, 4), 0x7788ffff);
    CHECK_EQ(bus_read(&bus, 0x200f, 2), 0xff00);
    CHECK_EQ(bus_read(&bus, 0x9000, 8), ~0ull);
    CHECK_EQ(bus.unclaimed_reads, 3);

    TEST("removal");
    bus_remove(&bus, 0x1010);
    bus_remove(&bus, 0x1011);
    CHECK_EQ(bus.count, 2);
    CHECK_EQ(bus_read(&bus, 0x1010, 2), 0xffff);

    TEST("timers run in order and once");
    struct clock clock = {.now_ns = now_ns, .rearm = rearm};
    struct dev_timer t[3];
    timer_init(&t[0], &clock, expired, (char[]){"0"});
    timer_init(&t[1], &clock, expired, (char[]){"1"});
    timer_init(&t[2], &clock, expired, (char[]){"2"});
    timer_arm(&t[0], 300);
    CHECK_EQ(rearmed, 300);
    timer_arm(&t[1], 100);
    CHECK_EQ(rearmed, 100);
    timer_arm(&t[2], 200);
    CHECK_EQ(rearmed, 100);
    timer_arm(&t[1], 250);
    CHECK_EQ(rearmed, 200);
    fake_now = 260;
    CHECK_EQ(clock_run(&clock), 300);
    CHECK(strcmp(order, "21") == 0);
    timer_arm(&t[0], 0);
    CHECK_EQ(rearmed, 0);
    CHECK_EQ(clock_run(&clock), 0);
    return TEST_END();
}
