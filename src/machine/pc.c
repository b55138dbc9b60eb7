/*
 * The life of a PC, and the way of its vCPUs to its devices (which are in devices.c).
 *
 * One lock serializes all devices: vCPU threads take it for each access, the clock's thread while timers run. Device
 * callbacks therefore never take it, and the events of struct pc_events are given with it held. Order: machine lock,
 * then whatever the accelerator takes inside msi, irq_line and intr_line.
 */
#include "machine/pc.h"

#include "bus/clock.h"
#include "dev/acpi_pm.h"
#include "dev/ferr.h"
#include "dev/ich9.h"
#include "dev/uart16550.h"
#include "machine/acpi.h"
#include "machine/devices.h"
#include "machine/rom.h"
#include "machine/smbios.h"
#include "x86/apic.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* PIRQ routing as firmware leaves it: A and C on ISA 11, B and D on ISA 10. */
static const u8 pirq_irq[ICH9_PIRQS] = {11, 10, 11, 10};
#define PCI_IO_START 0xc000
#define PCI_IO_END 0xff00

struct pc {
    struct pc_config config;
    struct pc_events events;
    struct accel_vm *vm;
    struct layout layout;
    pthread_mutex_t lock;
    struct machine_clock clock;
    struct devices devices;
    u64 accesses; /* of vCPUs to devices */
};

/* -- what the vCPUs call -- */

static u32 io_read(void *opaque, u16 port, unsigned size)
{
    struct pc *pc = opaque;
    pthread_mutex_lock(&pc->lock);
    pc->accesses++;
    u32 value = (u32)bus_read(&pc->devices.port, port, size);
    pthread_mutex_unlock(&pc->lock);
    return value;
}

static void io_write(void *opaque, u16 port, u32 value, unsigned size)
{
    struct pc *pc = opaque;
    pthread_mutex_lock(&pc->lock);
    pc->accesses++;
    bus_write(&pc->devices.port, port, value, size);
    pthread_mutex_unlock(&pc->lock);
}

static u64 mmio_read(void *opaque, gpa_t gpa, unsigned size)
{
    struct pc *pc = opaque;
    pthread_mutex_lock(&pc->lock);
    pc->accesses++;
    u64 value = bus_read(&pc->devices.mmio, gpa.a, size);
    pthread_mutex_unlock(&pc->lock);
    return value;
}

static void mmio_write(void *opaque, gpa_t gpa, u64 value, unsigned size)
{
    struct pc *pc = opaque;
    pthread_mutex_lock(&pc->lock);
    pc->accesses++;
    bus_write(&pc->devices.mmio, gpa.a, value, size);
    pthread_mutex_unlock(&pc->lock);
}

static int pic_ack(void *opaque)
{
    struct pc *pc = opaque;
    pthread_mutex_lock(&pc->lock);
    int vector = i8259_ack(pc->devices.irq.pic);
    pthread_mutex_unlock(&pc->lock);
    return vector;
}

static void eoi(void *opaque, u8 vector)
{
    struct pc *pc = opaque;
    pthread_mutex_lock(&pc->lock);
    ioapic_eoi(pc->devices.irq.ioapic, vector);
    pthread_mutex_unlock(&pc->lock);
}

static void ferr(void *opaque, bool level)
{
    struct pc *pc = opaque;
    pthread_mutex_lock(&pc->lock);
    ferr_set(pc->devices.ferr, level);
    pthread_mutex_unlock(&pc->lock);
}

/* -- creation -- */

static int create_vm(struct pc *pc, struct error *error)
{
    const struct pc_config *c = &pc->config;
    const struct machine machine = {
        .opaque = pc,
        .ram = pc->layout.ram,
        .io_read = io_read,
        .io_write = io_write,
        .mmio_read = mmio_read,
        .mmio_write = mmio_write,
        .pic_ack = pic_ack,
        .eoi = eoi,
        .ferr = ferr,
    };
    return c->accel->create(c->settings, &machine, &pc->vm, error);
}

int pc_create(struct pc **out, const struct pc_config *config, const struct pc_events *events, struct error *error)
{
    *out = NULL;
    struct pc *pc = calloc(1, sizeof(*pc));
    if (!pc)
        return error_memory(error);
    pc->config = *config;
    pc->events = *events;
    pthread_mutex_init(&pc->lock, NULL);
    error_begin(error, 0);
    const struct run_settings *s = config->settings;
    bool file = config->accel == &accel_engine && (s->direct != DIRECT_OFF || s->mapped != MAPPED_OFF);
    int e = layout_create(&pc->layout, s->memory, file, error);
    if (!e && (e = machine_clock_create(&pc->clock, &pc->lock)))
        error_thread(error, e, "the thread of timers");
    if (!e)
        e = create_vm(pc, error);
    if (!e) {
        pc->devices = (struct devices){.config = &pc->config,
                                       .events = &pc->events,
                                       .layout = &pc->layout,
                                       .vm = pc->vm,
                                       .clock = &pc->clock.clock};
        pthread_mutex_lock(&pc->lock);
        e = devices_create(&pc->devices, error);
        pthread_mutex_unlock(&pc->lock);
    }
    if (e) {
        if (!error->code)
            error_set(error, e, "cannot create the machine: %s", strerror(-e));
        pc_destroy(pc);
        return e;
    }
    *out = pc;
    return 0;
}

void pc_destroy(struct pc *pc)
{
    pthread_mutex_lock(&pc->lock);
    devices_destroy(&pc->devices);
    pthread_mutex_unlock(&pc->lock);
    machine_clock_destroy(&pc->clock);
    if (pc->vm)
        pc->config.accel->destroy(pc->vm);
    layout_destroy(&pc->layout);
    pthread_mutex_destroy(&pc->lock);
    free(pc);
}

