/*
 * The keyboard controller and its keyboard, as drivers talk to them.
 */
#include "dev/i8042.h"
#include "unit/fake_board.h"
#include "unit/test.h"

struct bench {
    struct fake_line line;
    unsigned inits;
    bool a20_on;
    struct i8042 kbc;
};

static void init(void *opaque)
{
    ((struct bench *)opaque)->inits++;
}
static void a20(void *opaque, bool enabled)
{
    ((struct bench *)opaque)->a20_on = enabled;
}

static struct bench *bench_create(void)
{
    struct bench *b = fresh(sizeof(*b));
    b->a20_on = true;
    i8042_init(&b->kbc,
               &(struct i8042_config){.irq = {fake_line_set, &b->line, 0}, .init = init, .a20 = a20, .opaque = b});
    return b;
}

static u8 status(struct bench *b)
{
    return (u8)i8042_command_ops.read(&b->kbc, 0, 1);
}
static u8 in(struct bench *b)
{
    return (u8)i8042_data_ops.read(&b->kbc, 0, 1);
}
static void command(struct bench *b, u8 value)
{
    i8042_command_ops.write(&b->kbc, 0, value, 1);
}
static void out(struct bench *b, u8 value)
{
    i8042_data_ops.write(&b->kbc, 0, value, 1);
}
static void command_byte(struct bench *b, u8 value)
{
    command(b, I8042_WRITE_RAM);
    out(b, value);
}

/* Scancodes of set 2. */
enum { KEY_A = 0x1c, EXTENDED = 0xe0, RELEASE = 0xf0, KEY_UP = 0x75 };

static void test_probe(void)
{
    TEST("controller probe as Linux does it");
    struct bench *b = bench_create();
    CHECK_EQ(status(b) & I8042_STATUS_OBF, 0);
    command(b, I8042_READ_RAM);
    CHECK_EQ(in(b), I8042_CB_TRANSLATE | I8042_CB_AUX_DISABLE | I8042_CB_SYSTEM | I8042_CB_IRQ);
    command_byte(b, I8042_CB_TRANSLATE | I8042_CB_AUX_DISABLE | I8042_CB_KBD_DISABLE | I8042_CB_SYSTEM);
    command(b, I8042_SELF_TEST);
    CHECK_EQ(status(b) & (I8042_STATUS_OBF | I8042_STATUS_SYSTEM), I8042_STATUS_OBF | I8042_STATUS_SYSTEM);
    CHECK_EQ(in(b), I8042_SELF_TEST_PASSED);
    command(b, I8042_KBD_TEST);
    CHECK_EQ(in(b), I8042_TEST_PASSED);
    command(b, I8042_WRITE_AUX_BUFFER);
    out(b, 0x5a);
    CHECK_EQ(status(b) & (I8042_STATUS_AUX | I8042_STATUS_OBF), I8042_STATUS_OBF);
    CHECK_EQ(in(b), 0x5a);
    command(b, I8042_AUX_TEST);
    CHECK_EQ(in(b), I8042_CLOCK_STUCK);
    free(b);
}

static void test_keyboard(void)
{
    TEST("keyboard answers identify and reset");
    struct bench *b = bench_create();
    command_byte(b, I8042_CB_AUX_DISABLE | I8042_CB_SYSTEM | I8042_CB_IRQ); /* no translation */
    out(b, I8042_KBD_IDENTIFY);
    CHECK(in(b) == I8042_KBD_ACK && in(b) == 0xab && in(b) == 0x83);
    CHECK_EQ(status(b) & I8042_STATUS_OBF, 0);
    out(b, I8042_KBD_RESET);
    CHECK(in(b) == I8042_KBD_ACK && in(b) == I8042_KBD_PASSED);
    out(b, I8042_KBD_LEDS);
    CHECK_EQ(in(b), I8042_KBD_ACK);
    out(b, 0x05);
    CHECK_EQ(in(b), I8042_KBD_ACK);
    out(b, I8042_KBD_SCANCODE_SET);
    in(b);
    out(b, 0);
    CHECK(in(b) == I8042_KBD_ACK && in(b) == 2);
    out(b, 0x01);
    CHECK_EQ(in(b), I8042_KBD_RESEND);
    free(b);
}

static void test_scancodes(void)
{
    TEST("scancodes, translated, one edge per byte");
    struct bench *b = bench_create();
    CHECK(i8042_key(&b->kbc, (u8[]){KEY_A, RELEASE, KEY_A, EXTENDED, RELEASE, KEY_UP}, 6));
    CHECK(b->line.level);
    CHECK_EQ(in(b), 0x1e);
    CHECK_EQ(in(b), 0x9e);
    CHECK_EQ(in(b), 0xe0);
    CHECK_EQ(in(b), 0xc8);
    CHECK(!b->line.level);
    CHECK_EQ(b->line.rises, 4);

    TEST("a disabled keyboard keeps its bytes");
    command(b, I8042_KBD_DISABLE);
    CHECK(i8042_key(&b->kbc, (u8[]){KEY_A}, 1));
    CHECK_EQ(status(b) & I8042_STATUS_OBF, 0);
    command(b, I8042_KBD_ENABLE);
    CHECK_EQ(in(b), 0x1e);
    free(b);
}

static void test_outputs(void)
{
    TEST("A20 and INIT");
    struct bench *b = bench_create();
    command(b, I8042_WRITE_OUTPUT_PORT);
    out(b, I8042_OUT_RESET);
    CHECK(!b->a20_on);
    command(b, I8042_A20_ON);
    CHECK(b->a20_on && b->inits == 0);
    command(b, I8042_PULSE | (0xf & ~I8042_OUT_RESET));
    CHECK_EQ(b->inits, 1);
    command(b, I8042_WRITE_OUTPUT_PORT);
    out(b, I8042_OUT_A20);
    CHECK_EQ(b->inits, 2);
    free(b);
}

static void test_state(void)
{
    TEST("saved and loaded: what the keyboard sent is still there");
    struct bench *b = bench_create(), *other = bench_create();
    CHECK(i8042_key(&b->kbc, (u8[]){KEY_A, RELEASE, KEY_A}, 3));
    CHECK_EQ(state_pass(&i8042_device, &b->kbc, &other->kbc), 0);
    CHECK(other->line.level);
    CHECK_EQ(in(other), 0x1e);
    CHECK_EQ(in(other), 0x9e);
    CHECK_EQ(status(other) & I8042_STATUS_OBF, 0);
    free(b);
    free(other);
}

int main(void)
{
    test_probe();
    test_keyboard();
    test_scancodes();
    test_outputs();
    test_state();
    return TEST_END();
}
