/*
 * PCI configuration space and what devices share. Called under the machine lock.
 *
 * Every write goes through the writable and write-1-clears masks of the device, so BAR sizing needs no special case:
 * the low address bits of a BAR are simply not writable. After a write that touches the command register or a BAR,
 * windows are moved on the buses. A BAR that would overlap something else, or that reads as all ones in mid-sizing,
 * stays unmapped. Source: PCI Local Bus Specification 3.0, "Configuration Space"; PCI Firmware Specification for ECAM.
 */
#include "dev/pci.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* CONFIG_ADDRESS, the first of two 32-bit registers at CF8h; CONFIG_DATA is the second. */
#define ADDRESS_ENABLE BIT(31)
#define ADDRESS_BUS_SHIFT 16
#define ADDRESS_DEVFN_SHIFT 8
#define ADDRESS_REGISTER 0xfcu
#define ADDRESS_DEFINED (ADDRESS_ENABLE | 0xffffu << ADDRESS_DEVFN_SHIFT | ADDRESS_REGISTER)
#define DATA_AT 4          /* offset of CONFIG_DATA in the window */
#define RESET_CONTROL_AT 1 /* the reset control register, a byte in the middle of CONFIG_ADDRESS */

/* An address within ECAM. */
#define ECAM_BUS_SHIFT 20
#define ECAM_DEVFN_SHIFT 12

#define BAR_SIZE 4
#define BAR_IO BIT(0)
#define BAR_IO_FLAGS 3u
#define BAR_MEM64 BIT(2)
#define BAR_MEM_FLAGS 15u
#define IO_END 0x10000u
#define MEM32_END BIT64(32)
#define MEM64_END BIT64(52)

/* Capabilities fill the configuration space of conventional PCI behind the header. */
#define CAP_FIRST 0x40
#define CAP_END 0xfc
#define CAP_NEXT 1

/* The MSI capability with a 64-bit address. */
#define MSI_CONTROL 2
#define MSI_ENABLE BIT(0)
#define MSI_64BIT BIT(7)
#define MSI_ADDRESS 4
#define MSI_ADDRESS_HIGH 8
#define MSI_DATA 12
#define MSI_SIZE 14

static void bar_unmap(struct pci_device *d, struct pci_bar *b)
{
    if (b->is_mapped)
        bus_remove(b->kind == PCI_BAR_IO ? d->bus->port : d->bus->mmio, b->mapped);
    b->is_mapped = false;
}

/* Returns the address that a BAR is programmed to, or 0 if it decodes nothing. */
static u64 bar_address(const struct pci_device *d, unsigned i)
{
    const struct pci_bar *b = &d->bar[i];
    u32 low = pci_config_get(d, PCI_BAR0 + BAR_SIZE * i, 4);
    u32 command = pci_config_get(d, PCI_COMMAND, 2);
    u64 address, limit = MEM32_END;
    if (b->kind == PCI_BAR_IO) {
        if (!(command & PCI_COMMAND_IO))
            return 0;
        address = low & ~BAR_IO_FLAGS;
        limit = IO_END;
    } else {
        if (!(command & PCI_COMMAND_MEMORY))
            return 0;
        address = low & ~BAR_MEM_FLAGS;
        if (b->kind == PCI_BAR_MEM64) {
            address |= (u64)pci_config_get(d, PCI_BAR0 + BAR_SIZE * (i + 1), 4) << 32;
            limit = MEM64_END;
        }
    }
    return address >= limit || b->size >= limit - address ? 0 : address;
}

static void bars_remap(struct pci_device *d)
{
    for (unsigned i = 0; i < PCI_BARS; i++) {
        struct pci_bar *b = &d->bar[i];
        if (b->kind == PCI_BAR_NONE)
            continue;
        u64 address = bar_address(d, i);
        if (b->is_mapped && b->mapped == address)
            continue;
        bar_unmap(d, b);
        if (!address)
            continue;
        b->mapped = address;
        b->is_mapped =
            bus_add(b->kind == PCI_BAR_IO ? d->bus->port : d->bus->mmio, address, b->size, b->ops, b->dev) == 0;
    }
}

