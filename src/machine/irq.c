/*
 * Interrupt lines from devices to controllers. Called under the machine lock.
 */
#include "machine/irq.h"

#include <string.h>

void pc_irq_intr(void *opaque, unsigned line, bool level)
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
    *irq = (struct pc_irq){.accel = accel, .vm = vm};
    for (u32 i = 0; i < PC_IRQ_SOURCES; i++)
        irq->source[i] = (struct pc_irq_source){irq, BIT(i)};
}

void pc_irq_reset(struct pc_irq *irq)
{
    memset(irq->pic_driven, 0, sizeof(irq->pic_driven));
    memset(irq->ioapic_driven, 0, sizeof(irq->ioapic_driven));
}

/* Returns the level of an input after one source changed. */
static bool drive(u32 *driven, u32 bit, bool level)
{
    *driven = level ? *driven | bit : *driven & ~bit;
    return *driven;
}

void pc_irq_8259(void *opaque, unsigned line, bool level)
{
    const struct pc_irq_source *s = opaque;
    struct pc_irq *irq = s->irq;
    if (line >= I8259_LINES)
        return;
    bool on = drive(&irq->pic_driven[line], s->bit, level);
    if (irq->accel->has_irqchip)
        irq->accel->irq_line(irq->vm, line, on);
    else
        i8259_set(irq->pic, line, on);
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
        ioapic_set(irq->ioapic, line, on);
}

void pc_irq_isa(void *opaque, unsigned line, bool level)
{
    const struct pc_irq_source *s = opaque;
    pc_irq_8259(opaque, line, level);
    if (!s->irq->accel->has_irqchip)
        pc_irq_gsi(opaque, line == 0 ? ISA_0_GSI : line, level);
}

void pc_irq_any(void *opaque, unsigned line, bool level)
{
    if (line < I8259_LINES)
        pc_irq_isa(opaque, line, level);
    else
        pc_irq_gsi(opaque, line, level);
}
