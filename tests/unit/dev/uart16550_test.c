/*
 * The 16550A by its registers, named as in the data sheet. Each test has a port of its own.
 */
#include "dev/uart16550.h"

#include "unit/fake_board.h"
#include "unit/test.h"

#include <string.h>

enum { RBR = 0, THR = 0, DLL = 0, IER = 1, DLM = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6, SCR = 7 };

#define IER_RECEIVED 0x01
#define IER_THR_EMPTY 0x02
#define IER_LINE_STATUS 0x04
#define IIR_NONE 0x01
#define IIR_THR_EMPTY 0x02
#define IIR_RECEIVED 0x04
#define IIR_LINE_STATUS 0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFOS 0xc0
#define FCR_ENABLE 0x01
#define FCR_CLEAR_RECEIVER 0x02
#define FCR_CLEAR_TRANSMITTER 0x04
#define FCR_TRIGGER_14 0xc0
#define LCR_8_BITS 0x03
#define LCR_DLAB 0x80
#define MCR_DTR 0x01
#define MCR_RTS 0x02
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define LSR_DATA 0x01
#define LSR_OVERRUN 0x02
#define LSR_BREAK 0x10
#define LSR_THRE 0x20
#define LSR_TEMT 0x40
#define LSR_IDLE (LSR_THRE | LSR_TEMT)
#define MSR_DELTA_DSR 0x02
#define MSR_CTS 0x10
#define MSR_DSR 0x20
#define MSR_DCD 0x80

#define FIFO 16

struct port {
    struct uart16550 u;
    struct fake_line line;
    char sent[128]; /* what the sink took */
    unsigned room;  /* how many bytes the sink takes */
    const char *input;
    unsigned notified;
};

static bool transmit(void *opaque, u8 byte)
{
    struct port *p = opaque;
    if (!p->room)
        return false;
    p->room--;
    p->sent[strlen(p->sent)] = (char)byte;
    return true;
}

static void receive_ready(void *opaque)
{
    struct port *p = opaque;
    p->notified++;
    p->input += uart16550_receive(&p->u, (const u8 *)p->input, (unsigned)strlen(p->input));
}

static struct port *port_create(void)
{
    struct port *p = fresh(sizeof(*p));
    p->room = sizeof(p->sent) - 1;
    p->input = "";
    uart16550_init(&p->u, &(struct uart16550_config){
                              .irq = {fake_line_set, &p->line, 0},
                              .transmit = transmit,
                              .receive_ready = receive_ready,
                              .opaque = p,
                          });
    return p;
}

static u8 in(struct port *p, unsigned reg)
{
    return (u8)uart16550_ops.read(&p->u, reg, 1);
}

static void out(struct port *p, unsigned reg, u8 value)
{
    uart16550_ops.write(&p->u, reg, value, 1);
}

static void send(struct port *p, const char *text)
{
    for (; *text; text++)
        out(p, THR, (u8)*text);
}

static bool sent(const struct port *p, const char *text)
{
    return strcmp(p->sent, text) == 0;
}

/* The sink takes `room` bytes from now on. */
static void make_room(struct port *p, unsigned room)
{
    p->room = room;
    uart16550_transmit_ready(&p->u);
}

static unsigned receive(struct port *p, const char *text)
{
    return uart16550_receive(&p->u, (const u8 *)text, (unsigned)strlen(text));
}

