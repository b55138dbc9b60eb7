/*
 * Wiring. Every port, address and interrupt number of the machine is in the tables and calls of
 * this file.
 *
 * One lock serializes all devices: vCPU threads take it for each access, the clock's thread while
 * timers run. Device callbacks therefore never take it, and the events of struct pc_events are
 * given with it held. Order: machine lock, then whatever the accelerator takes inside msi, irq_line
 * and intr_line.
 */
#include "machine/pc.h"

#include "dev/acpi_pm.h"
#include "dev/debug_exit.h"
#include "dev/fw_cfg.h"
#include "dev/hpet.h"
#include "dev/i8042.h"
#include "dev/i8254.h"
#include "dev/ich9.h"
#include "dev/mc146818.h"
#include "dev/pci.h"
#include "dev/reset.h"
#include "dev/testdev.h"
#include "dev/uart16550.h"
#include "machine/acpi.h"
#include "machine/clock.h"
#include "machine/irq.h"
#include "machine/rom.h"
#include "machine/smbios.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Ports. */
enum {
    PORT_PIC0 = 0x20,
    PORT_PIT = 0x40,
    PORT_KBD_DATA = 0x60,
    PORT_SPEAKER = 0x61,
    PORT_KBD_COMMAND = 0x64,
    PORT_RTC = 0x70,
    PORT_92 = 0x92,
    PORT_PIC1 = 0xa0,
    PORT_TEST = 0xe0,
    PORT_TEST_FLUSH = 0xe4,
    PORT_TEST_BYTES = 0xe8,
    PORT_DEBUG_EXIT = 0xf4,
    PORT_COM1 = 0x3f8,
    PORT_ELCR0 = 0x4d0,
    PORT_ELCR1 = 0x4d1,
    PORT_FW_CFG = 0x510,
    PORT_FW_CFG_DMA = 0x514,
    PORT_PM = 0x600,
    PORT_PCI = 0xcf8,
    PORT_TEST_IRQ = 0x2000,
};
/* ISA interrupts. */
enum {
    ISA_PIT = 0,
    ISA_KBD = 1,
    ISA_COM1 = 4,
    ISA_RTC = 8,
    ISA_SCI = 9,
};
#define GPA_IOAPIC 0xfec00000ull
#define GPA_HPET 0xfed00000ull
#define GPA_TEST 0xff000000ull
#define PCI_IO_START 0xc000
#define PCI_IO_END 0xff00
#define LPC_DEVFN PCI_DEVFN(31, 0)
#define LPC_PIRQ_ROUTE 0x60

struct pc {
    struct pc_config config;
    struct pc_events events;
    struct accel_vm *vm;
    struct memory memory;
    pthread_mutex_t lock;
    struct machine_clock clock;
    struct bus port, mmio;
    struct pc_irq irq;
    struct i8254 pit;
    struct mc146818 rtc;
    struct i8042 kbd;
    struct reset reset;
    struct uart16550 com1;
    struct acpi_pm pm;
    struct hpet hpet;
    struct pci_bus pci;
    struct ich9 ich9;
    struct fw_cfg fw_cfg;
    struct debug_exit debug_exit;
    struct testdev testdev;
};

/* -- what the vCPUs call -- */

static u32 io_read(void *opaque, u16 port, unsigned size)
{
    struct pc *pc = opaque;
    pthread_mutex_lock(&pc->lock);
    u32 value = (u32)bus_read(&pc->port, port, size);
    pthread_mutex_unlock(&pc->lock);
    return value;
}

static void io_write(void *opaque, u16 port, u32 value, unsigned size)
{
    struct pc *pc = opaque;
    pthread_mutex_lock(&pc->lock);
    bus_write(&pc->port, port, value, size);
    pthread_mutex_unlock(&pc->lock);
}

static u64 mmio_read(void *opaque, gpa_t gpa, unsigned size)
{
    struct pc *pc = opaque;
    pthread_mutex_lock(&pc->lock);
    u64 value = bus_read(&pc->mmio, gpa.a, size);
    pthread_mutex_unlock(&pc->lock);
    return value;
}