static void intx_update(struct pci_device *d)
{
    bool level = d->intx && !(pci_config_get(d, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE);
    u8 pin = d->config[PCI_INTERRUPT_PIN];
    if (level == d->intx_wired || !pin)
        return;
    d->intx_wired = level;
    unsigned pirq = ((d->devfn >> 3) + pin - 1u) & 3;
    u8 *count = &d->bus->pirq_count[pirq];
    *count = (u8)(level ? *count + 1 : *count - 1);
    irq_set(&d->bus->pirq[pirq], *count != 0);
}

void pci_intx_set(struct pci_device *d, bool level)
{
    d->intx = level;
    u32 status = pci_config_get(d, PCI_STATUS, 2) & ~PCI_STATUS_INTERRUPT;
    pci_config_set(d, PCI_STATUS, status | (level ? PCI_STATUS_INTERRUPT : 0), 2);
    intx_update(d);
}

u32 pci_config_read(struct pci_bus *pci, u8 devfn, unsigned offset, unsigned size)
{
    const struct pci_device *d = pci->device[devfn];
    if (!d || offset + size > PCI_CONFIG_SIZE)
        return 0xffffffffu >> (32 - size * 8);
    return pci_config_get(d, offset, size);
}

void pci_config_write(struct pci_bus *pci, u8 devfn, unsigned offset, u32 value, unsigned size)
{
    struct pci_device *d = pci->device[devfn];
    if (!d || offset + size > PCI_CONFIG_SIZE)
        return;
    for (unsigned i = 0; i < size; i++) {
        u8 v = (u8)(value >> (i * 8)), *c = &d->config[offset + i];
        *c = (u8)((*c & ~d->writable[offset + i]) | (v & d->writable[offset + i]));
        *c &= (u8) ~(v & d->w1c[offset + i]);
    }
    if (offset < PCI_COMMAND + 2 && offset + size > PCI_COMMAND)
        intx_update(d);
    if (offset < PCI_BAR0 + BAR_SIZE * PCI_BARS && offset + size > PCI_COMMAND)
        bars_remap(d);
    if (d->config_written)
        d->config_written(d->opaque, offset, size);
}

/* Does CONFIG_ADDRESS name a register of bus 0? *devfn and *at say which. `offset` is that of the access to the ports.
 */
static bool config_address(const struct pci_bus *pci, u64 offset, u8 *devfn, unsigned *at)
{
    *devfn = (u8)(pci->address >> ADDRESS_DEVFN_SHIFT);
    *at = (pci->address & ADDRESS_REGISTER) + (unsigned)(offset - DATA_AT);
    return pci->address & ADDRESS_ENABLE && !(u8)(pci->address >> ADDRESS_BUS_SHIFT);
}

static u64 config_port_read(void *dev, u64 offset, unsigned size)
{
    struct pci_bus *pci = dev;
    u8 devfn;
    unsigned at;
    if (offset >= DATA_AT)
        return config_address(pci, offset, &devfn, &at) ? pci_config_read(pci, devfn, at, size) : ~0ull;
    if (size == 4)
        return pci->address;
    if (offset == RESET_CONTROL_AT && size == 1 && pci->reset_ops)
        return pci->reset_ops->read(pci->reset_dev, 0, 1);
    return ~0ull;
}

/* Mechanism #1: only 32-bit accesses to the address register are its own. */
static void config_port_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct pci_bus *pci = dev;
    u8 devfn;
    unsigned at;
    if (offset >= DATA_AT) {
        if (config_address(pci, offset, &devfn, &at))
            pci_config_write(pci, devfn, at, (u32)value, size);
    } else if (size == 4) {
        pci->address = (u32)value & ADDRESS_DEFINED;
    } else if (offset == RESET_CONTROL_AT && size == 1 && pci->reset_ops) {
        pci->reset_ops->write(pci->reset_dev, 0, value, 1);
    }
}

static u64 ecam_read(void *dev, u64 offset, unsigned size)
{
    if (offset >> ECAM_BUS_SHIFT)
        return ~0ull;
    return pci_config_read(dev, (u8)(offset >> ECAM_DEVFN_SHIFT), (unsigned)offset % PCI_CONFIG_SIZE, size);
}