static void test_probe(void)
{
    struct port *p = port_create();
    TEST("probe: scratch, IER, FIFO, divisor");
    out(p, SCR, 0x5a);
    CHECK_EQ(in(p, SCR), 0x5a);
    out(p, IER, 0xff);
    CHECK_EQ(in(p, IER), 0x0f);
    out(p, IER, 0);
    CHECK_EQ(in(p, IIR), IIR_NONE);
    out(p, FCR, FCR_ENABLE);
    CHECK_EQ(in(p, IIR), IIR_FIFOS | IIR_NONE);
    out(p, LCR, LCR_DLAB | LCR_8_BITS);
    out(p, DLL, 1);
    out(p, DLM, 2);
    CHECK(in(p, DLL) == 1 && in(p, DLM) == 2);
    out(p, LCR, LCR_8_BITS);
    CHECK_EQ(in(p, LSR), LSR_IDLE);
    CHECK_EQ(in(p, MSR), MSR_DCD | MSR_DSR | MSR_CTS);
    free(p);

    p = port_create();
    TEST("probe: loopback");
    out(p, MCR, MCR_LOOP | MCR_OUT2 | MCR_RTS);
    CHECK_EQ(in(p, MSR) & 0xf0, MSR_DCD | MSR_CTS);
    CHECK_EQ(in(p, MSR) & 0x0f, 0);
    out(p, THR, 'x');
    CHECK_EQ(in(p, LSR) & LSR_DATA, LSR_DATA);
    CHECK_EQ(in(p, RBR), 'x');
    out(p, MCR, MCR_OUT2 | MCR_RTS | MCR_DTR);
    CHECK_EQ(in(p, MSR), MSR_DCD | MSR_DSR | MSR_CTS | MSR_DELTA_DSR);
    CHECK(sent(p, ""));
    free(p);
}

static void test_transmit(void)
{
    struct port *p = port_create();
    TEST("transmit and its interrupt");
    out(p, FCR, FCR_ENABLE);
    out(p, IER, IER_THR_EMPTY);
    CHECK(p->line.level);
    CHECK_EQ(in(p, IIR), IIR_FIFOS | IIR_THR_EMPTY);
    CHECK(!p->line.level);
    out(p, THR, 'h');
    CHECK(p->line.level);
    out(p, THR, 'i');
    in(p, IIR);
    CHECK(!p->line.level && sent(p, "hi"));
    free(p);
}

static void test_full_sink(void)
{
    struct port *p = port_create();
    TEST("a full sink: the transmitter is busy until all is out");
    out(p, FCR, FCR_ENABLE);
    out(p, IER, IER_THR_EMPTY);
    in(p, IIR);
    p->room = 2;
    send(p, "abcd");
    CHECK(sent(p, "ab"));
    CHECK_EQ(in(p, LSR) & LSR_IDLE, 0);
    CHECK(!p->line.level);
    CHECK_EQ(in(p, IIR), IIR_FIFOS | IIR_NONE);
    make_room(p, 1);
    CHECK(sent(p, "abc"));
    CHECK_EQ(in(p, LSR) & LSR_IDLE, 0);
    CHECK(!p->line.level);
    make_room(p, 1);
    CHECK(sent(p, "abcd"));
    CHECK_EQ(in(p, LSR) & LSR_IDLE, LSR_IDLE);
    CHECK(p->line.level);
    CHECK_EQ(in(p, IIR), IIR_FIFOS | IIR_THR_EMPTY);
    CHECK(!p->line.level);
    make_room(p, 1);
    CHECK(!p->line.level);
    free(p);

    p = port_create();
    TEST("a full sink: no interrupt by enabling it, one when there is room");
    p->room = 0;
    out(p, THR, 'a');
    out(p, IER, IER_THR_EMPTY);
    CHECK(!p->line.level);
    make_room(p, 1);
    CHECK(p->line.level);
    free(p);

    p = port_create();
    TEST("a full sink: what is sent meanwhile keeps its order");
    out(p, FCR, FCR_ENABLE);
    p->room = 1;
    send(p, "ab");
    p->room = 1; /* there is room, but nobody has said so yet */
    out(p, THR, 'c');
    CHECK(sent(p, "a"));
    make_room(p, 8);
    send(p, "d");
    CHECK(sent(p, "abcd"));
    free(p);
}

