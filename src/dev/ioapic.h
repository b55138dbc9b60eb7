/*
 * I/O APIC with 24 inputs (82093AA registers, version 0x20: with the EOI register).
 *
 * Window (MMIO): 0xfec00000, 4096 bytes: ioapic_ops
 */
#ifndef DEV_IOAPIC_H
#define DEV_IOAPIC_H

#include "bus/bus.h"
#include "bus/device.h"

#define IOAPIC_PINS 24

/* The registers in memory, and those that the first selects for the second. */
#define IOAPIC_IOREGSEL 0x00
#define IOAPIC_IOWIN 0x10
#define IOAPIC_EOI 0x40
enum { IOAPIC_ID = 0, IOAPIC_VERSION = 1, IOAPIC_ARBITRATION = 2, IOAPIC_REDIRECTION = 0x10 };
/* Bits of an entry of the redirection table, which takes two registers, the low half first. The vector is below. */
#define IOAPIC_DELIVERY_MODE (7u << 8)
#define IOAPIC_LOWEST_PRIORITY (1u << 8)
#define IOAPIC_LOGICAL BIT64(11)
#define IOAPIC_ACTIVE_LOW BIT64(13)
#define IOAPIC_REMOTE_IRR BIT64(14)
#define IOAPIC_LEVEL BIT64(15)
#define IOAPIC_MASKED BIT64(16)
#define IOAPIC_DESTINATION_SHIFT 56
/* All bits that an entry has. */
#define IOAPIC_ENTRY_BITS                                                                                              \
    (0xffull << IOAPIC_DESTINATION_SHIFT | IOAPIC_MASKED | IOAPIC_LEVEL | IOAPIC_REMOTE_IRR | IOAPIC_ACTIVE_LOW |      \
     IOAPIC_LOGICAL | IOAPIC_DELIVERY_MODE | 0xff)

struct ioapic {
    u64 entry[IOAPIC_PINS]; /* redirection table */
    u32 line;               /* input levels */
    u8 select, id;
    /* Sends an interrupt message in MSI form: address 0xfeexxxxx with destination and modes, data with vector, delivery
     * mode (ExtINT, NMI, INIT, SMI included), level and trigger. This is what accel_ops.msi takes. Returns what cpu_msi
     * returns; only callers of ioapic_drive look at it. */
    int (*msi)(void *opaque, u64 address, u32 data);
    /* NULL, or: the interrupt of this level-triggered input has ended. May drive lines. */
    void (*ended)(void *opaque, unsigned line);
    void *opaque;
};

extern const struct bus_ops ioapic_ops;
extern const struct device_ops ioapic_device;

void ioapic_init(struct ioapic *io, u8 id, int (*msi)(void *opaque, u64 address, u32 data), void *opaque);
/* Drives input lines 0 to 23. Has the type of struct irq.set; `opaque` is the struct ioapic. */
void ioapic_set(void *opaque, unsigned line, bool level);
/* Does the same. Returns what `msi` returned; -1 if the input is masked or in service; 0 if the level is not new. */
int ioapic_drive(struct ioapic *io, unsigned line, bool level);
/* Fields were set: delivers the levels that may be delivered now. */
void ioapic_changed(struct ioapic *io);
/* A local APIC ended a level-triggered interrupt with this vector. */
void ioapic_eoi(struct ioapic *io, u8 vector);

#endif
