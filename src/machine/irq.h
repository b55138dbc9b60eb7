/*
 * Interrupt wiring of the PC. Each controller input is the OR of what drives it, so a level from
 * one source does not disturb another's.
 *
 *   ISA interrupt n    8259 input n, and I/O APIC input n (0: input 2)
 *   GSI 16..23         I/O APIC only: PCI, HPET
 *
 * With an accelerator that has its own interrupt controllers, both are accel->irq_line, which
 * routes the same way.
 */
#ifndef MACHINE_IRQ_H
#define MACHINE_IRQ_H

#include "accel/accel.h"
#include "dev/i8259.h"
#include "dev/ioapic.h"

enum irq_source { IRQ_DEVICE, IRQ_PIRQ, IRQ_HPET, IRQ_TEST, IRQ_SOURCES };

/* A source as the opaque of a struct irq. */
struct pc_irq_source {
    struct pc_irq *irq;
    u8 bit;
};

struct pc_irq {
    const struct accel_ops *accel;
    struct accel_vm *vm;
    struct i8259 pic;     /* unused when the accelerator has its own */
    struct ioapic ioapic; /* the same */
    u8 pic_driven[16], ioapic_driven[IOAPIC_PINS];
    struct pc_irq_source source[IRQ_SOURCES];
};

void pc_irq_init(struct pc_irq *irq, const struct accel_ops *accel, struct accel_vm *vm);
void pc_irq_reset(struct pc_irq *irq);

/* Callbacks for struct irq; `opaque` is a struct pc_irq_source. */
void pc_irq_isa(void *opaque, unsigned line, bool level);  /* 0..15, both controllers */
void pc_irq_8259(void *opaque, unsigned line, bool level); /* 0..15, 8259 only */
void pc_irq_gsi(void *opaque, unsigned line, bool level);  /* 0..23, I/O APIC only */
void pc_irq_any(void *opaque, unsigned line, bool level);  /* 0..15 as ISA, 16..23 as GSI */

/* Sends a message-signalled interrupt. `opaque` is the struct pc_irq. */
void pc_irq_msi(void *opaque, u64 address, u32 data);

#endif
