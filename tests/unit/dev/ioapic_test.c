/*
 * The I/O APIC: which messages leave it for edges and levels.
 */
#include "dev/ioapic.h"
#include "unit/fake_board.h"
#include "unit/test.h"

struct bench {
    struct ioapic io;
    unsigned sent;
    u64 address; /* of the last message */
    u32 data;
    int taken;      /* what a message comes to */
    unsigned ended; /* bits of inputs */
    bool drops;     /* whoever hears of an end takes the level away */
};

static int msi(void *opaque, u64 address, u32 data)
{
    struct bench *b = opaque;
    b->sent++;
    b->address = address;
    b->data = data;
    return b->taken;
}

static void ended(void *opaque, unsigned line)
{
    struct bench *b = opaque;
    b->ended |= BIT(line);
    if (b->drops)
        ioapic_set(&b->io, line, false);
}

static struct bench *bench_create(void)
{
    struct bench *b = fresh(sizeof(*b));
    ioapic_init(&b->io, 3, msi, b);
    return b;
}

static u32 get(struct bench *b, u8 reg)
{
    ioapic_ops.write(&b->io, IOAPIC_IOREGSEL, reg, 4);
    return (u32)ioapic_ops.read(&b->io, IOAPIC_IOWIN, 4);
}
static void put(struct bench *b, u8 reg, u64 value)
{
    ioapic_ops.write(&b->io, IOAPIC_IOREGSEL, reg, 4);
    ioapic_ops.write(&b->io, IOAPIC_IOWIN, (u32)value, 4);
}
/* The registers of a pin's entry. */
static u8 low(unsigned pin)
{
    return (u8)(IOAPIC_REDIRECTION + 2 * pin);
}
static u8 high(unsigned pin)
{
    return (u8)(low(pin) + 1);
}

#define MSI_ADDRESS 0xfee00000u
#define MSI_HINT_LOGICAL 0xcu
#define MSI_ASSERT 0x4000u
#define MSI_LEVEL 0x8000u

static void test_identification(void)
{
    TEST("identification");
    struct bench *b = bench_create();
    CHECK_EQ(get(b, IOAPIC_ID), 3u << 24);
    CHECK_EQ(get(b, IOAPIC_VERSION), 0x00170020);
    CHECK_EQ(get(b, low(0)), IOAPIC_MASKED);
    CHECK_EQ(get(b, high(IOAPIC_PINS - 1)), 0);
    free(b);
}

static void test_edge(void)
{
    TEST("edges: delivered once, ignored when masked");
    struct bench *b = bench_create();
    ioapic_set(&b->io, 4, true);
    ioapic_set(&b->io, 4, false);
    put(b, high(4), 0x0f000000);
    put(b, low(4), IOAPIC_LOGICAL | 0x31);
    CHECK_EQ(b->sent, 0);
    ioapic_set(&b->io, 4, true);
    ioapic_set(&b->io, 4, true);
    CHECK_EQ(b->sent, 1);
    CHECK_EQ(b->address, MSI_ADDRESS | 0x0f004);
    CHECK_EQ(b->data, MSI_ASSERT | 0x31);
    ioapic_set(&b->io, 4, false);
    CHECK_EQ(get(b, low(4)), IOAPIC_LOGICAL | 0x31);
    ioapic_set(&b->io, 99, true);
    CHECK_EQ(b->sent, 1);
    free(b);
}

