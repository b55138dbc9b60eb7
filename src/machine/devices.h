/*
 * The devices of the PC: pc_devices[] in devices.c has a row for each, with its addresses and its interrupt line. All
 * functions are called with the machine lock held.
 */
#ifndef MACHINE_DEVICES_H
#define MACHINE_DEVICES_H

#include "bus/bus.h"
#include "bus/device.h"
#include "machine/irq.h"
#include "machine/pc.h"

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
    PORT_FERR = 0xf0,
    PORT_DEBUG_EXIT = 0xf4,
    PORT_COM2 = 0x2f8,
    PORT_COM1 = 0x3f8,
    PORT_ELCR0 = 0x4d0,
    PORT_ELCR1 = 0x4d1,
    PORT_FW_CFG = 0x510,
    PORT_FW_CFG_DMA = 0x514,
    PORT_PM = 0x600,
    PORT_PCI = 0xcf8,
    PORT_RESET_CONTROL = 0xcf9, /* in PCI's window: struct pci_bus.reset_ops */
    PORT_TEST_IRQ = 0x2000,
};
#define PORTS 0x10000u

#define GPA_IOAPIC 0xfec00000u
#define GPA_HPET 0xfed00000u
#define GPA_TEST 0xff000000u

/* ISA interrupts. */
enum {
    ISA_PIT = 0,
    ISA_KBD = 1,
    ISA_COM2 = 3,
    ISA_COM1 = 4,
    ISA_RTC = 8,
    ISA_SCI = 9,
    ISA_MOUSE = 12,
    ISA_FERR = 13,
    ISA_NONE = 0xff,
};

/* Which PCs have a device. */
enum device_when {
    DEVICE_ALWAYS,
    DEVICE_OWN_IRQCHIP, /* those whose accelerator brings no interrupt controllers and timers along */
    DEVICE_DEBUG_EXIT,  /* those with the setting debug-exit */
    DEVICE_SERIAL2,     /* those with a second serial port */
};

/* A window of registers: of ports below PORTS, of memory above. */
struct device_window {
    u64 start, size;
    const struct bus_ops *ops;
    size_t part; /* offset in the device's struct of what `ops` get */
};
#define DEVICE_WINDOWS 5

/* The device on the LPC bus as the DSDT describes it, with the windows and the interrupt of the row. */
struct device_acpi {
    const char *name, *hid; /* NULL: not described there */
    u32 uid;
};

struct devices;

struct device {
    const char *name; /* unique; its sections of saved state bear it */
    const struct device_ops *ops;
    /* Makes the device in `dev`, which is zeroed memory. Returns 0 or -errno. */
    int (*create)(struct devices *all, const struct device *row, void *dev);
    enum device_when when;
    u8 isa_irq;
    struct device_acpi acpi;
    struct device_window window[DEVICE_WINDOWS]; /* those in use have a size */
};

extern const struct device pc_devices[];
extern const u32 pc_device_count;
#define DEVICES_MAX PC_IRQ_SOURCES

/* The devices of one PC. */
struct devices {
    const struct pc_config *config;
    const struct pc_events *events;
    struct layout *layout;
    struct accel_vm *vm;
    struct clock *clock;

    struct bus port, mmio;
    struct pc_irq irq;
    void *dev[DEVICES_MAX]; /* by row; NULL: this PC has no such device */
    /* Devices that others speak to, as their rows created them. */
    struct i8254 *pit;
    struct mc146818 *rtc;
    struct reset *reset;
    struct acpi_pm *pm;
    struct ferr *ferr;
    struct serial_port {
        const struct pc_events *events;
        u32 index;
        struct uart16550 *uart; /* NULL: this PC has no such port */
    } serial[PC_SERIALS];
    struct pci_bus *pci;
};

bool device_wanted(const struct device *row, const struct pc_config *config);

/* The caller has set the first five members; the others are zero. Returns 0 or -errno; devices_destroy is to be called
 * in any case. */
int MUST_CHECK devices_create(struct devices *all, struct error *error);
void devices_destroy(struct devices *all);
/* Puts all devices into their state after power-on. */
void devices_reset(struct devices *all);
/* Saves, or loads after a reset, all devices. */
void devices_state(struct devices *all, struct state *s);

#endif
