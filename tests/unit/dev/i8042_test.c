#include "dev/i8042.h"
#include "unit/fake_clock.h"
#include "unit/test.h"

static struct i8042 kbc;
static struct fake_line line;
static unsigned resets;
static bool a20_on = true;

static void reset(void *opaque)
{
    resets++;
}
static void a20(void *opaque, bool enabled)
{
    a20_on = enabled;
}
static u8 status(void)
{
    return (u8)i8042_command_ops.read(&kbc, 0, 1);
}
static u8 in(void)
{
    return (u8)i8042_data_ops.read(&kbc, 0, 1);
}
static void cmd(u8 v)
{
    i8042_command_ops.write(&kbc, 0, v, 1);
}
static void out(u8 v)
{
    i8042_data_ops.write(&kbc, 0, v, 1);
}

int main(void)
{
    struct i8042_config config = {.irq = {fake_line_set, &line, 0}, .reset = reset, .a20 = a20};
    i8042_init(&kbc, &config);

    TEST("controller probe as Linux does it");
    CHECK_EQ(status() & 1, 0);
    cmd(0x20);
    CHECK_EQ(in(), 0x65);
    cmd(0x60);
    out(0x74);
    cmd(0xaa);
    CHECK_EQ(status() & 5, 5);
    CHECK_EQ(in(), 0x55);
    cmd(0xab);
    CHECK_EQ(in(), 0);
    cmd(0xd3);
    out(0x5a);
    CHECK_EQ(status() & 0x21, 1); /* not from an auxiliary device */
    CHECK_EQ(in(), 0x5a);
    cmd(0xa9);
    CHECK_EQ(in(), 1);

    TEST("keyboard answers identify and reset");
    cmd(0x60);
    out(0x25); /* no translation */
    out(0xf2);
    CHECK(in() == 0xfa && in() == 0xab && in() == 0x83);
    CHECK_EQ(status() & 1, 0);
    out(0xff);
    CHECK(in() == 0xfa && in() == 0xaa);
    out(0xed);
    CHECK_EQ(in(), 0xfa);
    out(0x05);
    CHECK_EQ(in(), 0xfa);
    out(0xf0);
    in();
    out(0);
    CHECK(in() == 0xfa && in() == 2);
    out(0x01);
    CHECK_EQ(in(), 0xfe);

    TEST("scancodes, translated, one edge a byte");
    cmd(0x60);
    out(0x65);
    line.rises = 0;
    CHECK(i8042_key(&kbc, (u8[]){0x1c, 0xf0, 0x1c, 0xe0, 0xf0, 0x75}, 6));
    CHECK(line.level);
    CHECK_EQ(in(), 0x1e);
    CHECK_EQ(in(), 0x9e);
    CHECK_EQ(in(), 0xe0);
    CHECK_EQ(in(), 0xc8);
    CHECK(!line.level);
    CHECK_EQ(line.rises, 4);
    cmd(0xad);
    CHECK(i8042_key(&kbc, (u8[]){0x1c}, 1));
    CHECK_EQ(status() & 1, 0);
    cmd(0xae);
    CHECK_EQ(in(), 0x1e);

    TEST("A20 and reset");
    cmd(0xd1);
    out(0x01);
    CHECK(!a20_on);
    cmd(0xdf);
    CHECK(a20_on && resets == 0);
    cmd(0xfe);
    CHECK_EQ(resets, 1);
    return TEST_END();
}