static void test_overflow(void)
{
    struct port *p = port_create();
    TEST("a guest that does not look at LSR: with FIFOs the seventeenth byte is lost");
    out(p, FCR, FCR_ENABLE);
    p->room = 0;
    send(p, "0123456789abcdefXYZ");
    make_room(p, 100);
    send(p, "!");
    CHECK(sent(p, "0123456789abcdef!"));
    free(p);

    p = port_create();
    TEST("a guest that does not look at LSR: without FIFOs THR is overwritten");
    p->room = 0;
    send(p, "abc");
    make_room(p, 100);
    CHECK(sent(p, "c"));
    free(p);
}

static void test_clear(void)
{
    static const u8 fcr[] = {FCR_ENABLE | FCR_CLEAR_TRANSMITTER, 0};
    for (unsigned i = 0; i < ARRAY_LEN(fcr); i++) {
        struct port *p = port_create();
        TEST(i ? "FIFOs switched off: what waits is discarded" : "the transmitter's FIFO is cleared");
        out(p, FCR, FCR_ENABLE);
        out(p, IER, IER_THR_EMPTY);
        in(p, IIR);
        p->room = 0;
        send(p, "abc");
        out(p, FCR, FCR_ENABLE | FCR_CLEAR_RECEIVER);
        CHECK_EQ(in(p, LSR) & LSR_IDLE, 0);
        out(p, FCR, fcr[i]);
        CHECK_EQ(in(p, LSR) & LSR_IDLE, LSR_IDLE);
        CHECK(p->line.level);
        make_room(p, 100);
        send(p, "d");
        CHECK(sent(p, "d"));
        free(p);
    }
}

static void test_receive(void)
{
    static const char fox[] = "The quick brown fox jumps over the lazy dog";
    struct port *p = port_create();
    char got[64] = "";
    TEST("nothing is taken until the guest listens");
    CHECK_EQ(receive(p, "a"), 0);
    p->input = fox;
    out(p, FCR, FCR_ENABLE | FCR_CLEAR_RECEIVER | FCR_CLEAR_TRANSMITTER | FCR_TRIGGER_14);
    p->notified = 0;
    out(p, IER, IER_RECEIVED);
    CHECK_EQ(p->notified, 1);
    CHECK_EQ(in(p, IIR), IIR_FIFOS | IIR_RECEIVED);
    for (unsigned i = 0; i < sizeof(got) - 1 && in(p, LSR) & LSR_DATA; i++)
        got[i] = (char)in(p, RBR);
    CHECK(strcmp(got, fox) == 0);
    CHECK(!p->line.level);
    CHECK_EQ(receive(p, "ab"), 2);
    CHECK_EQ(in(p, IIR), IIR_FIFOS | IIR_TIMEOUT);
    CHECK(p->line.level);
    free(p);
}

static unsigned polls_until_data(struct port *p)
{
    unsigned polls = 0;
    while (!(in(p, LSR) & LSR_DATA) && polls < 100)
        polls++;
    return polls;
}

static void test_pollers(void)
{
    struct port *p = port_create();
    TEST("pollers are heard too");
    p->input = "z";
    CHECK(polls_until_data(p) < 20 && in(p, RBR) == 'z');
    free(p);

    p = port_create();
    TEST("a guest that polls for a busy transmitter does not listen");
    p->input = "z";
    p->room = 0;
    send(p, "a");
    CHECK_EQ(polls_until_data(p), 100);
    make_room(p, 1);
    CHECK(polls_until_data(p) < 20 && in(p, RBR) == 'z');
    free(p);
}

static void test_overrun(void)
{
    struct port *p = port_create();
    TEST("overrun only in loopback; line status interrupt");
    out(p, IER, IER_LINE_STATUS);
    out(p, MCR, MCR_LOOP);
    out(p, THR, 1);
    out(p, THR, 2);
    CHECK_EQ(in(p, IIR), IIR_LINE_STATUS);
    CHECK_EQ(in(p, LSR), LSR_IDLE | LSR_OVERRUN | LSR_DATA);
    CHECK_EQ(in(p, LSR), LSR_IDLE | LSR_DATA);
    CHECK_EQ(in(p, IIR), IIR_NONE);
    free(p);
}

