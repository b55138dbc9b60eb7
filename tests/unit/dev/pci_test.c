/*
 * PCI configuration space, BARs, INTx and MSI of a card, the bridges of the chipset, and the reset ports.
 */
#include "dev/ich9.h"
#include "dev/reset.h"
#include "unit/fake_board.h"
#include "unit/test.h"

#include <errno.h>
#include <string.h>

enum { CONFIG_ADDRESS = 0xcf8, RESET_CONTROL = 0xcf9, CONFIG_DATA = 0xcfc, PORT92 = 0x92 };
#define CONFIG_ENABLE 0x80000000u
#define ECAM 0xb0000000u
#define ALL_ONES 0xffffffffu

/* Device numbers, all of function 0. */
enum { HOST = 0, CARD = 3, NOBODY = 5, LPC = 31 };

enum { BAR_PORTS = PCI_BAR0, BAR_32 = PCI_BAR0 + 4, BAR_NONE = PCI_BAR0 + 8, BAR_64 = PCI_BAR0 + 16 };
/* The card's MSI capability. */
enum { MSI_CAP = 0x40, MSI_CONTROL = MSI_CAP + 2, MSI_ADDRESS = MSI_CAP + 4, MSI_DATA = MSI_CAP + 12 };
#define MSI_ENABLE 1
#define CARD_GSI (ICH9_PIRQ_GSI + CARD) /* INTA of device 3 is PIRQ D */
#define CARD_ROUTE (ICH9_PIRQ_ROUTE + CARD)
#define PCIEXBAR 0x60
#define PMBASE 0x40

struct bench {
    struct bus port, mmio;
    struct pci_bus pci;
    struct ich9 ich;
    struct reset reset;
    struct pci_device card;
    u64 card_register;
    struct fake_line gsi[24], isa[16];
    unsigned resets, inits, a20_changes;
    u64 msi_address;
    u32 msi_data;
};

static u64 card_read(void *dev, u64 offset, unsigned size)
{
    return ((struct bench *)dev)->card_register;
}
static void card_write(void *dev, u64 offset, u64 value, unsigned size)
{
    ((struct bench *)dev)->card_register = value;
}
static const struct bus_ops card_ops = {card_read, card_write, 4, 4};

static void request(void *opaque)
{
    ((struct bench *)opaque)->resets++;
}
static void init(void *opaque)
{
    ((struct bench *)opaque)->inits++;
}
static void a20(void *opaque, bool enabled)
{
    ((struct bench *)opaque)->a20_changes++;
}
static void msi(void *opaque, u64 address, u32 data)
{
    struct bench *b = opaque;
    b->msi_address = address;
    b->msi_data = data;
}

static void card_attach(struct bench *b)
{
    pci_device_init(&b->card, 0x1af4, 0x1234, 0x020000, 1);
    pci_bar_add(&b->card, 0, PCI_BAR_IO, 32, &card_ops, b);
    pci_bar_add(&b->card, 1, PCI_BAR_MEM32, 4096, &card_ops, b);
    pci_bar_add(&b->card, 4, PCI_BAR_MEM64, 0x4000, &card_ops, b);
    pci_pin_set(&b->card, 1);
    pci_msi_add(&b->card);
    CHECK_EQ(pci_attach(&b->pci, &b->card, PCI_DEVFN(CARD, 0)), 0);
}

static struct bench *bench_create(void)
{
    struct bench *b = fresh(sizeof(*b));
    reset_init(&b->reset, &(struct reset_config){.request = request, .init = init, .a20 = a20, .opaque = b});
    pci_bus_init(&b->pci, &b->port, &b->mmio);
    b->pci.reset_ops = &reset_cf9_ops;
    b->pci.reset_dev = &b->reset;
    b->pci.msi = msi;
    b->pci.msi_opaque = b;
    const struct ich9_config config = {
        .ecam_base = ECAM,
        .pm_base = 0x600,
        .gsi = {fake_line_set, b->gsi, 0},
        .isa = {fake_line_set, b->isa, 0},
    };
    CHECK_EQ(ich9_init(&b->ich, &b->pci, &config), 0);
    card_attach(b);
    CHECK_EQ(bus_add(&b->port, CONFIG_ADDRESS, 8, &pci_config_ops, &b->pci), 0);
    CHECK_EQ(bus_add(&b->port, PORT92, 1, &reset_port92_ops, &b->reset), 0);
    CHECK_EQ(bus_add(&b->mmio, ECAM, 1 << 20, &pci_ecam_ops, &b->pci), 0);
    return b;
}

/* With addresses as firmware gives them, ports 0xc000, memory 0xc0000000 and 0xc0004000. */
static struct bench *assigned_create(void)
{
    static const u8 irqs[4] = {10, 10, 11, 11};
    struct bench *b = bench_create();
    pci_assign(&b->pci, 0xc0000000, 0xfec00000, 0xc000, 0xf000, irqs);
    return b;
}

