#include "dev/uart16550.h"
#include "unit/fake_board.h"
#include "unit/test.h"

#include <string.h>

static struct uart16550 u;
static struct fake_line line;
static char sent[64];
static const char *input = "";
static unsigned notified;

static void transmit(void *opaque, u8 byte)
{
    size_t n = strlen(sent);
    sent[n] = (char)byte;
}
static void receive_ready(void *opaque)
{
    notified++;
    input += uart16550_receive(&u, (const u8 *)input, (unsigned)strlen(input));
}
static u8 in(unsigned r)
{
    return (u8)uart16550_ops.read(&u, r, 1);
}
static void out(unsigned r, u8 v)
{
    uart16550_ops.write(&u, r, v, 1);
}

int main(void)
{
    struct uart16550_config config = {
        .irq = {fake_line_set, &line, 0}, .transmit = transmit, .receive_ready = receive_ready};
    uart16550_init(&u, &config);

    TEST("probe: scratch, IER, FIFO, divisor, loopback");
    out(7, 0x5a);
    CHECK_EQ(in(7), 0x5a);
    out(1, 0xff);
    CHECK_EQ(in(1), 0x0f);
    out(1, 0);
    CHECK_EQ(in(2), 0x01);
    out(2, 0x01);
    CHECK_EQ(in(2), 0xc1);
    out(3, 0x83);
    out(0, 1);
    out(1, 2);
    CHECK(in(0) == 1 && in(1) == 2);
    out(3, 3);
    CHECK_EQ(in(5), 0x60);
    CHECK_EQ(in(6), 0xb0);
    out(4, 0x1a);
    CHECK_EQ(in(6) & 0xf0, 0x90);
    CHECK_EQ(in(6) & 0x0f, 0);
    out(0, 'x');
    CHECK_EQ(in(5) & 1, 1);
    CHECK_EQ(in(0), 'x');
    out(4, 0x0b);
    CHECK(in(6) == 0xb2 && sent[0] == 0);

    TEST("transmit and its interrupt");
    out(1, 2);
    CHECK(line.level);
    CHECK_EQ(in(2), 0xc2);
    CHECK(!line.level);
    out(0, 'h');
    CHECK(line.level);
    out(0, 'i');
    in(2);
    CHECK(!line.level && strcmp(sent, "hi") == 0);

    TEST("nothing is taken until the guest listens");
    out(1, 0);
    CHECK_EQ(uart16550_receive(&u, (const u8 *)"a", 1), 0);
    input = "The quick brown fox jumps over the lazy dog";
    char got[64] = "";
    out(2, 0xc7);
    notified = 0;
    out(1, 1);
    CHECK_EQ(notified, 1);
    CHECK_EQ(in(2), 0xc4);
    for (unsigned i = 0; i < sizeof(got) - 1 && in(5) & 1; i++)
        got[i] = (char)in(0);
    CHECK(strcmp(got, "The quick brown fox jumps over the lazy dog") == 0);
    CHECK(!line.level);
    CHECK_EQ(uart16550_receive(&u, (const u8 *)"ab", 2), 2);
    CHECK_EQ(in(2), 0xcc);
    CHECK(line.level);

    TEST("pollers are heard too");
    uart16550_device.reset(&u);
    input = "z";
    unsigned polls = 0;
    while (!(in(5) & 1) && polls < 100)
        polls++;
    CHECK(polls < 20 && in(0) == 'z');

    TEST("overrun only in loopback; line status interrupt");
    out(2, 0);
    out(1, 4);
    out(4, 0x10);
    out(0, 1);
    out(0, 2);
    CHECK_EQ(in(2), 6);
    CHECK_EQ(in(5), 0x63);
    CHECK_EQ(in(5), 0x61);
    CHECK_EQ(in(2), 1);

    TEST("saved and loaded");
    struct state *s = state_save_begin();
    uart16550_device.state(&u, s, "com1");
    size_t size;
    const void *bytes = state_bytes(s, &size);
    uart16550_device.reset(&u);
    struct state *l = state_load_begin(bytes, size);
    uart16550_device.state(&u, l, "com1");
    CHECK(in(4) == 0x10 && in(0) == 1);
    state_free(s);
    state_free(l);
    return TEST_END();
}