/* -- power on and reset -- */

/* What firmware leaves behind: PIRQs routed to level-triggered ISA interrupts, and BARs assigned. */
static void firmware_pci(struct devices *all)
{
    u16 level_triggered = 0;
    for (u32 i = 0; i < ICH9_PIRQS; i++) {
        level_triggered |= (u16)BIT(pirq_irq[i]);
        pci_config_write(all->pci, ICH9_LPC_DEVFN, ICH9_PIRQ_ROUTE + i, pirq_irq[i], 1);
    }
    if (!all->config->accel->has_irqchip)
        bus_write(&all->port, PORT_ELCR0, level_triggered, 2);
    pci_assign(all->pci, LAYOUT_HOLE, LAYOUT_ECAM, PCI_IO_START, PCI_IO_END, pirq_irq);
}

/* Loads the kernel into memory, and sets the boot CPU to its entry. */
static int enter_kernel(struct pc *pc, struct boot *boot, struct error *error)
{
    const struct accel_ops *accel = pc->config.accel;
    struct cpu_state start;
    u64 committed;
    const char *bad = "the state";
    if (boot->long_mode && !accel->has_long_mode(pc->vm)) {
        error_set(error, -ENOTSUP, "%s: a kernel for 64-bit CPUs; the guest's has no long mode", boot->kernel_name);
        return error_hint(error, "take a 32-bit kernel or another " SETTING("cpu"));
    }
    int e = accel->reset(pc->vm, error);
    if (e)
        return e;
    if (accel->state_get(pc->vm, 0, &start, BOOT_STATE) != BOOT_STATE)
        return error_set(error, -EIO, "the boot CPU shows no registers");
    e = boot_load(boot, &pc->layout, accel->has_la57(pc->vm), &start, error);
    if (e)
        return e;
    e = accel->state_set(pc->vm, 0, &start, BOOT_STATE, &committed, &bad);
    if (e)
        return error_set(error, e, "the boot CPU refuses %s", bad);
    return 0;
}

int pc_start(struct pc *pc, struct boot *boot, struct error *error)
{
    pthread_mutex_lock(&pc->lock);
    devices_reset(&pc->devices);
    firmware_pci(&pc->devices);
    pthread_mutex_unlock(&pc->lock);

    rom_write(&pc->layout);
    smbios_write(&pc->layout, pc->config.settings->cpus);
    int e = acpi_write(&pc->layout, &pc->config);
    if (e)
        return error_set(error, e, "the ACPI tables do not fit: too many CPUs");
    e = enter_kernel(pc, boot, error);
    if (e)
        return e;
    machine_clock_hold(&pc->clock, false);
    return 0;
}

void pc_pause(struct pc *pc, bool pause)
{
    machine_clock_hold(&pc->clock, pause);
}

struct accel_vm *pc_vm(struct pc *pc)
{
    return pc->vm;
}

unsigned pc_serial_in(struct pc *pc, u32 index, const u8 *bytes, unsigned count)
{
    pthread_mutex_lock(&pc->lock);
    unsigned taken = uart16550_receive(pc->devices.serial[index].uart, bytes, count);
    pthread_mutex_unlock(&pc->lock);
    return taken;
}

void pc_serial_ready(struct pc *pc, u32 index)
{
    pthread_mutex_lock(&pc->lock);
    uart16550_transmit_ready(pc->devices.serial[index].uart);
    pthread_mutex_unlock(&pc->lock);
}

void pc_serial_break(struct pc *pc, u32 index)
{
    pthread_mutex_lock(&pc->lock);
    uart16550_break(pc->devices.serial[index].uart);
    pthread_mutex_unlock(&pc->lock);
}

void pc_power_button(struct pc *pc)
{
    pthread_mutex_lock(&pc->lock);
    acpi_pm_power_button(pc->devices.pm);
    pthread_mutex_unlock(&pc->lock);
}

/* An NMI button of a PC is wired to LINT1 of the first CPU; here that CPU gets a message. */
void pc_nmi(struct pc *pc)
{
    pthread_mutex_lock(&pc->lock);
    pc_irq_msi(&pc->devices.irq, MSI_BASE, DELIVER_NMI << APIC_MODE_SHIFT);
    pthread_mutex_unlock(&pc->lock);
}

u64 pc_accesses(struct pc *pc)
{
    pthread_mutex_lock(&pc->lock);
    u64 accesses = pc->accesses;
    pthread_mutex_unlock(&pc->lock);
    return accesses;
}

bool pc_ram_at(const struct pc *pc, const void *host, u64 *gpa)
{
    gpa_t at;
    if (pc->vm && pc->config.accel->memory_at)
        host = pc->config.accel->memory_at(pc->vm, host);
    bool found = ram_gpa(pc->layout.ram, host, &at);
    if (found)
        *gpa = at.a;
    return found;
}

void pc_stats(struct pc *pc, char *buf, size_t size)
{
    const struct bus *bus[] = {&pc->devices.port, &pc->devices.mmio};
    size_t used = 0;
    for (size_t i = 0; i < ARRAY_LEN(bus); i++) {
        int n = snprintf(buf + used, size - used, "%-28s %llu reads, %llu writes\n",
                         i ? "unclaimed memory accesses" : "unclaimed port accesses",
                         (unsigned long long)bus[i]->unclaimed_reads, (unsigned long long)bus[i]->unclaimed_writes);
        if (n < 0 || (size_t)n >= size - used)
            break;
        used += (size_t)n;
    }
}