static void mmio_write(void *opaque, gpa_t gpa, u64 value, unsigned size)
{
    struct pc *pc = opaque;
    pthread_mutex_lock(&pc->lock);
    bus_write(&pc->mmio, gpa.a, value, size);
    pthread_mutex_unlock(&pc->lock);
}

static int pic_ack(void *opaque)
{
    struct pc *pc = opaque;
    pthread_mutex_lock(&pc->lock);
    int vector = i8259_ack(&pc->irq.pic);
    pthread_mutex_unlock(&pc->lock);
    return vector;
}

static void eoi(void *opaque, u8 vector)
{
    struct pc *pc = opaque;
    pthread_mutex_lock(&pc->lock);
    ioapic_eoi(&pc->irq.ioapic, vector);
    pthread_mutex_unlock(&pc->lock);
}

/* -- what the devices call, with the lock held -- */

static void on_reset(void *opaque)
{
    struct pc *pc = opaque;
    pc->events.reset(pc->events.opaque);
}

static void on_power_off(void *opaque)
{
    struct pc *pc = opaque;
    pc->events.power_off(pc->events.opaque);
}

static void on_debug_exit(void *opaque, u32 value)
{
    struct pc *pc = opaque;
    pc->events.debug_exit(pc->events.opaque, value);
}

static void on_serial_out(void *opaque, u8 byte)
{
    struct pc *pc = opaque;
    pc->events.serial_out(pc->events.opaque, byte);
}

static void on_serial_room(void *opaque)
{
    struct pc *pc = opaque;
    pc->events.serial_room(pc->events.opaque);
}

static void on_legacy_switched(void *opaque, bool on)
{
    struct pc *pc = opaque;
    i8254_irq_disable(&pc->pit, on);
    mc146818_irq_disable(&pc->rtc, on);
}

static void on_msi(void *opaque, u64 address, u32 data)
{
    struct pc *pc = opaque;
    pc_irq_msi(&pc->irq, address, data);
}

static bool on_memory(void *opaque, u64 gpa, void *data, u64 size, bool write)
{
    struct pc *pc = opaque;
    void *ram = memory_at(&pc->memory, gpa, size);
    if (!ram)
        return false;
    memcpy(write ? ram : data, write ? data : ram, size);
    if (write && pc->config.accel->ram_written)
        pc->config.accel->ram_written(pc->vm, GPA(gpa), size);
    return true;
}

/* -- creation -- */

static struct irq line(struct pc *pc, enum irq_source source, void (*set)(void *, unsigned, bool), unsigned n)
{
    return (struct irq){set, &pc->irq.source[source], n};
}

static s64 unix_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}

/* Devices that in-kernel interrupt controllers bring with them, and the HPET, which takes lines
 * from the PIT. */
static void create_irqchip_devices(struct pc *pc)
{
    struct irq pit = line(pc, IRQ_DEVICE, pc_irq_isa, ISA_PIT);
    i8254_init(&pc->pit, &pc->clock.clock, &pit);
    hpet_init(&pc->hpet, &pc->clock.clock,
              &(struct hpet_config){
                  .gsi = line(pc, IRQ_HPET, pc_irq_gsi, 0),
                  .legacy = {line(pc, IRQ_HPET, pc_irq_isa, ISA_PIT), line(pc, IRQ_HPET, pc_irq_isa, ISA_RTC)},
                  .msi = on_msi,
                  .legacy_switched = on_legacy_switched,
                  .opaque = pc,
              });
}

