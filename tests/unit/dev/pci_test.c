#include "dev/ich9.h"
#include "dev/reset.h"
#include "unit/fake_clock.h"
#include "unit/test.h"

#include <errno.h>
#include <string.h>

static struct pci_bus pci;
static struct ich9 ich;
static struct pci_device card;
static struct bus port, mmio;
static struct fake_line gsi[24], isa[16];
static unsigned resets, a20_changes;
static u64 msi_address;
static u32 msi_data;

static u64 reg;
static u64 card_read(void *dev, u64 offset, unsigned size)
{
    return reg;
}
static void card_write(void *dev, u64 offset, u64 value, unsigned size)
{
    reg = value;
}
static const struct bus_ops card_ops = {card_read, card_write, 4, 4};

static void request(void *opaque)
{
    resets++;
}
static void a20(void *opaque, bool enabled)
{
    a20_changes++;
}
static void msi(void *opaque, u64 address, u32 data)
{
    msi_address = address;
    msi_data = data;
}
static u32 get(unsigned dev, unsigned at, unsigned size)
{
    bus_write(&port, 0xcf8, 0x80000000u | dev << 11 | (at & 0xfc), 4);
    return (u32)bus_read(&port, 0xcfc + (at & 3), size);
}
static void put(unsigned dev, unsigned at, u32 v, unsigned size)
{
    bus_write(&port, 0xcf8, 0x80000000u | dev << 11 | (at & 0xfc), 4);
    bus_write(&port, 0xcfc + (at & 3), v, size);
}

