/*
 * The pair of 8259As: priorities, the cascade, ends of interrupts, and the bytes of its saved state.
 */
#include "dev/i8259.h"
#include "unit/fake_board.h"
#include "unit/test.h"

#include <string.h>

enum { MASTER, SLAVE };
#define MASTER_BASE 0x20
#define SLAVE_BASE 0x28

struct bench {
    struct fake_line intr;
    struct i8259 pic;
};

static void out(struct bench *b, unsigned chip, unsigned offset, unsigned value)
{
    i8259_ops.write(&b->pic.chip[chip], offset, (u8)value, 1);
}
static u8 in(struct bench *b, unsigned chip, unsigned offset)
{
    return (u8)i8259_ops.read(&b->pic.chip[chip], offset, 1);
}

/* As a PC's firmware initializes them, with nothing masked. */
static struct bench *bench_create(u8 icw4)
{
    struct bench *b = fresh(sizeof(*b));
    i8259_init(&b->pic, &(struct irq){fake_line_set, &b->intr, 0});
    for (unsigned chip = MASTER; chip <= SLAVE; chip++) {
        out(b, chip, I8259_COMMAND, I8259_ICW1 | I8259_ICW1_IC4);
        out(b, chip, I8259_DATA, chip ? SLAVE_BASE : MASTER_BASE);
        out(b, chip, I8259_DATA, chip ? 2 : BIT(2));
        out(b, chip, I8259_DATA, I8259_ICW4_8086 | icw4);
        out(b, chip, I8259_DATA, 0);
    }
    return b;
}

static void pulse(struct bench *b, unsigned line)
{
    i8259_set(&b->pic, line, true);
    i8259_set(&b->pic, line, false);
}

static u8 in_service(struct bench *b, unsigned chip)
{
    out(b, chip, I8259_COMMAND, I8259_OCW3 | I8259_READ_ISR);
    return in(b, chip, I8259_COMMAND);
}

static void test_priorities(void)
{
    TEST("priorities and non-specific EOI");
    struct bench *b = bench_create(0);
    pulse(b, 5);
    pulse(b, 3);
    CHECK(b->intr.level);
    CHECK_EQ(i8259_ack(&b->pic), MASTER_BASE + 3);
    CHECK(!b->intr.level);
    pulse(b, 1);
    CHECK(b->intr.level);
    CHECK_EQ(i8259_ack(&b->pic), MASTER_BASE + 1);
    CHECK_EQ(in_service(b, MASTER), BIT(3) | BIT(1));
    out(b, MASTER, I8259_COMMAND, I8259_EOI);
    CHECK_EQ(in_service(b, MASTER), BIT(3));
    CHECK(!b->intr.level);
    out(b, MASTER, I8259_COMMAND, I8259_EOI);
    CHECK(b->intr.level);
    CHECK_EQ(i8259_ack(&b->pic), MASTER_BASE + 5);
    free(b);
}

static void test_cascade(void)
{
    TEST("slave through the cascade");
    struct bench *b = bench_create(0);
    pulse(b, 12);
    pulse(b, 8);
    CHECK(b->intr.level);
    CHECK_EQ(i8259_ack(&b->pic), SLAVE_BASE);
    CHECK(!b->intr.level);
    out(b, SLAVE, I8259_COMMAND, I8259_EOI);
    CHECK(!b->intr.level); /* master line 2 still in service */
    out(b, MASTER, I8259_COMMAND, I8259_EOI);
    CHECK(b->intr.level);
    CHECK_EQ(i8259_ack(&b->pic), SLAVE_BASE + 4);
    out(b, SLAVE, I8259_COMMAND, I8259_SPECIFIC_EOI | 4);
    out(b, MASTER, I8259_COMMAND, I8259_SPECIFIC_EOI | 2);
    CHECK(!b->intr.level);
    CHECK_EQ(in(b, MASTER, I8259_COMMAND), 0);
    free(b);
}

static void test_masks(void)
{
    TEST("masks and the spurious vector");
    struct bench *b = bench_create(0);
    out(b, MASTER, I8259_DATA, 0xff);
    pulse(b, 4);
    CHECK(!b->intr.level);
    out(b, MASTER, I8259_DATA, 0xff & ~BIT(4));
    CHECK(b->intr.level);
    out(b, MASTER, I8259_DATA, 0xff);
    CHECK_EQ(i8259_ack(&b->pic), MASTER_BASE + 7);
    CHECK_EQ(in(b, MASTER, I8259_DATA), 0xff);
    free(b);
}