static int create_devices(struct pc *pc)
{
    struct clock *clock = &pc->clock.clock;
    if (!pc->config.accel->has_irqchip)
        create_irqchip_devices(pc);

    struct irq rtc = line(pc, IRQ_DEVICE, pc_irq_isa, ISA_RTC);
    mc146818_init(&pc->rtc, clock, &rtc,
                  &(struct mc146818_config){
                      .unix_ns = unix_ns(),
                      .ram_below_4g = pc->memory.low,
                      .ram_above_4g = pc->memory.high,
                      .vcpus = pc->config.vcpus,
                  });
    i8042_init(&pc->kbd, &(struct i8042_config){
                             .irq = line(pc, IRQ_DEVICE, pc_irq_isa, ISA_KBD),
                             .reset = on_reset,
                             .opaque = pc,
                         });
    reset_init(&pc->reset, on_reset, NULL, pc);
    uart16550_init(&pc->com1, &(struct uart16550_config){
                                  .name = "com1",
                                  .irq = line(pc, IRQ_DEVICE, pc_irq_isa, ISA_COM1),
                                  .transmit = on_serial_out,
                                  .receive_ready = on_serial_room,
                                  .opaque = pc,
                              });
    acpi_pm_init(&pc->pm, clock,
                 &(struct acpi_pm_config){
                     .timer_32bit = true,
                     .sci = line(pc, IRQ_DEVICE, pc_irq_isa, ISA_SCI),
                     .power_off = on_power_off,
                     .opaque = pc,
                 });
    fw_cfg_init(&pc->fw_cfg, &(struct fw_cfg_config){
                                 .vcpus = pc->config.vcpus,
                                 .ram_size = pc->config.memory,
                                 .memory = on_memory,
                                 .opaque = pc,
                             });
    debug_exit_init(&pc->debug_exit, on_debug_exit, pc);
    testdev_init(&pc->testdev, &(struct testdev_config){.irq = line(pc, IRQ_TEST, pc_irq_any, 0)});

    pci_bus_init(&pc->pci, &pc->port, &pc->mmio);
    pc->pci.msi = on_msi;
    pc->pci.msi_opaque = pc;
    pc->pci.reset_ops = &reset_cf9_ops;
    pc->pci.reset_dev = &pc->reset;
    return ich9_init(&pc->ich9, &pc->pci,
                     &(struct ich9_config){
                         .ecam_base = MEMORY_ECAM,
                         .pm_base = PORT_PM,
                         .gsi = line(pc, IRQ_PIRQ, pc_irq_gsi, 0),
                         .isa = line(pc, IRQ_PIRQ, pc_irq_8259, 0),
                     });
}

enum when { ALWAYS, OWN_IRQCHIP, DEBUG_EXIT };