int main(void)
{
    struct reset reset;
    reset_init(&reset, request, a20, NULL);
    pci_bus_init(&pci, &port, &mmio);
    pci.reset_ops = &reset_cf9_ops;
    pci.reset_dev = &reset;
    pci.msi = msi;
    struct ich9_config config = {
        .ecam_base = 0xb0000000,
        .pm_base = 0x600,
        .gsi = {fake_line_set, gsi, 0},
        .isa = {fake_line_set, isa, 0},
    };
    CHECK_EQ(ich9_init(&ich, &pci, &config), 0);
    pci_device_init(&card, 0x1af4, 0x1234, 0x020000, 1);
    pci_bar_add(&card, 0, PCI_BAR_IO, 32, &card_ops, NULL);
    pci_bar_add(&card, 1, PCI_BAR_MEM32, 4096, &card_ops, NULL);
    pci_bar_add(&card, 4, PCI_BAR_MEM64, 0x4000, &card_ops, NULL);
    pci_pin_set(&card, 1);
    pci_msi_add(&card);
    CHECK_EQ(pci_attach(&pci, &card, PCI_DEVFN(3, 0)), 0);
    CHECK_EQ(pci_attach(&pci, &card, PCI_DEVFN(0, 0)), -EEXIST);
    CHECK_EQ(bus_add(&port, 0xcf8, 8, &pci_config_ops, &pci), 0);
    CHECK_EQ(bus_add(&mmio, 0xb0000000, 1 << 20, &pci_ecam_ops, &pci), 0);

    TEST("mechanism 1 and ECAM show the same devices");
    CHECK_EQ(get(0, 0, 4), 0x29c08086);
    CHECK_EQ(get(31, 0, 4), 0x29188086);
    CHECK_EQ(get(31, 0x0a, 2), 0x0601);
    CHECK_EQ(get(5, 0, 4), 0xffffffff);
    CHECK_EQ(bus_read(&mmio, 0xb0000000 | 31 << 15, 4), 0x29188086);
    CHECK_EQ(bus_read(&mmio, 0xb0000000 | 3 << 15 | 0x100, 4), 0);
    CHECK_EQ(get(0, 0x60, 4), 0xb0000001);
    CHECK_EQ(get(31, 0x40, 4), 0x601);
    CHECK_EQ(bus_read(&port, 0xcf8, 4), 0x8000f840);

    TEST("BAR sizing");
    put(3, 0x10, 0xffffffff, 4);
    CHECK_EQ(get(3, 0x10, 4), 0xffffffe1);
    put(3, 0x14, 0xffffffff, 4);
    CHECK_EQ(get(3, 0x14, 4), 0xfffff000);
    put(3, 0x20, 0xffffffff, 4);
    put(3, 0x24, 0xffffffff, 4);
    CHECK_EQ(get(3, 0x20, 4), 0xffffc004);
    CHECK_EQ(get(3, 0x24, 4), 0xffffffff);
    put(3, 0x18, 0xffffffff, 4);
    CHECK_EQ(get(3, 0x18, 4), 0);

    TEST("windows follow BARs and the command register");
    static const u8 irqs[4] = {10, 10, 11, 11};
    pci_assign(&pci, 0xc0000000, 0xfec00000, 0xc000, 0xf000, irqs);
    CHECK_EQ(get(3, 0x10, 4), 0xc001);
    CHECK_EQ(get(3, 0x14, 4), 0xc0000000);
    CHECK_EQ(get(3, 0x20, 4), 0xc0004004);
    CHECK_EQ(get(3, 4, 2), 7);
    CHECK_EQ(get(3, 0x3c, 1), 11);
    bus_write(&port, 0xc004, 77, 4);
    CHECK_EQ(bus_read(&mmio, 0xc0007ffc, 4), 77);
    put(3, 0x24, 1, 4);
    CHECK_EQ(bus_read(&mmio, 0xc0007ffc, 4), 0xffffffff);
    CHECK_EQ(bus_read(&mmio, 0x1c0007ffc, 4), 77);
    put(3, 4, 6, 2);
    CHECK_EQ(bus_read(&port, 0xc004, 4), 0xffffffff);
    put(3, 0x14, 0xb0000000, 4); /* on top of ECAM: stays unmapped */
    CHECK_EQ(bus_read(&mmio, 0xb0000000, 4), 0x29c08086);

    TEST("INTx reaches the I/O APIC, and the 8259 where routed");
    pci_intx_set(&card, true);
    CHECK(gsi[19].level);
    CHECK_EQ(get(3, 6, 2) & 8, 8);
    put(31, 0x63, 11, 1);
    CHECK(isa[11].level);
    put(31, 0x63, 2, 1);
    CHECK(!isa[11].level && !isa[2].level);
    put(3, 4, 0x406, 2);
    CHECK(!gsi[19].level);
    put(3, 4, 0x006, 2);
    CHECK(gsi[19].level);
    pci_intx_set(&card, false);
    CHECK(!gsi[19].level);

    TEST("MSI");
    CHECK(!pci_msi_send(&card));
    CHECK_EQ(get(3, 0x34, 1), 0x40);
    CHECK_EQ(get(3, 0x40, 4), 0x00800005);
    put(3, 0x44, 0xfee01003, 4);
    put(3, 0x4c, 0x4041, 2);
    put(3, 0x42, 1, 2);
    CHECK(pci_msi_send(&card));
    CHECK(msi_address == 0xfee01000 && msi_data == 0x4041);

    TEST("saved and loaded, then reset");
    struct state *s = state_save_begin();
    pci_bus_device.state(&pci, s, "pci");
    size_t size;
    const void *bytes = state_bytes(s, &size);
    pci_bus_device.reset(&pci);
    ich9_device.reset(&ich);
    CHECK_EQ(get(3, 0x20, 4), 4);
    CHECK_EQ(get(31, 0x63, 1), 0x80);
    CHECK_EQ(bus_read(&mmio, 0x1c0007ffc, 4), 0xffffffff);
    struct state *l = state_load_begin(bytes, size);
    pci_bus_device.state(&pci, l, "pci");
    CHECK_EQ(bus_read(&mmio, 0x1c0007ffc, 4), 77);
    state_free(s);
    state_free(l);

    TEST("reset ports");
    bus_write(&port, 0xcf9, 2, 1);
    CHECK_EQ(resets, 0);
    bus_write(&port, 0xcf9, 6, 1);
    CHECK_EQ(resets, 1);
    CHECK_EQ(bus_read(&port, 0xcf9, 1), 6);
    reset_port92_ops.write(&reset, 0, 0, 1);
    CHECK_EQ(a20_changes, 1);
    reset_port92_ops.write(&reset, 0, 3, 1);
    CHECK(a20_changes == 2 && resets == 2);
    return TEST_END();
}