static void test_level(void)
{
    TEST("level-triggered by ELCR");
    struct bench *b = bench_create(0);
    i8259_elcr_ops.write(&b->pic.chip[SLAVE], 0, 0xff, 1);
    CHECK_EQ(i8259_elcr_ops.read(&b->pic.chip[SLAVE], 0, 1), 0xde);
    i8259_set(&b->pic, 11, true);
    CHECK_EQ(i8259_ack(&b->pic), SLAVE_BASE + 3);
    out(b, SLAVE, I8259_COMMAND, I8259_EOI);
    out(b, MASTER, I8259_COMMAND, I8259_EOI);
    CHECK(b->intr.level); /* still asserted */
    i8259_set(&b->pic, 11, false);
    CHECK(!b->intr.level);
    free(b);
}

static void test_modes(void)
{
    TEST("automatic EOI");
    struct bench *b = bench_create(I8259_ICW4_AUTO_EOI);
    pulse(b, 6);
    CHECK_EQ(i8259_ack(&b->pic), MASTER_BASE + 6);
    CHECK_EQ(in_service(b, MASTER), 0);
    free(b);

    TEST("rotation");
    b = bench_create(0);
    out(b, MASTER, I8259_COMMAND, I8259_SET_PRIORITY | 3); /* line 3 lowest, so 4 highest */
    pulse(b, 3);
    pulse(b, 4);
    CHECK_EQ(i8259_ack(&b->pic), MASTER_BASE + 4);
    out(b, MASTER, I8259_COMMAND, I8259_ROTATE_EOI);
    pulse(b, 4);
    CHECK_EQ(i8259_ack(&b->pic), MASTER_BASE + 3);
    free(b);

    TEST("special mask mode and poll");
    b = bench_create(0);
    pulse(b, 0);
    CHECK_EQ(i8259_ack(&b->pic), MASTER_BASE);
    pulse(b, 6);
    CHECK(!b->intr.level);
    out(b, MASTER, I8259_DATA, BIT(0));
    out(b, MASTER, I8259_COMMAND, I8259_OCW3 | I8259_SPECIAL_MASK_SET);
    CHECK(b->intr.level);
    out(b, MASTER, I8259_COMMAND, I8259_OCW3 | I8259_POLL);
    CHECK_EQ(in(b, MASTER, I8259_COMMAND), I8259_POLL_REQUEST | 6);
    CHECK(!b->intr.level);
    free(b);
}

/* The saved state of the pair in the middle of test_state. Whoever must change this changes what older streams mean. */
static const char golden[] = /* clang-format off */
    "NBS1"
    "S\14i8259.master" "\1\0\0\0" "\331\0\0\0"
    "\3irr" "\1\0\0\0" "\4"
    "\3isr" "\1\0\0\0" "\10"
    "\3imr" "\1\0\0\0" "\100"
    "\4line" "\1\0\0\0" "\4"
    "\4base" "\1\0\0\0" "\40"
    "\4elcr" "\1\0\0\0" "\40"
    "\4init" "\1\0\0\0" "\0"
    "\10icw4_due" "\1\0\0\0" "\1"
    "\6lowest" "\1\0\0\0" "\7"
    "\6single" "\1\0\0\0" "\0"
    "\10auto_eoi" "\1\0\0\0" "\0"
    "\17rotate_auto_eoi" "\1\0\0\0" "\0"
    "\14special_mask" "\1\0\0\0" "\0"
    "\16special_nested" "\1\0\0\0" "\0"
    "\4poll" "\1\0\0\0" "\0"
    "\10read_isr" "\1\0\0\0" "\1"
    "\11level_all" "\1\0\0\0" "\0"
    "S\13i8259.slave" "\1\0\0\0" "\331\0\0\0"
    "\3irr" "\1\0\0\0" "\2"
    "\3isr" "\1\0\0\0" "\0"
    "\3imr" "\1\0\0\0" "\0"
    "\4line" "\1\0\0\0" "\0"
    "\4base" "\1\0\0\0" "\50"
    "\4elcr" "\1\0\0\0" "\0"
    "\4init" "\1\0\0\0" "\0"
    "\10icw4_due" "\1\0\0\0" "\1"
    "\6lowest" "\1\0\0\0" "\7"
    "\6single" "\1\0\0\0" "\0"
    "\10auto_eoi" "\1\0\0\0" "\0"
    "\17rotate_auto_eoi" "\1\0\0\0" "\0"
    "\14special_mask" "\1\0\0\0" "\0"
    "\16special_nested" "\1\0\0\0" "\0"
    "\4poll" "\1\0\0\0" "\0"
    "\10read_isr" "\1\0\0\0" "\0"
    "\11level_all" "\1\0\0\0" "\0"; /* clang-format on */
