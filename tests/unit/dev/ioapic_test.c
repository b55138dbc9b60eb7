#include "dev/ioapic.h"
#include "unit/test.h"

static struct ioapic io;
static unsigned sent;
static u64 address;
static u32 data;

static void msi(void *opaque, u64 a, u32 d)
{
    sent++;
    address = a;
    data = d;
}
static u32 get(u8 i)
{
    ioapic_ops.write(&io, 0, i, 4);
    return (u32)ioapic_ops.read(&io, 0x10, 4);
}
static void put(u8 i, u32 v)
{
    ioapic_ops.write(&io, 0, i, 4);
    ioapic_ops.write(&io, 0x10, v, 4);
}

int main(void)
{
    ioapic_init(&io, 3, msi, NULL);
    TEST("identification");
    CHECK_EQ(get(0), 3u << 24);
    CHECK_EQ(get(1), 0x00170020);
    CHECK_EQ(get(0x10), 0x10000);
    CHECK_EQ(get(0x3f), 0);

    TEST("edges: delivered once, ignored when masked");
    ioapic_set(&io, 4, true);
    ioapic_set(&io, 4, false);
    put(0x19, 0x0f000000);
    put(0x18, 0x0831); /* vector 0x31, logical */
    CHECK_EQ(sent, 0);
    ioapic_set(&io, 4, true);
    ioapic_set(&io, 4, true);
    CHECK_EQ(sent, 1);
    CHECK_EQ(address, 0xfee0f004);
    CHECK_EQ(data, 0x4031);
    ioapic_set(&io, 4, false);
    CHECK_EQ(get(0x18), 0x831);

    TEST("level: remote IRR, EOI, redelivery");
    sent = 0;
    put(0x20, 0xa955); /* level, active low, lowest priority, vector 0x55 */
    ioapic_set(&io, 8, true);
    CHECK_EQ(sent, 1);
    CHECK_EQ(data, 0xc155);
    CHECK_EQ(address & 0xc, 0xc);
    CHECK_EQ(get(0x20), 0xe955);
    ioapic_set(&io, 8, false);
    ioapic_set(&io, 8, true);
    CHECK_EQ(sent, 1);
    ioapic_eoi(&io, 0x54);
    CHECK_EQ(sent, 1);
    ioapic_eoi(&io, 0x55);
    CHECK_EQ(sent, 2);
    ioapic_set(&io, 8, false);
    ioapic_ops.write(&io, 0x40, 0x55, 4);
    CHECK_EQ(sent, 2);
    CHECK_EQ(get(0x20), 0xa955);

    TEST("level pending while masked; switched to edge");
    put(0x20, 0x18055);
    ioapic_set(&io, 8, true);
    CHECK_EQ(sent, 2);
    put(0x20, 0x8055);
    CHECK_EQ(sent, 3);
    CHECK_EQ(get(0x20), 0xc055);
    put(0x20, 0x0055);
    CHECK_EQ(get(0x20), 0x0055);
    ioapic_set(&io, 99, true);
    return TEST_END();
}