static void ecam_write(void *dev, u64 offset, u64 value, unsigned size)
{
    if (!(offset >> ECAM_BUS_SHIFT))
        pci_config_write(dev, (u8)(offset >> ECAM_DEVFN_SHIFT), (unsigned)offset % PCI_CONFIG_SIZE, (u32)value, size);
}

const struct bus_ops pci_config_ops = {config_port_read, config_port_write, 1, 4};
const struct bus_ops pci_ecam_ops = {ecam_read, ecam_write, 1, 4};

void pci_bus_init(struct pci_bus *pci, struct bus *port, struct bus *mmio)
{
    *pci = (struct pci_bus){.port = port, .mmio = mmio};
}

void pci_device_init(struct pci_device *d, u16 vendor, u16 device, u32 class, u8 revision)
{
    static const u16 command = PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY |
                               PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE;
    static const u16 errors = PCI_STATUS_ERRORS;
    *d = (struct pci_device){.cap_end = CAP_FIRST};
    pci_config_set(d, PCI_VENDOR_ID, vendor, 2);
    pci_config_set(d, PCI_DEVICE_ID, device, 2);
    pci_config_set(d, PCI_CLASS_PROG, class, 3);
    d->config[PCI_REVISION] = revision;
    memcpy(d->writable + PCI_COMMAND, &command, sizeof(command));
    memcpy(d->w1c + PCI_STATUS, &errors, sizeof(errors));
    d->writable[PCI_CACHE_LINE_SIZE] = 0xff;
    d->writable[PCI_INTERRUPT_LINE] = 0xff;
}

void pci_subsystem_set(struct pci_device *d, u16 vendor, u16 device)
{
    pci_config_set(d, PCI_SUBSYSTEM_VENDOR, vendor, 2);
    pci_config_set(d, PCI_SUBSYSTEM, device, 2);
}

void pci_pin_set(struct pci_device *d, u8 pin)
{
    d->config[PCI_INTERRUPT_PIN] = pin;
}

void pci_bar_add(struct pci_device *d, unsigned index, enum pci_bar_kind kind, u64 size, const struct bus_ops *ops,
                 void *dev)
{
    d->bar[index] = (struct pci_bar){.kind = kind, .size = size, .ops = ops, .dev = dev};
    unsigned at = PCI_BAR0 + BAR_SIZE * index;
    u32 low = kind == PCI_BAR_IO ? BAR_IO : kind == PCI_BAR_MEM64 ? BAR_MEM64 : 0;
    pci_config_set(d, at, low, 4);
    u64 mask = ~(size - 1);
    memcpy(d->writable + at, &mask, kind == PCI_BAR_MEM64 ? 2 * BAR_SIZE : BAR_SIZE);
}

u8 pci_capability_add(struct pci_device *d, u8 id, u8 size)
{
    unsigned at = d->cap_end, end = (at + size + 3u) & ~3u;
    if (end > CAP_END)
        return 0;
    d->config[at] = id;
    d->config[at + CAP_NEXT] = d->config[PCI_CAPABILITIES];
    d->config[PCI_CAPABILITIES] = (u8)at;
    d->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
    d->cap_end = (u8)end;
    return (u8)at;
}

void pci_msi_add(struct pci_device *d)
{
    u8 at = pci_capability_add(d, PCI_CAP_MSI, MSI_SIZE);
    if (!at)
        return;
    d->msi_cap = at;
    d->config[at + MSI_CONTROL] = MSI_64BIT;
    d->writable[at + MSI_CONTROL] = MSI_ENABLE;
    memset(d->writable + at + MSI_ADDRESS, 0xff, MSI_SIZE - MSI_ADDRESS);
    d->writable[at + MSI_ADDRESS] = 0xfc; /* a multiple of 4 */
}

bool pci_msi_send(struct pci_device *d)
{
    unsigned at = d->msi_cap;
    if (!at || !(d->config[at + MSI_CONTROL] & MSI_ENABLE) || !d->bus->msi)
        return false;
    if (!(d->config[PCI_COMMAND] & PCI_COMMAND_MASTER))
        return true; /* enabled, but the device may not write */
    u64 address = pci_config_get(d, at + MSI_ADDRESS, 4) | (u64)pci_config_get(d, at + MSI_ADDRESS_HIGH, 4) << 32;
    d->bus->msi(d->bus->msi_opaque, address, pci_config_get(d, at + MSI_DATA, 2));
    return true;
}