static int map_devices(struct pc *pc)
{
    struct i8259_chip *chip = pc->irq.pic.chip;
    /* clang-format off */
    const struct {
        enum when when;
        u64 start, size;
        const struct bus_ops *ops;
        void *dev;
        const char *name;
    } windows[] = {
        {OWN_IRQCHIP, PORT_PIC0, 2, &i8259_ops, &chip[0], "i8259 master"},
        {OWN_IRQCHIP, PORT_PIC1, 2, &i8259_ops, &chip[1], "i8259 slave"},
        {OWN_IRQCHIP, PORT_ELCR0, 1, &i8259_elcr_ops, &chip[0], "elcr master"},
        {OWN_IRQCHIP, PORT_ELCR1, 1, &i8259_elcr_ops, &chip[1], "elcr slave"},
        {OWN_IRQCHIP, PORT_PIT, 4, &i8254_ops, &pc->pit, "i8254"},
        {OWN_IRQCHIP, PORT_SPEAKER, 1, &i8254_speaker_ops, &pc->pit, "speaker"},
        {OWN_IRQCHIP, GPA_IOAPIC, PAGE_SIZE, &ioapic_ops, &pc->irq.ioapic, "ioapic"},
        {OWN_IRQCHIP, GPA_HPET, 0x400, &hpet_ops, &pc->hpet, "hpet"},
        {ALWAYS, PORT_KBD_DATA, 1, &i8042_data_ops, &pc->kbd, "i8042 data"},
        {ALWAYS, PORT_KBD_COMMAND, 1, &i8042_command_ops, &pc->kbd, "i8042 command"},
        {ALWAYS, PORT_RTC, 2, &mc146818_ops, &pc->rtc, "rtc"},
        {ALWAYS, PORT_92, 1, &reset_port92_ops, &pc->reset, "port 92"},
        {ALWAYS, PORT_COM1, 8, &uart16550_ops, &pc->com1, "com1"},
        {ALWAYS, PORT_FW_CFG, 2, &fw_cfg_ops, &pc->fw_cfg, "fw_cfg"},
        {ALWAYS, PORT_FW_CFG_DMA, 8, &fw_cfg_dma_ops, &pc->fw_cfg, "fw_cfg dma"},
        {ALWAYS, PORT_PM, ACPI_PM_SIZE, &acpi_pm_ops, &pc->pm, "acpi pm"},
        {ALWAYS, PORT_PCI, 8, &pci_config_ops, &pc->pci, "pci configuration"},
        {ALWAYS, MEMORY_ECAM, MEMORY_ECAM_SIZE, &pci_ecam_ops, &pc->pci, "pci ecam"},
        {DEBUG_EXIT, PORT_DEBUG_EXIT, 4, &debug_exit_ops, &pc->debug_exit, "debug exit"},
        {DEBUG_EXIT, PORT_TEST, 4, &testdev_port_ops, &pc->testdev, "test ports"},
        {DEBUG_EXIT, PORT_TEST_FLUSH, 4, &testdev_flush_ops, &pc->testdev, "test flush"},
        {DEBUG_EXIT, PORT_TEST_BYTES, 4, &testdev_byte_ops, &pc->testdev, "test bytes"},
        {DEBUG_EXIT, PORT_TEST_IRQ, TESTDEV_LINES, &testdev_irq_ops, &pc->testdev, "test irq"},
        {DEBUG_EXIT, GPA_TEST, TESTDEV_MMIO_SIZE, &testdev_mmio_ops, &pc->testdev, "test memory"},
    };
    /* clang-format on */
    for (size_t i = 0; i < ARRAY_LEN(windows); i++) {
        if ((windows[i].when == OWN_IRQCHIP && pc->config.accel->has_irqchip) ||
            (windows[i].when == DEBUG_EXIT && !pc->config.debug_exit))
            continue;
        struct bus *bus = windows[i].start > 0xffff ? &pc->mmio : &pc->port;
        int e = bus_add(bus, windows[i].start, windows[i].size, windows[i].ops, windows[i].dev, windows[i].name);
        if (e)
            return e;
    }
    return 0;
}

static int create_vm(struct pc *pc, struct error *error)
{
    const struct pc_config *c = &pc->config;
    const struct accel_config config = {
        .vcpus = c->vcpus, .nested = c->nested, .cpu = c->cpu, .trace = c->trace, .hypercalls = c->debug_exit};
    const struct machine machine = {
        .opaque = pc,
        .io_read = io_read,
        .io_write = io_write,
        .mmio_read = mmio_read,
        .mmio_write = mmio_write,
        .pic_ack = pic_ack,
        .eoi = eoi,
    };
    int e = c->accel->create(&config, &machine, &pc->vm, error);
    if (e)
        return e;
    for (u32 i = 0; i < pc->memory.slots; i++) {
        const struct memory_slot *s = &pc->memory.slot[i];
        e = c->accel->ram_add(pc->vm, GPA(s->start), s->size, s->host, s->start == MEMORY_ROM_GPA);
        if (e)
            return error_set(error, e, "%s: cannot give the VM %llu MiB of memory: %s", c->accel->name,
                             (unsigned long long)s->size >> 20, strerror(-e));
    }
    return 0;
}

