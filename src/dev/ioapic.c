/*
 * I/O APIC. Called under the machine lock: vCPU threads for registers and EOI, devices for input lines. Interrupt
 * messages leave through a callback in the form of an MSI write, which can say all that a redirection entry says.
 *
 * Edges on a masked input are ignored; a level that is asserted when its entry is unmasked, or ended by an EOI, is
 * delivered. Switching an entry to edge-triggered clears its Remote IRR: systems that have no EOI register rely on it.
 * Source: Intel 82093AA data sheet; ICH9 data sheet "APIC" for the EOI register.
 */
#include "dev/ioapic.h"

#include "x86/apic.h"

#define ENTRY_DELIVERY 0x7ffu /* vector and delivery mode: the same bits in the data of an MSI */
#define ENTRY_WRITABLE (IOAPIC_ENTRY_BITS & ~IOAPIC_REMOTE_IRR)
#define VERSION (0x20u | (IOAPIC_PINS - 1) << 16)
#define ID_SHIFT 24
#define ID_MAX 15u

static int pin_deliver(struct ioapic *io, unsigned pin)
{
    u64 e = io->entry[pin];
    if (e & IOAPIC_LEVEL)
        io->entry[pin] |= IOAPIC_REMOTE_IRR;
    u64 address = MSI_BASE | (e >> IOAPIC_DESTINATION_SHIFT) << MSI_DESTINATION_SHIFT;
    if (e & IOAPIC_LOGICAL)
        address |= MSI_LOGICAL;
    if ((e & IOAPIC_DELIVERY_MODE) == IOAPIC_LOWEST_PRIORITY)
        address |= MSI_REDIRECTION_HINT;
    u32 data = (u32)(e & ENTRY_DELIVERY) | MSI_ASSERT | (e & IOAPIC_LEVEL ? MSI_LEVEL : 0);
    return io->msi(io->opaque, address, data);
}

/* Delivers a level-triggered pin if it is asserted and may be. */
static int pin_level(struct ioapic *io, unsigned pin)
{
    u64 e = io->entry[pin];
    if (io->line >> pin & 1 && e & IOAPIC_LEVEL && !(e & (IOAPIC_MASKED | IOAPIC_REMOTE_IRR)))
        return pin_deliver(io, pin);
    return -1;
}

int ioapic_drive(struct ioapic *io, unsigned line, bool level)
{
    if (line >= IOAPIC_PINS)
        return -1;
    u32 bit = BIT(line);
    bool rises = level && !(io->line & bit);
    io->line = level ? io->line | bit : io->line & ~bit;
    if (!level)
        return 1;
    if (io->entry[line] & IOAPIC_LEVEL)
        return pin_level(io, line);
    if (io->entry[line] & IOAPIC_MASKED)
        return -1;
    return rises ? pin_deliver(io, line) : 0;
}

void ioapic_set(void *opaque, unsigned line, bool level)
{
    ioapic_drive(opaque, line, level);
}

void ioapic_changed(struct ioapic *io)
{
    for (unsigned i = 0; i < IOAPIC_PINS; i++)
        pin_level(io, i);
}

void ioapic_eoi(struct ioapic *io, u8 vector)
{
    for (unsigned i = 0; i < IOAPIC_PINS; i++) {
        u64 e = io->entry[i];
        if ((u8)e == vector && e & IOAPIC_LEVEL && e & IOAPIC_REMOTE_IRR) {
            if (io->ended)
                io->ended(io->opaque, i);
            io->entry[i] &= ~IOAPIC_REMOTE_IRR;
            pin_level(io, i);
        }
    }
}

static void entry_write(struct ioapic *io, unsigned pin, u64 value, u64 touched)
{
    u64 *e = &io->entry[pin];
    touched &= ENTRY_WRITABLE;
    *e = (*e & ~touched) | (value & touched);
    if (!(*e & IOAPIC_LEVEL))
        *e &= ~IOAPIC_REMOTE_IRR;
    pin_level(io, pin);
}

static u32 register_read(const struct ioapic *io)
{
    unsigned half = io->select - IOAPIC_REDIRECTION;
    if (io->select == IOAPIC_ID || io->select == IOAPIC_ARBITRATION)
        return (u32)io->id << ID_SHIFT;
    if (io->select == IOAPIC_VERSION)
        return VERSION;
    return half < 2 * IOAPIC_PINS ? (u32)(io->entry[half / 2] >> half % 2 * 32) : 0;
}

static void register_write(struct ioapic *io, u32 value)
{
    unsigned half = io->select - IOAPIC_REDIRECTION;
    if (io->select == IOAPIC_ID)
        io->id = value >> ID_SHIFT & ID_MAX;
    else if (half < 2 * IOAPIC_PINS)
        entry_write(io, half / 2, (u64)value << half % 2 * 32, 0xffffffffull << half % 2 * 32);
}

static u64 ioapic_read(void *dev, u64 offset, unsigned size)
{
    const struct ioapic *io = dev;
    switch (offset) {
    case IOAPIC_IOREGSEL: return io->select;
    case IOAPIC_IOWIN: return register_read(io);
    default: return 0;
    }
}

static void ioapic_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct ioapic *io = dev;
    switch (offset) {
    case IOAPIC_IOREGSEL: io->select = (u8)value; break;
    case IOAPIC_IOWIN: register_write(io, (u32)value); break;
    case IOAPIC_EOI: ioapic_eoi(io, (u8)value); break;
    }
}

const struct bus_ops ioapic_ops = {ioapic_read, ioapic_write, 4, 4};

static void ioapic_reset(void *dev)
{
    struct ioapic *io = dev;
    for (unsigned i = 0; i < IOAPIC_PINS; i++)
        io->entry[i] = IOAPIC_MASKED;
    io->select = 0;
}

void ioapic_init(struct ioapic *io, u8 id, int (*msi)(void *opaque, u64 address, u32 data), void *opaque)
{
    *io = (struct ioapic){.id = id, .msi = msi, .opaque = opaque};
    ioapic_reset(io);
}

static const struct state_field fields[] = {
    STATE_FIELD("entry", u64[24], struct ioapic, entry),
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