static u32 get(struct bench *b, unsigned device, unsigned at, unsigned size)
{
    bus_write(&b->port, CONFIG_ADDRESS, CONFIG_ENABLE | device << 11 | (at & 0xfc), 4);
    return (u32)bus_read(&b->port, CONFIG_DATA + (at & 3), size);
}
static void put(struct bench *b, unsigned device, unsigned at, u32 value, unsigned size)
{
    bus_write(&b->port, CONFIG_ADDRESS, CONFIG_ENABLE | device << 11 | (at & 0xfc), 4);
    bus_write(&b->port, CONFIG_DATA + (at & 3), value, size);
}
static u32 ecam(struct bench *b, unsigned device, unsigned at)
{
    return (u32)bus_read(&b->mmio, ECAM | device << 15 | at, 4);
}

static void test_configuration(void)
{
    TEST("mechanism 1 and ECAM show the same devices");
    struct bench *b = bench_create();
    CHECK_EQ(get(b, HOST, PCI_VENDOR_ID, 4), 0x29c08086);
    CHECK_EQ(get(b, LPC, PCI_VENDOR_ID, 4), 0x29188086);
    CHECK_EQ(get(b, LPC, PCI_CLASS, 2), 0x0601);
    CHECK_EQ(get(b, NOBODY, PCI_VENDOR_ID, 4), ALL_ONES);
    CHECK_EQ(ecam(b, LPC, PCI_VENDOR_ID), 0x29188086);
    CHECK_EQ(ecam(b, CARD, 0x100), 0);
    CHECK_EQ(get(b, HOST, PCIEXBAR, 4), ECAM | 1);
    CHECK_EQ(get(b, LPC, PMBASE, 4), 0x601);
    CHECK_EQ(bus_read(&b->port, CONFIG_ADDRESS, 4), CONFIG_ENABLE | LPC << 11 | PMBASE);

    TEST("a slot takes one device");
    CHECK_EQ(pci_attach(&b->pci, &b->card, PCI_DEVFN(HOST, 0)), -EEXIST);

    TEST("BAR sizing");
    put(b, CARD, BAR_PORTS, ALL_ONES, 4);
    CHECK_EQ(get(b, CARD, BAR_PORTS, 4), 0xffffffe1);
    put(b, CARD, BAR_32, ALL_ONES, 4);
    CHECK_EQ(get(b, CARD, BAR_32, 4), 0xfffff000);
    put(b, CARD, BAR_64, ALL_ONES, 4);
    put(b, CARD, BAR_64 + 4, ALL_ONES, 4);
    CHECK_EQ(get(b, CARD, BAR_64, 4), 0xffffc004);
    CHECK_EQ(get(b, CARD, BAR_64 + 4, 4), ALL_ONES);
    put(b, CARD, BAR_NONE, ALL_ONES, 4);
    CHECK_EQ(get(b, CARD, BAR_NONE, 4), 0);
    free(b);
}

static void test_windows(void)
{
    static const u16 memory_only = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
    TEST("windows follow BARs and the command register");
    struct bench *b = assigned_create();
    CHECK_EQ(get(b, CARD, BAR_PORTS, 4), 0xc001);
    CHECK_EQ(get(b, CARD, BAR_32, 4), 0xc0000000);
    CHECK_EQ(get(b, CARD, BAR_64, 4), 0xc0004004);
    CHECK_EQ(get(b, CARD, PCI_COMMAND, 2), PCI_COMMAND_IO | memory_only);
    CHECK_EQ(get(b, CARD, PCI_INTERRUPT_LINE, 1), 11);
    bus_write(&b->port, 0xc004, 77, 4);
    CHECK_EQ(bus_read(&b->mmio, 0xc0007ffc, 4), 77);
    put(b, CARD, BAR_64 + 4, 1, 4);
    CHECK_EQ(bus_read(&b->mmio, 0xc0007ffc, 4), ALL_ONES);
    CHECK_EQ(bus_read(&b->mmio, 0x1c0007ffc, 4), 77);
    put(b, CARD, PCI_COMMAND, memory_only, 2);
    CHECK_EQ(bus_read(&b->port, 0xc004, 4), ALL_ONES);
    put(b, CARD, BAR_32, ECAM, 4); /* on top of ECAM: stays unmapped */
    CHECK_EQ(ecam(b, HOST, PCI_VENDOR_ID), 0x29c08086);
    free(b);
}

