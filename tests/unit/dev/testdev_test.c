#include "unit/test.h"
#include "dev/debug_exit.h"
#include "dev/testdev.h"
#include "unit/fake_clock.h"

static struct testdev t;
static struct fake_line line[TESTDEV_LINES];
static u64 flushed;
static u32 reported;

static void flush_page(void *opaque, u64 gpa)
{
    flushed = gpa;
}
static void report(void *opaque, u32 value)
{
    reported = value;
}

int main(void)
{
    struct testdev_config config = {.irq = {fake_line_set, line, 0}, .flush_page = flush_page};
    testdev_init(&t, &config);
    static struct bus port, mmio;
    struct debug_exit d;
    debug_exit_init(&d, report, NULL);
    CHECK_EQ(bus_add(&port, 0xe0, 4, &testdev_port_ops, &t), 0);
    CHECK_EQ(bus_add(&port, 0xe4, 4, &testdev_flush_ops, &t), 0);
    CHECK_EQ(bus_add(&port, 0xe8, 4, &testdev_byte_ops, &t), 0);
    CHECK_EQ(bus_add(&port, 0x2000, TESTDEV_LINES, &testdev_irq_ops, &t), 0);
    CHECK_EQ(bus_add(&mmio, 0xff000000, TESTDEV_MMIO_SIZE, &testdev_mmio_ops, &t), 0);
    CHECK_EQ(bus_add(&port, 0xf4, 4, &debug_exit_ops, &d), 0);

    TEST("scratch ports");
    bus_write(&port, 0xe0, 0x12345678, 4);
    CHECK_EQ(bus_read(&port, 0xe0, 4), 0x12345678);
    bus_write(&port, 0xe1, 0xab, 1);
    CHECK_EQ(bus_read(&port, 0xe8, 4), 0x1234ab78);
    bus_write(&port, 0xea, 0xcdef, 2);
    CHECK_EQ(bus_read(&port, 0xe0, 4), 0xcdefab78);

    TEST("flush, interrupt lines, memory, debug exit");
    bus_write(&port, 0xe4, 0x123456, 4);
    CHECK_EQ(flushed, 0x123000);
    bus_write(&port, 0x200e, 1, 1);
    CHECK(line[14].level);
    bus_write(&port, 0x200e, 0, 1);
    CHECK(!line[14].level);
    bus_write(&mmio, 0xff00fff8, 0x1122334455667788, 8);
    CHECK_EQ(bus_read(&mmio, 0xff00fffc, 4), 0x11223344);
    bus_write(&port, 0xf4, 5, 4);
    CHECK_EQ(reported, 5);
    bus_write(&port, 0xf4, 3, 1);
    CHECK_EQ(reported, 3);
    return TEST_END();
}
