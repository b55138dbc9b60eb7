/*
 * The list of the PC's devices. A device is a file in src/dev and a row here: its name, its kind, how it is created,
 * which PCs have it, its ISA interrupt, its description for ACPI, and its windows. The function that creates it
 * connects it to what only the machine knows: other devices, guest memory, the machine's events.
 *
 * Rows are created, reset and loaded from first to last, so a device may count on those above it, and lines that are
 * driven find their controllers. They are destroyed from last to first.
 */
#include "machine/devices.h"

#include "dev/acpi_pm.h"
#include "dev/debug_exit.h"
#include "dev/ferr.h"
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

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Returns a line that row `row` drives: line `n` of what `set` reaches. */
static struct irq row_line(struct devices *all, const struct device *row, void (*set)(void *, unsigned, bool),
                           unsigned n)
{
    return (struct irq){set, &all->irq.source[row - pc_devices], n};
}

static struct irq row_isa(struct devices *all, const struct device *row)
{
    return row_line(all, row, pc_irq_isa, row->isa_irq);
}

static int create_i8259(struct devices *all, const struct device *row, void *dev)
{
    i8259_init(dev, &(struct irq){pc_irq_intr, &all->irq, 0});
    all->irq.pic = dev;
    return 0;
}

static int ioapic_message(void *opaque, u64 address, u32 data)
{
    pc_irq_msi(opaque, address, data);
    return 1;
}

static int create_ioapic(struct devices *all, const struct device *row, void *dev)
{
    ioapic_init(dev, 0, ioapic_message, &all->irq);
    all->irq.ioapic = dev;
    return 0;
}

static int create_i8254(struct devices *all, const struct device *row, void *dev)
{
    all->pit = dev;
    struct irq irq = row_isa(all, row);
    i8254_init(dev, all->clock, &irq);
    return 0;
}

#define NS 1000000000ll

static s64 unix_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * NS + t.tv_nsec;
}

static void rtc_alarm(void *opaque)
{
    struct devices *all = opaque;
    acpi_pm_rtc_alarm(all->pm);
}

static int create_mc146818(struct devices *all, const struct device *row, void *dev)
{
    struct irq irq = row_isa(all, row);
    all->rtc = dev;
    mc146818_init(dev, all->clock, &irq,
                  &(struct mc146818_config){
                      .unix_ns = unix_ns(),
                      .ram_below_4g = all->layout->low,
                      .ram_above_4g = all->layout->high,
                      .vcpus = all->config->settings->cpus,
                      .alarm = rtc_alarm,
                      .opaque = all,
                  });
    return 0;
}

static void hpet_msi(void *opaque, u64 address, u32 data)
{
    struct devices *all = opaque;
    pc_irq_msi(&all->irq, address, data);
}

static void hpet_legacy_switched(void *opaque, bool on)
{
    struct devices *all = opaque;
    i8254_irq_disable(all->pit, on);
    mc146818_irq_disable(all->rtc, on);
}

static int create_hpet(struct devices *all, const struct device *row, void *dev)
{
    hpet_init(dev, all->clock,
              &(struct hpet_config){
                  .gsi = row_line(all, row, pc_irq_gsi, 0),
                  .legacy = {row_line(all, row, pc_irq_isa, ISA_PIT), row_line(all, row, pc_irq_isa, ISA_RTC)},
                  .msi = hpet_msi,
                  .legacy_switched = hpet_legacy_switched,
                  .opaque = all,
              });
    return 0;
}

static void ferr_ignne(void *opaque, bool level)
{
    struct devices *all = opaque;
    all->config->accel->ignne(all->vm, level);
}

static int create_ferr(struct devices *all, const struct device *row, void *dev)
{
    struct irq irq = row_isa(all, row);
    all->ferr = dev;
    ferr_init(dev, &irq, ferr_ignne, all);
    return 0;
}

/* INIT# of all CPUs. */
static void init_cpus(void *opaque)
{
    struct devices *all = opaque;
    if (all->config->accel->init)
        all->config->accel->init(all->vm);
    else
        all->events->reset(all->events->opaque);
}

static int create_i8042(struct devices *all, const struct device *row, void *dev)
{
    i8042_init(dev, &(struct i8042_config){
                        .irq = row_isa(all, row),
                        .init = init_cpus,
                        .opaque = all,
                    });
    return 0;
}

static void request_reset(void *opaque)
{
    struct devices *all = opaque;
    all->events->reset(all->events->opaque);
}

static int create_reset(struct devices *all, const struct device *row, void *dev)
{
    all->reset = dev;
    reset_init(dev, &(struct reset_config){.request = request_reset, .init = init_cpus, .opaque = all});
    return 0;
}

static bool serial_out(void *opaque, u8 byte)
{
    struct serial_port *port = opaque;
    return port->events->serial_out(port->events->opaque, port->index, byte);
}

static void serial_room(void *opaque)
{
    struct serial_port *port = opaque;
    port->events->serial_room(port->events->opaque, port->index);
}