static void test_interrupts(void)
{
    TEST("INTx reaches the I/O APIC, and the 8259 where routed");
    struct bench *b = assigned_create();
    pci_intx_set(&b->card, true);
    CHECK(b->gsi[CARD_GSI].level);
    CHECK_EQ(get(b, CARD, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
    put(b, LPC, CARD_ROUTE, 11, 1);
    CHECK(b->isa[11].level);
    put(b, LPC, CARD_ROUTE, 2, 1);
    CHECK(!b->isa[11].level && !b->isa[2].level);
    put(b, CARD, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    CHECK(!b->gsi[CARD_GSI].level);
    put(b, CARD, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    CHECK(b->gsi[CARD_GSI].level);
    pci_intx_set(&b->card, false);
    CHECK(!b->gsi[CARD_GSI].level);
    free(b);

    TEST("MSI");
    b = assigned_create();
    CHECK(!pci_msi_send(&b->card));
    CHECK_EQ(get(b, CARD, PCI_CAPABILITIES, 1), MSI_CAP);
    CHECK_EQ(get(b, CARD, MSI_CAP, 4), 0x00800000 | PCI_CAP_MSI);
    put(b, CARD, MSI_ADDRESS, 0xfee01003, 4);
    put(b, CARD, MSI_DATA, 0x4041, 2);
    put(b, CARD, MSI_CONTROL, MSI_ENABLE, 2);
    CHECK(pci_msi_send(&b->card));
    CHECK(b->msi_address == 0xfee01000 && b->msi_data == 0x4041);
    free(b);
}

static void test_state(void)
{
    TEST("saved, reset, and loaded");
    struct bench *b = assigned_create();
    bus_write(&b->port, 0xc004, 77, 4);
    put(b, CARD, BAR_64 + 4, 1, 4);
    put(b, LPC, CARD_ROUTE, 11, 1);
    pci_intx_set(&b->card, true);
    size_t size;
    struct state *saving = state_save_begin();
    pci_bus_device.state(&b->pci, saving, "pci");
    ich9_device.state(&b->ich, saving, "ich9");
    const void *bytes = state_bytes(saving, &size);
    pci_bus_device.reset(&b->pci);
    ich9_device.reset(&b->ich);
    CHECK_EQ(get(b, CARD, BAR_64, 4), 4);
    CHECK_EQ(get(b, LPC, CARD_ROUTE, 1), 0x80);
    CHECK_EQ(bus_read(&b->mmio, 0x1c0007ffc, 4), ALL_ONES);
    CHECK(!b->gsi[CARD_GSI].level && !b->isa[11].level);
    struct state *loading = state_load_begin(bytes, size);
    pci_bus_device.state(&b->pci, loading, "pci");
    ich9_device.state(&b->ich, loading, "ich9");
    CHECK_EQ(state_error(loading), 0);
    CHECK_EQ(bus_read(&b->mmio, 0x1c0007ffc, 4), 77);
    CHECK(b->gsi[CARD_GSI].level && b->isa[11].level);
    state_free(saving);
    state_free(loading);
    free(b);
}

static void test_reset_ports(void)
{
    TEST("reset ports");
    struct bench *b = bench_create();
    bus_write(&b->port, RESET_CONTROL, RESET_CONTROL_SYS_RST, 1);
    CHECK_EQ(b->resets, 0);
    bus_write(&b->port, RESET_CONTROL, RESET_CONTROL_HARD, 1);
    CHECK_EQ(b->resets, 1);
    CHECK_EQ(bus_read(&b->port, RESET_CONTROL, 1), RESET_CONTROL_HARD);
    bus_write(&b->port, PORT92, 0, 1);
    CHECK_EQ(b->a20_changes, 1);
    bus_write(&b->port, PORT92, RESET_PORT92_A20 | RESET_PORT92_INIT, 1);
    CHECK(b->a20_changes == 2 && b->resets == 1 && b->inits == 1);

    TEST("which of them reset the machine, and which the CPUs");
    for (u8 value = 0; value < 16; value++) {
        bus_write(&b->port, RESET_CONTROL, 0, 1);
        b->resets = b->inits = 0;
        bus_write(&b->port, RESET_CONTROL, value, 1);
        bool asked = value & RESET_CONTROL_RST_CPU, hard = value & RESET_CONTROL_SYS_RST;
        CHECK(b->resets == (asked && hard) && b->inits == (asked && !hard));
    }
    bus_write(&b->port, RESET_CONTROL, 0, 1);
    bus_write(&b->port, RESET_CONTROL, RESET_CONTROL_HARD, 1);

    TEST("their registers are saved and loaded");
    CHECK_EQ(state_pass(&reset_device, &b->reset, &b->reset), 0);
    CHECK_EQ(bus_read(&b->port, RESET_CONTROL, 1), RESET_CONTROL_HARD);
    CHECK_EQ(bus_read(&b->port, PORT92, 1), RESET_PORT92_A20 | RESET_PORT92_INIT);
    free(b);
}

int main(void)
{
    test_configuration();
    test_windows();
    test_interrupts();
    test_state();
    test_reset_ports();
    return TEST_END();
}
