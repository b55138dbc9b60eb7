/*
 * I/O APIC. Called under the machine lock: vCPU threads for registers and EOI, devices for input
 * lines. Interrupt messages leave through a callback in the form of an MSI write, which can say all
 * that a redirection entry says.
 *
 * Edges on a masked input are ignored; a level that is asserted when its entry is unmasked, or
 * ended by an EOI, is delivered. Switching an entry to edge-triggered clears its Remote IRR:
 * systems that have no EOI register rely on it. Source: Intel 82093AA data sheet; ICH9 data sheet
 * "APIC" for the EOI register.
 */
#include "dev/ioapic.h"

#define ENTRY_REMOTE_IRR BIT64(14)
#define ENTRY_LEVEL BIT64(15)
#define ENTRY_MASKED BIT64(16)
#define ENTRY_WRITABLE 0xff0000000001afffull
#define VERSION (0x20u | (IOAPIC_PINS - 1) << 16)

#define MSI_BASE 0xfee00000ull

static void pin_deliver(struct ioapic *io, unsigned pin)
{
    u64 e = io->entry[pin];
    if (e & ENTRY_LEVEL)
        io->entry[pin] |= ENTRY_REMOTE_IRR;
    u64 address = MSI_BASE | (e >> 56) << 12 | (e >> 11 & 1) << 2;
    if ((e >> 8 & 7) == 1)
        address |= BIT(3); /* lowest priority: redirection hint */
    u32 data = (u32)(e & 0x7ff) | BIT(14) | (e & ENTRY_LEVEL ? BIT(15) : 0);
    io->msi(io->opaque, address, data);
}

/* Delivers a level-triggered pin if it is asserted and may be. */
static void pin_level(struct ioapic *io, unsigned pin)
{
    u64 e = io->entry[pin];
    if (io->line >> pin & 1 && e & ENTRY_LEVEL && !(e & (ENTRY_MASKED | ENTRY_REMOTE_IRR)))
        pin_deliver(io, pin);
}

void ioapic_set(void *opaque, unsigned line, bool level)
{
    struct ioapic *io = opaque;
    if (line >= IOAPIC_PINS)
        return;
    u32 bit = BIT(line);
    bool rises = level && !(io->line & bit);
    io->line = level ? io->line | bit : io->line & ~bit;
    if (io->entry[line] & ENTRY_LEVEL)
        pin_level(io, line);
    else if (rises && !(io->entry[line] & ENTRY_MASKED))
        pin_deliver(io, line);
}

void ioapic_eoi(struct ioapic *io, u8 vector)
{
    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        u64 e = io->entry[i];
        if ((u8)e == vector && e & ENTRY_LEVEL && e & ENTRY_REMOTE_IRR) {
            io->entry[i] &= ~ENTRY_REMOTE_IRR;
            pin_level(io, i);
        }
    }
}

static void entry_write(struct ioapic *io, unsigned pin, u64 value, u64 touched)
{
    u64 *e = &io->entry[pin];
    touched &= ENTRY_WRITABLE;
    *e = (*e & ~touched) | (value & touched);
    if (!(*e & ENTRY_LEVEL))
        *e &= ~ENTRY_REMOTE_IRR;
    pin_level(io, pin);
}

static u32 register_read(const struct ioapic *io)
{
    unsigned i = io->select;
    if (i == 0 || i == 2)
        return (u32)io->id << 24;
    if (i == 1)
        return VERSION;
    if (i >= 0x10 && i < 0x10 + 2 * IOAPIC_PINS)
        return (u32)(io->entry[(i - 0x10) / 2] >> (i & 1) * 32);
    return 0;
}

static void register_write(struct ioapic *io, u32 value)
{
    unsigned i = io->select;
    if (i == 0)
        io->id = value >> 24 & 15;
    else if (i >= 0x10 && i < 0x10 + 2 * IOAPIC_PINS)
        entry_write(io, (i - 0x10) / 2, (u64)value << (i & 1) * 32, 0xffffffffull << (i & 1) * 32);
}

static u64 ioapic_read(void *dev, u64 offset, unsigned size)
{
    const struct ioapic *io = dev;
    switch (offset) {
    case 0x00: return io->select;
    case 0x10: return register_read(io);
    default: return 0;
    }
}

static void ioapic_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct ioapic *io = dev;
    switch (offset) {
    case 0x00: io->select = (u8)value; break;
    case 0x10: register_write(io, (u32)value); break;
    case 0x40: ioapic_eoi(io, (u8)value); break;
    }
}

const struct bus_ops ioapic_ops = {ioapic_read, ioapic_write, 4, 4};

static void ioapic_reset(void *dev)
{
    struct ioapic *io = dev;
    for (unsigned i = 0; i < IOAPIC_PINS; i++)
        io->entry[i] = ENTRY_MASKED;
    io->select = 0;
}

void ioapic_init(struct ioapic *io, u8 id, void (*msi)(void *opaque, u64 address, u32 data), void *opaque)
{
    *io = (struct ioapic){.id = id, .msi = msi, .opaque = opaque};
    ioapic_reset(io);
}

static const struct state_field fields[] = {
    STATE_FIELD("entry", u64[IOAPIC_PINS], struct ioapic, entry),
    STATE_FIELD("line", u32, struct ioapic, line),
    STATE_FIELD("select", u8, struct ioapic, select),
    STATE_FIELD("id", u8, struct ioapic, id),
};
static const struct state_layout layout = STATE_LAYOUT(1, fields);

static void ioapic_state(void *dev, struct state *s, const char *name)
{
    state_section(s, name, NULL, &layout, dev);
}

const struct device_ops ioapic_device = {
    .size = sizeof(struct ioapic),
    .reset = ioapic_reset,
    .state = ioapic_state,
};
