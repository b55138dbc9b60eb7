/*
 * The controllers, their windows and their wires. Everything happens under one lock, which is the machine lock of these
 * devices: it is held for one access or one line, and nobody who holds it waits.
 */
#include "kvmapi/irqchip.h"

#include "x86/apic.h"

#include <errno.h>
#include <signal.h>

#define IOAPIC_BASE 0xfec00000u
#define IOAPIC_SIZE 0x100 /* as KVM has it; the rest of the page is the program's */

static void lock(struct irqchip *chip)
{
    pthread_mutex_lock(&chip->lock);
}

static void unlock(struct irqchip *chip)
{
    pthread_mutex_unlock(&chip->lock);
}

/* -- wires, with the lock -- */

/* Returns the level of an input after one source changed. */
static bool drive(u8 *driven, enum gsi_source source, bool level)
{
    u8 bit = (u8)BIT(source);
    *driven = level ? *driven | bit : *driven & (u8)~bit;
    return *driven;
}

static int route_drive(struct irqchip *chip, const struct route *r, enum gsi_source source, bool level)
{
    switch ((enum route_to)r->to) {
    case ROUTE_PIC: return i8259_drive(&chip->pic, r->pin, drive(&chip->pic_driven[r->pin], source, level));
    case ROUTE_IOAPIC: return ioapic_drive(&chip->ioapic, r->pin, drive(&chip->ioapic_driven[r->pin], source, level));
    case ROUTE_SINT: return level ? cpu_hyperv_sint(chip->vm, (u32)r->address, r->data) : -1;
    case ROUTE_MSI: return level ? cpu_msi(chip->vm, r->address, r->data) : -1;
    }
    return -1;
}

int irqchip_drive(struct irqchip *chip, enum gsi_source source, u32 gsi, bool level)
{
    const struct route *route = NULL;
    int taken = -1;
    for (u32 n = routing_find(&chip->routing, gsi, &route); n; n--, route++) {
        int one = route_drive(chip, route, source, level);
        if (one >= 0)
            taken = one + (taken < 0 ? 0 : taken);
    }
    return taken;
}

static void on_intr(void *opaque, unsigned line, bool level)
{
    cpu_intr_line(((struct irqchip *)opaque)->vm, level);
}

static int on_message(void *opaque, u64 address, u32 data)
{
    return cpu_msi(((struct irqchip *)opaque)->vm, address, data);
}

static void ended(struct irqchip *chip, enum route_to to, unsigned pin)
{
    if (!chip->resampling.count)
        return;
    int gsi = routing_gsi(&chip->routing, to, (u8)pin);
    if (gsi >= 0)
        chip->resampling.ended(chip->resampling.opaque, (u32)gsi);
}

static void on_pic_ended(void *opaque, unsigned line)
{
    ended(opaque, ROUTE_PIC, line);
}

static void on_ioapic_ended(void *opaque, unsigned line)
{
    ended(opaque, ROUTE_IOAPIC, line);
}

/* A tick that was lost comes again later, unless i8254_merge says otherwise. */
static void on_tick(void *opaque, unsigned line, bool level)
{
    struct irqchip *chip = opaque;
    if (irqchip_drive(chip, GSI_PIT, 0, level) == 0 && level)
        i8254_not_taken(&chip->pit);
}

/* -- creation -- */

void irqchip_init(struct irqchip *chip, struct vm *vm)
{
    *chip = (struct irqchip){.vm = vm, .ioapic_base = IOAPIC_BASE};
    pthread_mutex_init(&chip->lock, NULL);
    cpu_apics_set(vm, CPU_APICS_CALLER);
}

void irqchip_ids(struct irqchip *chip, bool wide, bool exact)
{
    lock(chip);
    chip->wide_ids |= wide;
    chip->exact_ids |= exact;
    cpu_msi_format(chip->vm, chip->wide_ids, chip->exact_ids);
    unlock(chip);
}