static void test_level(void)
{
    static const u64 entry = IOAPIC_LEVEL | IOAPIC_ACTIVE_LOW | IOAPIC_LOGICAL | IOAPIC_LOWEST_PRIORITY | 0x55;
    TEST("level: remote IRR, EOI, redelivery");
    struct bench *b = bench_create();
    put(b, low(8), entry);
    ioapic_set(&b->io, 8, true);
    CHECK_EQ(b->sent, 1);
    CHECK_EQ(b->data, MSI_LEVEL | MSI_ASSERT | IOAPIC_LOWEST_PRIORITY | 0x55);
    CHECK_EQ(b->address & MSI_HINT_LOGICAL, MSI_HINT_LOGICAL);
    CHECK_EQ(get(b, low(8)), entry | IOAPIC_REMOTE_IRR);
    ioapic_set(&b->io, 8, false);
    ioapic_set(&b->io, 8, true);
    CHECK_EQ(b->sent, 1);
    ioapic_eoi(&b->io, 0x54);
    CHECK_EQ(b->sent, 1);
    ioapic_eoi(&b->io, 0x55);
    CHECK_EQ(b->sent, 2);
    ioapic_set(&b->io, 8, false);
    ioapic_ops.write(&b->io, IOAPIC_EOI, 0x55, 4);
    CHECK_EQ(b->sent, 2);
    CHECK_EQ(get(b, low(8)), entry);
    free(b);

    TEST("level pending while masked; switched to edge");
    b = bench_create();
    put(b, low(8), IOAPIC_MASKED | IOAPIC_LEVEL | 0x55);
    ioapic_set(&b->io, 8, true);
    CHECK_EQ(b->sent, 0);
    put(b, low(8), IOAPIC_LEVEL | 0x55);
    CHECK_EQ(b->sent, 1);
    CHECK_EQ(get(b, low(8)), IOAPIC_REMOTE_IRR | IOAPIC_LEVEL | 0x55);
    put(b, low(8), 0x55);
    CHECK_EQ(get(b, low(8)), 0x55);
    free(b);
}

static void test_state(void)
{
    TEST("saved and loaded: a level that waits for its EOI still does");
    struct bench *b = bench_create(), *other = bench_create();
    put(b, low(8), IOAPIC_LEVEL | 0x55);
    ioapic_set(&b->io, 8, true);
    CHECK_EQ(state_pass(&ioapic_device, &b->io, &other->io), 0);
    CHECK_EQ(other->sent, 0);
    CHECK_EQ(get(other, low(8)), IOAPIC_REMOTE_IRR | IOAPIC_LEVEL | 0x55);
    ioapic_eoi(&other->io, 0x55);
    CHECK_EQ(other->sent, 1);
    free(b);
    free(other);
}

static void test_status(void)
{
    TEST("what comes of an edge and of a level");
    struct bench *b = bench_create();
    CHECK_EQ(ioapic_drive(&b->io, 4, true), -1);
    ioapic_drive(&b->io, 4, false);
    put(b, low(4), 0x31);
    b->taken = 2;
    CHECK_EQ(ioapic_drive(&b->io, 4, true), 2);
    CHECK_EQ(ioapic_drive(&b->io, 4, true), 0);
    CHECK_EQ(ioapic_drive(&b->io, 4, false), 1);
    put(b, low(5), IOAPIC_LEVEL | 0x32);
    CHECK_EQ(ioapic_drive(&b->io, 5, true), 2);
    CHECK_EQ(ioapic_drive(&b->io, 5, true), -1);
    CHECK_EQ(ioapic_drive(&b->io, 99, true), -1);
    free(b);

    TEST("the end of an interrupt is reported before its level is looked at again");
    b = bench_create();
    b->io.ended = ended;
    put(b, low(8), IOAPIC_LEVEL | 0x55);
    put(b, low(9), IOAPIC_LEVEL | 0x55);
    ioapic_set(&b->io, 8, true);
    ioapic_eoi(&b->io, 0x55);
    CHECK_EQ(b->ended, BIT(8));
    CHECK_EQ(b->sent, 2);
    b->drops = true;
    ioapic_eoi(&b->io, 0x55);
    CHECK_EQ(b->sent, 2);
    CHECK_EQ(get(b, low(8)), IOAPIC_LEVEL | 0x55);
    free(b);

    TEST("levels that were set as fields are delivered");
    b = bench_create();
    b->io.entry[3] = IOAPIC_LEVEL | 0x44;
    b->io.entry[4] = IOAPIC_LEVEL | IOAPIC_REMOTE_IRR | 0x45;
    b->io.line = BIT(3) | BIT(4);
    ioapic_changed(&b->io);
    CHECK_EQ(b->sent, 1);
    CHECK_EQ(b->data, MSI_LEVEL | MSI_ASSERT | 0x44);
    free(b);
}

int main(void)
{
    test_status();
    test_identification();
    test_edge();
    test_level();
    test_state();
    return TEST_END();
}