int pci_attach(struct pci_bus *pci, struct pci_device *d, u8 devfn)
{
    if (pci->device[devfn])
        return -EEXIST;
    pci->device[devfn] = d;
    d->bus = pci;
    d->devfn = devfn;
    memcpy(d->initial, d->config, sizeof(d->config));
    return 0;
}

void pci_assign(struct pci_bus *pci, u64 mem_start, u64 mem_end, u16 io_start, u16 io_end, const u8 pirq_irq[4])
{
    u64 mem = mem_start, io = io_start;
    for (unsigned devfn = 0; devfn < ARRAY_LEN(pci->device); devfn++) {
        struct pci_device *d = pci->device[devfn];
        if (!d)
            continue;
        u32 command = PCI_COMMAND_MASTER;
        for (unsigned i = 0; i < PCI_BARS; i++) {
            const struct pci_bar *b = &d->bar[i];
            if (b->kind == PCI_BAR_NONE)
                continue;
            bool is_io = b->kind == PCI_BAR_IO;
            u64 *next = is_io ? &io : &mem, end = is_io ? io_end : mem_end;
            u64 address = align_up(*next, b->size);
            if (address + b->size > end)
                continue;
            *next = address + b->size;
            pci_config_write(pci, (u8)devfn, PCI_BAR0 + BAR_SIZE * i, (u32)address, 4);
            if (b->kind == PCI_BAR_MEM64)
                pci_config_write(pci, (u8)devfn, PCI_BAR0 + BAR_SIZE * (i + 1), (u32)(address >> 32), 4);
            command |= is_io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
        }
        u8 pin = d->config[PCI_INTERRUPT_PIN];
        if (pin)
            pci_config_write(pci, (u8)devfn, PCI_INTERRUPT_LINE, pirq_irq[((devfn >> 3) + pin - 1u) & 3], 1);
        pci_config_write(pci, (u8)devfn, PCI_COMMAND, command, 2);
    }
}

static void pci_bus_reset(void *dev)
{
    struct pci_bus *pci = dev;
    pci->address = 0;
    for (unsigned i = 0; i < ARRAY_LEN(pci->device); i++) {
        struct pci_device *d = pci->device[i];
        if (!d)
            continue;
        memcpy(d->config, d->initial, sizeof(d->config));
        bars_remap(d);
        pci_intx_set(d, false);
    }
}

static const struct state_field bus_fields[] = {
    STATE_FIELD("address", u32, struct pci_bus, address),
};
static const struct state_layout bus_layout = STATE_LAYOUT(1, bus_fields);

struct saved_function {
    u8 config[PCI_CONFIG_SIZE];
    bool intx;
};
static const struct state_field function_fields[] = {
    STATE_FIELD("config", u8[4096], struct saved_function, config),
    STATE_FIELD("intx", bool, struct saved_function, intx),
};
static const struct state_layout function_layout = STATE_LAYOUT(1, function_fields);

/* Only what the guest or the device may change is taken from the stream. */
static void function_load(struct pci_device *d, const struct saved_function *saved)
{
    for (unsigned b = 0; b < PCI_CONFIG_SIZE; b++) {
        u8 mask = d->writable[b] | d->w1c[b];
        d->config[b] = (u8)((d->config[b] & ~mask) | (saved->config[b] & mask));
    }
    bars_remap(d);
    pci_intx_set(d, saved->intx);
}

static void pci_bus_state(void *dev, struct state *s, const char *name)
{
    struct pci_bus *pci = dev;
    state_section(s, name, NULL, &bus_layout, pci);
    for (unsigned i = 0; i < ARRAY_LEN(pci->device); i++) {
        struct pci_device *d = pci->device[i];
        if (!d)
            continue;
        char part[8];
        snprintf(part, sizeof(part), "%02x.%x", i >> 3, i & 7);
        struct saved_function saved = {.intx = d->intx};
        memcpy(saved.config, d->config, sizeof(saved.config));
        state_section(s, name, part, &function_layout, &saved);
        if (!state_saving(s))
            function_load(d, &saved);
    }
}

const struct device_ops pci_bus_device = {
    .size = sizeof(struct pci_bus),
    .reset = pci_bus_reset,
    .state = pci_bus_state,
};