void irqchip_destroy(struct irqchip *chip)
{
    if (chip->has_pit) {
        machine_clock_destroy(&chip->clock);
        i8254_device.destroy(&chip->pit);
    }
    routing_destroy(&chip->routing);
    pthread_mutex_destroy(&chip->lock);
}

int irqchip_create(struct irqchip *chip)
{
    if (irqchip_exists(chip))
        return -EEXIST;
    if (cpu_count(chip->vm))
        return -EINVAL;
    int e = routing_default(&chip->routing);
    if (e)
        return e;
    i8259_init(&chip->pic, &(struct irq){on_intr, chip, 0});
    chip->pic.ended = on_pic_ended;
    chip->pic.ended_opaque = chip;
    ioapic_init(&chip->ioapic, 0, on_message, chip);
    chip->ioapic.ended = on_ioapic_ended;
    cpu_apics_set(chip->vm, CPU_APICS_ENGINE);
    chip->kind = IRQCHIP_FULL;
    chip->has_pics = true;
    return 0;
}

int irqchip_split(struct irqchip *chip, u64 gsis)
{
    if (gsis > GSI_MAX)
        return -EINVAL;
    if (irqchip_exists(chip) || cpu_count(chip->vm))
        return -EEXIST;
    chip->split_gsis = (u32)gsis;
    cpu_apics_set(chip->vm, CPU_APICS_SPLIT);
    chip->kind = IRQCHIP_SPLIT;
    return 0;
}

/* The thread of the clock takes none of the program's signals. */
static int clock_create(struct irqchip *chip)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int e = machine_clock_create(&chip->clock, &chip->lock);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!e)
        machine_clock_hold(&chip->clock, false);
    return e;
}

int irqchip_pit(struct irqchip *chip, bool speaker)
{
    if (chip->has_pit)
        return -EEXIST;
    if (chip->kind != IRQCHIP_FULL)
        return -ENOENT;
    int e = clock_create(chip);
    if (e)
        return e;
    lock(chip);
    i8254_init(&chip->pit, &chip->clock.clock, &(struct irq){on_tick, chip, 0});
    __atomic_store_n(&chip->has_speaker, speaker, __ATOMIC_RELEASE);
    __atomic_store_n(&chip->has_pit, true, __ATOMIC_RELEASE);
    unlock(chip);
    return 0;
}

/* -- GSIs -- */

int irqchip_route(struct irqchip *chip, const struct kvm_irq_routing_entry *entry, u32 entries)
{
    const struct routing_rules rules = {.controllers = chip->kind == IRQCHIP_FULL, .wide = chip->wide_ids};
    u64 vectors[4];
    if (!irqchip_exists(chip))
        return -EINVAL;
    lock(chip);
    int e = routing_set(&chip->routing, &rules, entry, entries);
    routing_level_vectors(&chip->routing, chip->split_gsis, vectors);
    for (unsigned i = 0; i < ARRAY_LEN(vectors); i++)
        __atomic_store_n(&chip->split_vectors[i], vectors[i], __ATOMIC_RELAXED);
    unlock(chip);
    return e;
}

int irqchip_line(struct irqchip *chip, u32 gsi, bool level)
{
    lock(chip);
    int taken = irqchip_drive(chip, GSI_USER, gsi, level);
    unlock(chip);
    return taken;
}

int irqchip_pulse(struct irqchip *chip, u32 gsi)
{
    lock(chip);
    int taken = irqchip_drive(chip, GSI_USER, gsi, true);
    irqchip_drive(chip, GSI_USER, gsi, false);
    unlock(chip);
    return taken;
}

int irqchip_message(struct irqchip *chip, u64 address, u32 data)
{
    return cpu_msi(chip->vm, address, data);
}

/* -- what the guest does -- */

