/*
 * The PC test device and the debug-exit port.
 */
#include "unit/test.h"
#include "dev/debug_exit.h"
#include "dev/testdev.h"
#include "unit/fake_board.h"

enum { SCRATCH = 0xe0, FLUSH = 0xe4, BYTES = 0xe8, DEBUG_EXIT = 0xf4, LINES = 0x2000 };
#define MEMORY 0xff000000u

struct bench {
    struct bus port, mmio;
    struct fake_line line[TESTDEV_LINES];
    u64 flushed;
    u32 reported;
    struct testdev testdev;
    struct debug_exit debug_exit;
};

static void flush_page(void *opaque, u64 gpa)
{
    ((struct bench *)opaque)->flushed = gpa;
}
static void report(void *opaque, u32 value)
{
    ((struct bench *)opaque)->reported = value;
}

static struct bench *bench_create(void)
{
    struct bench *b = fresh(sizeof(*b));
    testdev_init(&b->testdev,
                 &(struct testdev_config){.irq = {fake_line_set, b->line, 0}, .flush_page = flush_page, .opaque = b});
    debug_exit_init(&b->debug_exit, report, b);
    CHECK_EQ(bus_add(&b->port, SCRATCH, 4, &testdev_port_ops, &b->testdev), 0);
    CHECK_EQ(bus_add(&b->port, FLUSH, 4, &testdev_flush_ops, &b->testdev), 0);
    CHECK_EQ(bus_add(&b->port, BYTES, 4, &testdev_byte_ops, &b->testdev), 0);
    CHECK_EQ(bus_add(&b->port, LINES, TESTDEV_LINES, &testdev_irq_ops, &b->testdev), 0);
    CHECK_EQ(bus_add(&b->mmio, MEMORY, TESTDEV_MMIO_SIZE, &testdev_mmio_ops, &b->testdev), 0);
    CHECK_EQ(bus_add(&b->port, DEBUG_EXIT, 4, &debug_exit_ops, &b->debug_exit), 0);
    return b;
}

static void test_scratch(void)
{
    TEST("scratch ports");
    struct bench *b = bench_create();
    bus_write(&b->port, SCRATCH, 0x12345678, 4);
    CHECK_EQ(bus_read(&b->port, SCRATCH, 4), 0x12345678);
    bus_write(&b->port, SCRATCH + 1, 0xab, 1);
    CHECK_EQ(bus_read(&b->port, BYTES, 4), 0x1234ab78);
    bus_write(&b->port, BYTES + 2, 0xcdef, 2);
    CHECK_EQ(bus_read(&b->port, SCRATCH, 4), 0xcdefab78);
    free(b);
}

static void test_others(void)
{
    TEST("flush, interrupt lines, memory, debug exit");
    struct bench *b = bench_create();
    bus_write(&b->port, FLUSH, 0x123456, 4);
    CHECK_EQ(b->flushed, 0x123000);
    bus_write(&b->port, LINES + 14, 1, 1);
    CHECK(b->line[14].level);
    bus_write(&b->port, LINES + 14, 0, 1);
    CHECK(!b->line[14].level);
    bus_write(&b->mmio, MEMORY + 0xfff8, 0x1122334455667788, 8);
    CHECK_EQ(bus_read(&b->mmio, MEMORY + 0xfffc, 4), 0x11223344);
    bus_write(&b->port, DEBUG_EXIT, 5, 4);
    CHECK_EQ(b->reported, 5);
    bus_write(&b->port, DEBUG_EXIT, 3, 1);
    CHECK_EQ(b->reported, 3);
    free(b);
}

static void test_state(void)
{
    TEST("saved and loaded with its lines; a reset drives them low");
    struct bench *b = bench_create(), *other = bench_create();
    bus_write(&b->port, LINES + 14, 1, 1);
    bus_write(&b->port, SCRATCH, 7, 4);
    CHECK_EQ(state_pass(&testdev_device, &b->testdev, &other->testdev), 0);
    CHECK_EQ(bus_read(&other->port, SCRATCH, 4), 7);
    CHECK(other->line[14].level && other->line[14].rises == 1);
    testdev_device.reset(&other->testdev);
    CHECK(!other->line[14].level);
    free(b);
    free(other);
}

int main(void)
{
    test_scratch();
    test_others();
    test_state();
    return TEST_END();
}