#define GOLDEN_SIZE (sizeof(golden) - 1)

static void test_state(void)
{
    TEST("the saved state is this, byte by byte");
    struct bench *b = bench_create(0);
    i8259_elcr_ops.write(&b->pic.chip[MASTER], 0, BIT(5), 1);
    out(b, MASTER, I8259_DATA, BIT(6));
    pulse(b, 3);
    CHECK_EQ(i8259_ack(&b->pic), MASTER_BASE + 3);
    CHECK_EQ(in_service(b, MASTER), BIT(3));
    pulse(b, 9);
    struct state *s = state_save_begin();
    i8259_device.state(&b->pic, s, "i8259");
    size_t size;
    const void *bytes = state_bytes(s, &size);
    CHECK_EQ(size, GOLDEN_SIZE);
    for (size_t i = 0; i < size && i < GOLDEN_SIZE; i++)
        CHECK_EQ(((const u8 *)bytes)[i], (u8)golden[i]);
    state_free(s);
    free(b);

    TEST("the saved state can be loaded");
    b = bench_create(0);
    s = state_load_begin(golden, GOLDEN_SIZE);
    i8259_device.reset(&b->pic);
    i8259_device.state(&b->pic, s, "i8259");
    CHECK_EQ(state_error(s), 0);
    state_free(s);
    CHECK_EQ(in_service(b, MASTER), BIT(3));
    out(b, MASTER, I8259_COMMAND, I8259_EOI);
    CHECK(b->intr.level);
    CHECK_EQ(i8259_ack(&b->pic), SLAVE_BASE + 1);
    free(b);

    TEST("a request survives saving and loading, and not a reset");
    b = bench_create(0);
    pulse(b, 9);
    CHECK_EQ(state_pass(&i8259_device, &b->pic, &b->pic), 0);
    CHECK(b->intr.level);
    CHECK_EQ(i8259_ack(&b->pic), SLAVE_BASE + 1);
    pulse(b, 1);
    i8259_device.reset(&b->pic);
    CHECK(!b->intr.level);
    free(b);
}

static void ended(void *opaque, unsigned line)
{
    *(u32 *)opaque |= BIT(line);
}

static void test_ends(void)
{
    TEST("ends of interrupts are reported: by EOI, by automatic EOI, by ICW1");
    u32 lines = 0;
    struct bench *b = bench_create(0);
    b->pic.ended = ended;
    b->pic.ended_opaque = &lines;
    pulse(b, 12);
    CHECK_EQ(i8259_ack(&b->pic), SLAVE_BASE + 4);
    out(b, MASTER, I8259_COMMAND, I8259_EOI);
    CHECK_EQ(lines, BIT(2));
    out(b, SLAVE, I8259_COMMAND, I8259_EOI);
    CHECK_EQ(lines, BIT(2) | BIT(12));
    out(b, SLAVE, I8259_COMMAND, I8259_SPECIFIC_EOI | 5); /* is not in service */
    CHECK_EQ(lines, BIT(2) | BIT(12));
    pulse(b, 3);
    i8259_ack(&b->pic);
    lines = 0;
    out(b, MASTER, I8259_COMMAND, I8259_ICW1 | I8259_ICW1_IC4);
    CHECK_EQ(lines, BIT(3));
    free(b);
    b = bench_create(I8259_ICW4_AUTO_EOI);
    b->pic.ended = ended;
    b->pic.ended_opaque = &lines;
    lines = 0;
    pulse(b, 7);
    i8259_ack(&b->pic);
    CHECK_EQ(lines, BIT(7));
    free(b);

    TEST("what comes of a rising line");
    b = bench_create(0);
    CHECK_EQ(i8259_drive(&b->pic, 4, true), IRQ_TAKEN);
    CHECK_EQ(i8259_drive(&b->pic, 4, false), IRQ_TAKEN);
    CHECK_EQ(i8259_drive(&b->pic, 4, true), IRQ_PENDING);
    i8259_ack(&b->pic);
    i8259_drive(&b->pic, 4, false);
    CHECK_EQ(i8259_drive(&b->pic, 4, true), IRQ_TAKEN); /* while the first is in service */
    out(b, MASTER, I8259_DATA, BIT(5));
    CHECK_EQ(i8259_drive(&b->pic, 5, true), IRQ_MASKED);
    free(b);
}

int main(void)
{
    test_ends();
    test_priorities();
    test_cascade();
    test_masks();
    test_level();
    test_modes();
    test_state();
    return TEST_END();
}