/* The windows of ports, all of whose registers have one byte. */
struct window {
    u16 port, size;
    const struct bus_ops *ops;
    size_t device, there; /* offsets in struct irqchip: of what `ops` takes, and of the flag that it is there */
};
/* clang-format off */
static const struct window windows[] = {
    {0x20,  2, &i8259_ops,         offsetof(struct irqchip, pic.chip[0]), offsetof(struct irqchip, has_pics)},
    {0xa0,  2, &i8259_ops,         offsetof(struct irqchip, pic.chip[1]), offsetof(struct irqchip, has_pics)},
    {0x4d0, 1, &i8259_elcr_ops,    offsetof(struct irqchip, pic.chip[0]), offsetof(struct irqchip, has_pics)},
    {0x4d1, 1, &i8259_elcr_ops,    offsetof(struct irqchip, pic.chip[1]), offsetof(struct irqchip, has_pics)},
    {0x40,  4, &i8254_ops,         offsetof(struct irqchip, pit),         offsetof(struct irqchip, has_pit)},
    {0x61,  1, &i8254_speaker_ops, offsetof(struct irqchip, pit),         offsetof(struct irqchip, has_speaker)},
};
/* clang-format on */

static const struct window *find_window(const struct irqchip *chip, u16 port, unsigned size)
{
    for (const struct window *w = windows; w < windows + ARRAY_LEN(windows); w++) {
        if (port >= w->port && port + size <= w->port + w->size)
            return __atomic_load_n((const bool *)chip + w->there, __ATOMIC_ACQUIRE) ? w : NULL;
    }
    return NULL;
}

bool irqchip_io_read(struct irqchip *chip, u16 port, unsigned size, u32 *value)
{
    const struct window *w = find_window(chip, port, size);
    if (!w)
        return false;
    *value = 0;
    lock(chip);
    for (unsigned i = 0; i < size; i++)
        *value |= (u32)(u8)w->ops->read((char *)chip + w->device, port - w->port + i, 1) << 8 * i;
    unlock(chip);
    return true;
}

bool irqchip_io_write(struct irqchip *chip, u16 port, u32 value, unsigned size)
{
    const struct window *w = find_window(chip, port, size);
    if (!w)
        return false;
    lock(chip);
    for (unsigned i = 0; i < size; i++)
        w->ops->write((char *)chip + w->device, port - w->port + i, (u8)(value >> 8 * i), 1);
    unlock(chip);
    return true;
}

static bool is_ioapic(const struct irqchip *chip, u64 gpa)
{
    return chip->kind == IRQCHIP_FULL && gpa - __atomic_load_n(&chip->ioapic_base, __ATOMIC_RELAXED) < IOAPIC_SIZE;
}

/* Registers are 32 bits wide; a wider access reads zeros beyond. */
bool irqchip_mmio_read(struct irqchip *chip, u64 gpa, unsigned size, u64 *value)
{
    if (!is_ioapic(chip, gpa))
        return false;
    u64 offset = gpa - chip->ioapic_base, register_start = offset & ~3ull;
    lock(chip);
    u64 whole = ioapic_ops.read(&chip->ioapic, register_start, 4);
    unlock(chip);
    *value = whole >> (offset - register_start) * 8;
    return true;
}

bool irqchip_mmio_write(struct irqchip *chip, u64 gpa, u64 value, unsigned size)
{
    if (!is_ioapic(chip, gpa))
        return false;
    u64 offset = gpa - chip->ioapic_base;
    lock(chip);
    if (offset % 4 == 0)
        ioapic_ops.write(&chip->ioapic, offset, (u32)value, 4);
    unlock(chip);
    return true;
}

int irqchip_ack(struct irqchip *chip)
{
    lock(chip);
    int vector = i8259_ack(&chip->pic);
    unlock(chip);
    return vector;
}

bool irqchip_eoi(struct irqchip *chip, u8 vector)
{
    if (chip->kind == IRQCHIP_SPLIT)
        return __atomic_load_n(&chip->split_vectors[vector / 64], __ATOMIC_RELAXED) >> vector % 64 & 1;
    lock(chip);
    ioapic_eoi(&chip->ioapic, vector);
    unlock(chip);
    return false;
}