static int create_com(struct devices *all, const struct device *row, void *dev)
{
    struct serial_port *port = &all->serial[row->isa_irq == ISA_COM2];
    *port = (struct serial_port){all->events, (u32)(port - all->serial), dev};
    uart16550_init(dev, &(struct uart16550_config){
                            .irq = row_isa(all, row),
                            .transmit = serial_out,
                            .receive_ready = serial_room,
                            .opaque = port,
                        });
    return 0;
}

static int create_acpi_pm(struct devices *all, const struct device *row, void *dev)
{
    all->pm = dev;
    acpi_pm_init(dev, all->clock,
                 &(struct acpi_pm_config){
                     .timer_32bit = true,
                     .sci = row_isa(all, row),
                     .power_off = all->events->power_off,
                     .opaque = all->events->opaque,
                 });
    return 0;
}

static int create_fw_cfg(struct devices *all, const struct device *row, void *dev)
{
    fw_cfg_init(dev, &(struct fw_cfg_config){
                         .vcpus = all->config->settings->cpus,
                         .ram_size = all->config->settings->memory,
                         .ram = all->layout->ram,
                     });
    return 0;
}

static int create_pci(struct devices *all, const struct device *row, void *dev)
{
    all->pci = dev;
    pci_bus_init(all->pci, &all->port, &all->mmio);
    all->pci->msi = pc_irq_msi;
    all->pci->msi_opaque = &all->irq;
    all->pci->reset_ops = &reset_cf9_ops;
    all->pci->reset_dev = all->reset;
    return 0;
}

static int create_ich9(struct devices *all, const struct device *row, void *dev)
{
    bool com2 = all->config->settings->serial.count > 1;
    return ich9_init(dev, all->pci,
                     &(struct ich9_config){
                         .ecam_base = LAYOUT_ECAM,
                         .pm_base = PORT_PM,
                         .lpc_enabled = ICH9_LPC_COM1 | (com2 ? ICH9_LPC_COM2 : 0) | ICH9_LPC_KBC,
                         .gsi = row_line(all, row, pc_irq_gsi, 0),
                         .isa = row_line(all, row, pc_irq_8259, 0),
                     });
}

static int create_debug_exit(struct devices *all, const struct device *row, void *dev)
{
    debug_exit_init(dev, all->events->debug_exit, all->events->opaque);
    return 0;
}

static int create_testdev(struct devices *all, const struct device *row, void *dev)
{
    testdev_init(dev, &(struct testdev_config){.irq = row_line(all, row, pc_irq_any, 0)});
    return 0;
}

#define MASTER offsetof(struct i8259, chip[0])
#define SLAVE offsetof(struct i8259, chip[1])
#define NOT_IN_ACPI                                                                                                    \
    {                                                                                                                  \
        0                                                                                                              \
    }

