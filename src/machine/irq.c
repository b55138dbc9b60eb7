/*
 * Interrupt lines from devices to controllers, under the machine lock.
 */
#include "machine/irq.h"

#include <string.h>

static void intr(void *opaque, unsigned line, bool level)
{
    struct pc_irq *irq = opaque;
    irq->accel->intr_line(irq->vm, level);
}

void pc_irq_msi(void *opaque, u64 address, u32 data)
{
    struct pc_irq *irq = opaque;
    irq->accel->msi(irq->vm, address, data);
}

void pc_irq_init(struct pc_irq *irq, const struct accel_ops *accel, struct accel_vm *vm)
{
    memset(irq, 0, sizeof(*irq));
    irq->accel = accel;
    irq->vm = vm;
    for (u8 i = 0; i < IRQ_SOURCES; i++)
        irq->source[i] = (struct pc_irq_source){irq, (u8)BIT(i)};
    if (accel->has_irqchip)
        return;
    i8259_init(&irq->pic, &(struct irq){intr, irq, 0});
    ioapic_init(&irq->ioapic, 0, pc_irq_msi, irq);
}

void pc_irq_reset(struct pc_irq *irq)
{
    memset(irq->pic_driven, 0, sizeof(irq->pic_driven));
    memset(irq->ioapic_driven, 0, sizeof(irq->ioapic_driven));
    if (irq->accel->has_irqchip)
        return;
    i8259_reset(&irq->pic);
    ioapic_reset(&irq->ioapic);
}

/* The level of an input after one source changed. */
static bool drive(u8 *driven, u8 bit, bool level)
{
    *driven = level ? *driven | bit : *driven & (u8)~bit;
    return *driven;
}

void pc_irq_8259(void *opaque, unsigned line, bool level)
{
    const struct pc_irq_source *s = opaque;
    struct pc_irq *irq = s->irq;
    if (line >= ARRAY_LEN(irq->pic_driven))
        return;
    bool on = drive(&irq->pic_driven[line], s->bit, level);
    if (irq->accel->has_irqchip)
        irq->accel->irq_line(irq->vm, line, on);
    else
        i8259_set(&irq->pic, line, on);
}

void pc_irq_gsi(void *opaque, unsigned line, bool level)
{
    const struct pc_irq_source *s = opaque;
    struct pc_irq *irq = s->irq;
    if (line >= IOAPIC_PINS)
        return;
    bool on = drive(&irq->ioapic_driven[line], s->bit, level);
    if (irq->accel->has_irqchip)
        irq->accel->irq_line(irq->vm, line, on);
    else
        ioapic_set(&irq->ioapic, line, on);
}

void pc_irq_isa(void *opaque, unsigned line, bool level)
{
    const struct pc_irq_source *s = opaque;
    pc_irq_8259(opaque, line, level);
    if (!s->irq->accel->has_irqchip)
        pc_irq_gsi(opaque, line == 0 ? 2 : line, level);
}

void pc_irq_any(void *opaque, unsigned line, bool level)
{
    if (line < 16)
        pc_irq_isa(opaque, line, level);
    else
        pc_irq_gsi(opaque, line, level);
}
