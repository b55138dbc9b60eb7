/*
 * Interrupt wiring of the PC. Each controller input is the OR of what drives it, so a level from one source does not
 * disturb another's.
 *
 *   ISA interrupt n    8259 input n, and I/O APIC input n (0: input 2)
 *   GSI 16..23         I/O APIC only: PCI, HPET
 *
 * With an accelerator that has its own interrupt controllers, both are accel->irq_line, which routes the same way.
 */
#ifndef MACHINE_IRQ_H
#define MACHINE_IRQ_H

#include "accel/accel.h"
#include "dev/i8259.h"
#include "dev/ioapic.h"

#define ISA_0_GSI 2 /* the I/O APIC input of ISA interrupt 0 */
#define PC_IRQ_SOURCES 32

/* A source as the opaque of a struct irq. */
struct pc_irq_source {
    struct pc_irq *irq;
    u32 bit;
};

struct pc_irq {
    const struct accel_ops *accel;
    struct accel_vm *vm;
    struct i8259 *pic;     /* set by whoever creates them; NULL when the accelerator has its own */
    struct ioapic *ioapic; /* the same */
    u32 pic_driven[I8259_LINES], ioapic_driven[IOAPIC_PINS]; /* bits of the sources that drive an input high */
    struct pc_irq_source source[PC_IRQ_SOURCES];
};

void pc_irq_init(struct pc_irq *irq, const struct accel_ops *accel, struct accel_vm *vm);
/* Called before the devices' reset, which drives their lines low. */
void pc_irq_reset(struct pc_irq *irq);

/* Callbacks for struct irq; `opaque` is a struct pc_irq_source. */
void pc_irq_isa(void *opaque, unsigned line, bool level);  /* 0..15, both controllers */
void pc_irq_8259(void *opaque, unsigned line, bool level); /* 0..15, 8259 only */
void pc_irq_gsi(void *opaque, unsigned line, bool level);  /* 0..23, I/O APIC only */
void pc_irq_any(void *opaque, unsigned line, bool level);  /* 0..15 as ISA, 16..23 as GSI */

/* The INTR output of the 8259s, as the callback of a struct irq. `opaque` is the struct pc_irq. */
void pc_irq_intr(void *opaque, unsigned line, bool level);
/* Sends a message-signalled interrupt. `opaque` is the struct pc_irq. */
void pc_irq_msi(void *opaque, u64 address, u32 data);

#endif