/* clang-format off */
const struct device pc_devices[] = {
    {"i8259", &i8259_device, create_i8259, DEVICE_OWN_IRQCHIP, ISA_NONE, NOT_IN_ACPI,
     {{PORT_PIC0, 2, &i8259_ops, MASTER},
      {PORT_PIC1, 2, &i8259_ops, SLAVE},
      {PORT_ELCR0, 1, &i8259_elcr_ops, MASTER},
      {PORT_ELCR1, 1, &i8259_elcr_ops, SLAVE}}},
    {"ioapic", &ioapic_device, create_ioapic, DEVICE_OWN_IRQCHIP, ISA_NONE, NOT_IN_ACPI,
     {{GPA_IOAPIC, PAGE_SIZE, &ioapic_ops}}},
    {"i8254", &i8254_device, create_i8254, DEVICE_OWN_IRQCHIP, ISA_PIT, NOT_IN_ACPI,
     {{PORT_PIT, 4, &i8254_ops},
      {PORT_SPEAKER, 1, &i8254_speaker_ops}}},
    {"rtc", &mc146818_device, create_mc146818, DEVICE_ALWAYS, ISA_RTC, {"RTC_", "PNP0B00"},
     {{PORT_RTC, 2, &mc146818_ops}}},
    {"hpet", &hpet_device, create_hpet, DEVICE_OWN_IRQCHIP, ISA_NONE, NOT_IN_ACPI,
     {{GPA_HPET, HPET_SIZE, &hpet_ops}}},
    {"ferr", &ferr_device, create_ferr, DEVICE_OWN_IRQCHIP, ISA_FERR, NOT_IN_ACPI,
     {{PORT_FERR, 1, &ferr_ops}}},
    {"i8042", &i8042_device, create_i8042, DEVICE_ALWAYS, ISA_KBD, {"KBD_", "PNP0303"},
     {{PORT_KBD_DATA, 1, &i8042_data_ops},
      {PORT_KBD_COMMAND, 1, &i8042_command_ops}}},
    {"reset", &reset_device, create_reset, DEVICE_ALWAYS, ISA_NONE, NOT_IN_ACPI,
     {{PORT_92, 1, &reset_port92_ops}}},
    {"com1", &uart16550_device, create_com, DEVICE_ALWAYS, ISA_COM1, {"COM1", "PNP0501", 1},
     {{PORT_COM1, 8, &uart16550_ops}}},
    {"com2", &uart16550_device, create_com, DEVICE_SERIAL2, ISA_COM2, {"COM2", "PNP0501", 2},
     {{PORT_COM2, 8, &uart16550_ops}}},
    {"acpi_pm", &acpi_pm_device, create_acpi_pm, DEVICE_ALWAYS, ISA_SCI, NOT_IN_ACPI,
     {{PORT_PM, ACPI_PM_SIZE, &acpi_pm_ops}}},
    {"fw_cfg", &fw_cfg_device, create_fw_cfg, DEVICE_ALWAYS, ISA_NONE, NOT_IN_ACPI,
     {{PORT_FW_CFG, 2, &fw_cfg_ops},
      {PORT_FW_CFG_DMA, 8, &fw_cfg_dma_ops}}},
    {"pci", &pci_bus_device, create_pci, DEVICE_ALWAYS, ISA_NONE, NOT_IN_ACPI,
     {{PORT_PCI, 8, &pci_config_ops},
      {LAYOUT_ECAM, LAYOUT_ECAM_SIZE, &pci_ecam_ops}}},
    {"ich9", &ich9_device, create_ich9, DEVICE_ALWAYS, ISA_NONE, NOT_IN_ACPI, {{0}}},
    {"debug_exit", &debug_exit_device, create_debug_exit, DEVICE_DEBUG_EXIT, ISA_NONE, NOT_IN_ACPI,
     {{PORT_DEBUG_EXIT, 4, &debug_exit_ops}}},
    {"testdev", &testdev_device, create_testdev, DEVICE_DEBUG_EXIT, ISA_NONE, NOT_IN_ACPI,
     {{PORT_TEST, 4, &testdev_port_ops},
      {PORT_TEST_FLUSH, 4, &testdev_flush_ops},
      {PORT_TEST_BYTES, 4, &testdev_byte_ops},
      {PORT_TEST_IRQ, TESTDEV_LINES, &testdev_irq_ops},
      {GPA_TEST, TESTDEV_MMIO_SIZE, &testdev_mmio_ops}}},
};
/* clang-format on */
const u32 pc_device_count = ARRAY_LEN(pc_devices);
_Static_assert(ARRAY_LEN(pc_devices) <= DEVICES_MAX, "a row is a bit of struct pc_irq");

bool device_wanted(const struct device *row, const struct pc_config *config)
{
    switch (row->when) {
    case DEVICE_OWN_IRQCHIP: return !config->accel->has_irqchip;
    case DEVICE_DEBUG_EXIT: return config->settings->debug_exit;
    case DEVICE_SERIAL2: return config->settings->serial.count > 1;
    default: return true;
    }
}

static int map(struct devices *all, const struct device *row, void *dev)
{
    for (const struct device_window *w = row->window; w < row->window + DEVICE_WINDOWS && w->size; w++) {
        struct bus *bus = w->start < PORTS ? &all->port : &all->mmio;
        int e = bus_add(bus, w->start, w->size, w->ops, (u8 *)dev + w->part);
        if (e)
            return e;
    }
    return 0;
}

static int add(struct devices *all, u32 i)
{
    const struct device *row = &pc_devices[i];
    void *dev = calloc(1, row->ops->size);
    int e = dev ? row->create(all, row, dev) : -ENOMEM;
    if (e) {
        free(dev);
        return e;
    }
    all->dev[i] = dev;
    return map(all, row, dev);
}

int devices_create(struct devices *all, struct error *error)
{
    pc_irq_init(&all->irq, all->config->accel, all->vm);
    for (u32 i = 0; i < pc_device_count; i++) {
        int e = device_wanted(&pc_devices[i], all->config) ? add(all, i) : 0;
        if (e)
            return error_set(error, e, "cannot create the device %s: %s", pc_devices[i].name, strerror(-e));
    }
    return 0;
}

void devices_destroy(struct devices *all)
{
    for (u32 i = pc_device_count; i-- > 0;) {
        if (all->dev[i] && pc_devices[i].ops->destroy)
            pc_devices[i].ops->destroy(all->dev[i]);
        free(all->dev[i]);
        all->dev[i] = NULL;
    }
}

void devices_reset(struct devices *all)
{
    pc_irq_reset(&all->irq);
    for (u32 i = 0; i < pc_device_count; i++) {
        if (all->dev[i] && pc_devices[i].ops->reset)
            pc_devices[i].ops->reset(all->dev[i]);
    }
}

void devices_state(struct devices *all, struct state *s)
{
    for (u32 i = 0; i < pc_device_count; i++) {
        if (all->dev[i] && pc_devices[i].ops->state)
            pc_devices[i].ops->state(all->dev[i], s, pc_devices[i].name);
    }
}