/* The state of one port in another, whose sink takes `room` bytes. */
static struct port *moved(struct port *from, unsigned room)
{
    struct port *to = port_create();
    to->room = room;
    CHECK_EQ(state_pass(&uart16550_device, &from->u, &to->u), 0);
    free(from);
    return to;
}

static void test_state(void)
{
    struct port *p = port_create();
    TEST("saved and loaded");
    out(p, MCR, MCR_LOOP);
    out(p, THR, 1);
    p = moved(p, 100);
    CHECK(in(p, MCR) == MCR_LOOP && in(p, RBR) == 1);
    free(p);

    p = port_create();
    TEST("saved and loaded while the sink is full");
    out(p, FCR, FCR_ENABLE);
    out(p, IER, IER_THR_EMPTY);
    p->room = 0;
    send(p, "0123456789abcdef");
    p = moved(p, 0);
    CHECK_EQ(in(p, LSR) & LSR_IDLE, 0);
    CHECK(!p->line.level);
    p = moved(p, 3);
    CHECK(sent(p, "012"));
    CHECK_EQ(in(p, LSR) & LSR_IDLE, 0);
    send(p, "ghi");
    p = moved(p, 100);
    CHECK(sent(p, "3456789abcdefghi"));
    CHECK_EQ(in(p, LSR) & LSR_IDLE, LSR_IDLE);
    CHECK(p->line.level);
    free(p);

    p = port_create();
    TEST("a reset discards what waits");
    p->room = 0;
    send(p, "a");
    uart16550_device.reset(&p->u);
    CHECK_EQ(in(p, LSR) & LSR_IDLE, LSR_IDLE);
    make_room(p, 100);
    CHECK(sent(p, ""));
    free(p);
}

static void test_break(void)
{
    struct port *p = port_create();
    TEST("a BREAK is shown with its byte, in its place among the others, and interrupts");
    out(p, FCR, FCR_ENABLE);
    out(p, IER, IER_RECEIVED | IER_LINE_STATUS);
    CHECK_EQ(uart16550_receive(&p->u, (const u8 *)"ab", 2), 2);
    uart16550_break(&p->u);
    CHECK_EQ(uart16550_receive(&p->u, (const u8 *)"c", 1), 1);
    CHECK_EQ(in(p, LSR), LSR_DATA | LSR_IDLE);
    CHECK_EQ(in(p, RBR), 'a');
    CHECK_EQ(in(p, LSR), LSR_DATA | LSR_IDLE);
    CHECK_EQ(in(p, RBR), 'b');
    CHECK_EQ(in(p, IIR) & 0x0f, IIR_LINE_STATUS);
    CHECK_EQ(in(p, LSR), LSR_DATA | LSR_IDLE | LSR_BREAK);
    CHECK_EQ(in(p, LSR), LSR_DATA | LSR_IDLE);
    CHECK_EQ(in(p, RBR), 0);
    CHECK_EQ(in(p, LSR), LSR_DATA | LSR_IDLE);
    CHECK_EQ(in(p, RBR), 'c');

    TEST("a BREAK comes also to a guest that does not listen; in loopback it does not come");
    out(p, IER, 0);
    uart16550_break(&p->u);
    CHECK_EQ(in(p, LSR), LSR_DATA | LSR_IDLE | LSR_BREAK);
    CHECK_EQ(in(p, RBR), 0);
    out(p, MCR, MCR_LOOP);
    uart16550_break(&p->u);
    CHECK_EQ(in(p, LSR), LSR_IDLE);
    free(p);
}

int main(void)
{
    test_break();
    test_probe();
    test_transmit();
    test_full_sink();
    test_overflow();
    test_clear();
    test_receive();
    test_pollers();
    test_overrun();
    test_state();
    return TEST_END();
}
