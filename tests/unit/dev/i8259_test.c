#include "dev/i8259.h"
#include "unit/test.h"

static bool intr;
static void intr_set(void *opaque, unsigned line, bool level)
{
    intr = level;
}

static struct i8259 pic;
static void out(unsigned chip, unsigned port, u8 v)
{
    i8259_ops.write(&pic.chip[chip], port, v, 1);
}
static u8 in(unsigned chip, unsigned port)
{
    return (u8)i8259_ops.read(&pic.chip[chip], port, 1);
}

static void setup(u8 icw4)
{
    static const struct irq irq = {intr_set, NULL, 0};
    i8259_init(&pic, &irq);
    for (unsigned i = 0; i < 2; i++) {
        out(i, 0, 0x11);
        out(i, 1, i ? 0x28 : 0x20);
        out(i, 1, i ? 2 : 4);
        out(i, 1, icw4);
        out(i, 1, 0);
    }
}

static void pulse(unsigned line)
{
    i8259_set(&pic, line, true);
    i8259_set(&pic, line, false);
}

int main(void)
{
    TEST("priorities and non-specific EOI");
    setup(1);
    pulse(5);
    pulse(3);
    CHECK(intr);
    CHECK_EQ(i8259_ack(&pic), 0x23);
    CHECK(!intr);
    pulse(1);
    CHECK(intr);
    CHECK_EQ(i8259_ack(&pic), 0x21);
    out(0, 0, 0x0b);
    CHECK_EQ(in(0, 0), 0x0a);
    out(0, 0, 0x20);
    CHECK_EQ(in(0, 0), 0x08);
    CHECK(!intr);
    out(0, 0, 0x20);
    CHECK(intr);
    CHECK_EQ(i8259_ack(&pic), 0x25);

    TEST("slave through the cascade");
    setup(1);
    pulse(12);
    pulse(8);
    CHECK(intr);
    CHECK_EQ(i8259_ack(&pic), 0x28);
    CHECK(!intr);
    out(1, 0, 0x20);
    CHECK(!intr); /* master line 2 still in service */
    out(0, 0, 0x20);
    CHECK(intr);
    CHECK_EQ(i8259_ack(&pic), 0x2c);
    out(1, 0, 0x64);
    out(0, 0, 0x62);
    CHECK(!intr);
    CHECK_EQ(in(0, 0), 0);

    TEST("masks and the spurious vector");
    setup(1);
    out(0, 1, 0xff);
    pulse(4);
    CHECK(!intr);
    out(0, 1, 0xef);
    CHECK(intr);
    out(0, 1, 0xff);
    CHECK_EQ(i8259_ack(&pic), 0x27);
    CHECK_EQ(in(0, 1), 0xff);

    TEST("level-triggered by ELCR");
    setup(1);
    i8259_elcr_ops.write(&pic.chip[1], 0, 0xff, 1);
    CHECK_EQ(i8259_elcr_ops.read(&pic.chip[1], 0, 1), 0xde);
    i8259_set(&pic, 11, true);
    CHECK_EQ(i8259_ack(&pic), 0x2b);
    out(1, 0, 0x20);
    out(0, 0, 0x20);
    CHECK(intr); /* still asserted */
    i8259_set(&pic, 11, false);
    CHECK(!intr);

    TEST("automatic EOI, rotation, special mask, poll");
    setup(3);
    pulse(6);
    CHECK_EQ(i8259_ack(&pic), 0x26);
    out(0, 0, 0x0b);
    CHECK_EQ(in(0, 0), 0);
    setup(1);
    out(0, 0, 0xc3); /* line 3 lowest, so 4 highest */
    pulse(3);
    pulse(4);
    CHECK_EQ(i8259_ack(&pic), 0x24);
    out(0, 0, 0xa0);
    pulse(4);
    CHECK_EQ(i8259_ack(&pic), 0x23);
    setup(1);
    pulse(0);
    CHECK_EQ(i8259_ack(&pic), 0x20);
    pulse(6);
    CHECK(!intr);
    out(0, 1, 1);
    out(0, 0, 0x68);
    CHECK(intr);
    out(0, 0, 0x0c);
    CHECK_EQ(in(0, 0), 0x86);
    CHECK(!intr);

    TEST("saved and loaded");
    setup(1);
    pulse(9);
    struct state *s = state_save_begin();
    i8259_device.state(&pic, s, "i8259");
    size_t size;
    const void *bytes = state_bytes(s, &size);
    struct state *l = state_load_begin(bytes, size);
    i8259_device.reset(&pic);
    CHECK(!intr);
    i8259_device.state(&pic, l, "i8259");
    CHECK(intr);
    CHECK_EQ(i8259_ack(&pic), 0x29);
    state_free(s);
    state_free(l);
    return TEST_END();
}