int pc_create(struct pc **out, const struct pc_config *config, const struct pc_events *events, struct error *error)
{
    *out = NULL;
    struct pc *pc = calloc(1, sizeof(*pc));
    if (!pc)
        return error_set(error, -ENOMEM, "out of memory");
    pc->config = *config;
    pc->events = *events;
    pc->port.name = "port";
    pc->mmio.name = "mmio";
    pthread_mutex_init(&pc->lock, NULL);
    error_begin(error, 0);
    int e = memory_create(&pc->memory, config->memory, error);
    if (!e)
        e = machine_clock_create(&pc->clock, &pc->lock);
    if (!e)
        e = create_vm(pc, error);
    if (!e) {
        pthread_mutex_lock(&pc->lock);
        pc_irq_init(&pc->irq, config->accel, pc->vm);
        e = create_devices(pc);
        if (!e)
            e = map_devices(pc);
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
    machine_clock_destroy(&pc->clock);
    if (pc->vm)
        pc->config.accel->destroy(pc->vm);
    memory_destroy(&pc->memory);
    pthread_mutex_destroy(&pc->lock);
    free(pc);
}

/* -- power on and reset -- */

/* What firmware leaves behind: PIRQs A and C on ISA 11, B and D on ISA 10, level-triggered, and
 * BARs assigned. */
static void firmware_pci(struct pc *pc)
{
    static const u8 pirq_irq[4] = {11, 10, 11, 10};
    u32 route = 0;
    for (u32 i = 0; i < 4; i++)
        route |= (u32)pirq_irq[i] << (8 * i);
    if (!pc->config.accel->has_irqchip)
        bus_write(&pc->port, PORT_ELCR1, BIT(11 - 8) | BIT(10 - 8), 1);
    pci_config_write(&pc->pci, LPC_DEVFN, LPC_PIRQ_ROUTE, route, 4);
    pci_assign(&pc->pci, MEMORY_LOW_MAX, MEMORY_ECAM, PCI_IO_START, PCI_IO_END, pirq_irq);
}

static void reset_devices(struct pc *pc)
{
    pc_irq_reset(&pc->irq);
    if (!pc->config.accel->has_irqchip) {
        hpet_reset(&pc->hpet);
        i8254_reset(&pc->pit);
    }
    mc146818_reset(&pc->rtc);
    i8042_reset(&pc->kbd);
    reset_reset(&pc->reset);
    uart16550_reset(&pc->com1);
    acpi_pm_reset(&pc->pm);
    fw_cfg_reset(&pc->fw_cfg);
    testdev_reset(&pc->testdev);
    pci_bus_reset(&pc->pci);
    ich9_reset(&pc->ich9);
    firmware_pci(pc);
}

int pc_start(struct pc *pc, const struct boot *boot, struct error *error)
{
    struct accel_boot start;
    pthread_mutex_lock(&pc->lock);
    reset_devices(pc);
    pthread_mutex_unlock(&pc->lock);

    rom_write(&pc->memory);
    smbios_write(&pc->memory, pc->config.vcpus);
    int e = acpi_write(&pc->memory, &(struct acpi_config){
                                        .vcpus = pc->config.vcpus,
                                        .pm_base = PORT_PM,
                                        .sci = ISA_SCI,
                                        .hpet = !pc->config.accel->has_irqchip,
                                    });
    if (e)
        return error_set(error, e, "the ACPI tables do not fit: too many CPUs");
    e = boot_load(boot, &pc->memory, &start, error);
    if (e)
        return e;
    pc->config.accel->reset(pc->vm, &start);
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

unsigned pc_serial_in(struct pc *pc, const u8 *bytes, unsigned count)
{
    pthread_mutex_lock(&pc->lock);
    unsigned taken = uart16550_receive(&pc->com1, bytes, count);
    pthread_mutex_unlock(&pc->lock);
    return taken;
}

bool pc_ram_at(const struct pc *pc, const void *host, u64 *gpa)
{
    for (u32 i = 0; i < pc->memory.slots; i++) {
        const struct memory_slot *s = &pc->memory.slot[i];
        u64 offset = (u64)((const u8 *)host - s->host);
        if (offset < s->size) {
            *gpa = s->start + offset;
            return true;
        }
    }
    return false;
}

void pc_stats(struct pc *pc, char *buf, size_t size)
{
    const struct bus *bus[] = {&pc->port, &pc->mmio};
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
