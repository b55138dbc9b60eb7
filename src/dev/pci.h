/*
 * PCI: one bus, its configuration mechanisms and what devices on it share (configuration space, BARs, INTx, MSI).
 *
 * Windows:
 *   ports 0xcf8, 8 bytes: pci_config_ops (byte accesses to 0xcf9 go to the reset device)
 *   MMIO, 1 MiB or more:  pci_ecam_ops   (bus 0; all ones beyond)
 *
 * A device fills its configuration space at init through pci_device_init() and pci_bar_add(), then calls pci_attach().
 * BAR windows are put on the buses (the machine's port and MMIO bus) and moved by the code here as the guest programs
 * BARs and the command register.
 */
#ifndef DEV_PCI_H
#define DEV_PCI_H

#include "bus/bus.h"
#include "bus/device.h"

#define PCI_DEVFN(device, function) ((device) << 3 | (function))
#define PCI_CONFIG_SIZE 4096
#define PCI_BARS 6

enum {
    PCI_VENDOR_ID = 0x00,
    PCI_DEVICE_ID = 0x02,
    PCI_COMMAND = 0x04,
    PCI_STATUS = 0x06,
    PCI_REVISION = 0x08,
    PCI_CLASS_PROG = 0x09,
    PCI_CLASS = 0x0a,
    PCI_CACHE_LINE_SIZE = 0x0c,
    PCI_HEADER_TYPE = 0x0e,
    PCI_BAR0 = 0x10,
    PCI_SUBSYSTEM_VENDOR = 0x2c,
    PCI_SUBSYSTEM = 0x2e,
    PCI_CAPABILITIES = 0x34,
    PCI_INTERRUPT_LINE = 0x3c,
    PCI_INTERRUPT_PIN = 0x3d,
};
#define PCI_COMMAND_IO BIT(0)
#define PCI_COMMAND_MEMORY BIT(1)
#define PCI_COMMAND_MASTER BIT(2)
#define PCI_COMMAND_PARITY BIT(6)
#define PCI_COMMAND_SERR BIT(8)
#define PCI_COMMAND_INTX_DISABLE BIT(10)
#define PCI_STATUS_INTERRUPT BIT(3)
#define PCI_STATUS_CAPABILITIES BIT(4)
#define PCI_STATUS_ERRORS (BIT(8) | 31u << 11) /* parity, aborts, SERR#: a 1 clears each */
#define PCI_HEADER_MULTIFUNCTION 0x80
#define PCI_CAP_MSI 5

enum pci_bar_kind { PCI_BAR_NONE, PCI_BAR_IO, PCI_BAR_MEM32, PCI_BAR_MEM64 };

struct pci_bar {
    u8 kind;  /* enum pci_bar_kind; a MEM64 takes the next index too */
    u64 size; /* power of two; at least 4 (IO) or 4096 (memory) */
    const struct bus_ops *ops;
    void *dev;
    u64 mapped; /* address on the bus now */
    bool is_mapped;
};

struct pci_bus;

struct pci_device {
    u8 config[PCI_CONFIG_SIZE];
    u8 writable[PCI_CONFIG_SIZE]; /* bits that the guest may write */
    u8 w1c[PCI_CONFIG_SIZE];      /* bits that a 1 clears */
    struct pci_bar bar[PCI_BARS];
    struct pci_bus *bus;
    u8 devfn;
    bool intx;       /* INTx asserted by the device */
    bool intx_wired; /* as last driven (with INTX_DISABLE) */
    u8 cap_end;      /* where the next capability goes */
    u8 msi_cap;      /* offset of the MSI capability; 0: none */
    /* After the guest wrote configuration bytes [offset, offset + size); may be NULL. `opaque` is the device's. */
    void (*config_written)(void *opaque, unsigned offset, unsigned size);
    void *opaque;
    u8 initial[PCI_CONFIG_SIZE]; /* configuration at reset: as at pci_attach */
};

struct pci_bus {
    struct pci_device *device[256]; /* by devfn */
    struct bus *port, *mmio;
    u32 address; /* 0xcf8 */
    /* INTx: devices drive PIRQ A..D by (device + pin - 1) & 3. See ich9 for where these go. */
    struct irq pirq[4];
    u8 pirq_count[4];
    void (*msi)(void *opaque, u64 address, u32 data);
    void *msi_opaque;
    /* Byte accesses to 0xcf9, which lies in the window of the address register; may be NULL. */
    const struct bus_ops *reset_ops;
    void *reset_dev;
};

extern const struct bus_ops pci_config_ops, pci_ecam_ops;
/* Reset: configuration back to what it was at attach, BARs unmapped; the devices on the bus reset themselves. The state
 * is that of the bus and of every function's configuration space. */
extern const struct device_ops pci_bus_device;

/* `port` and `mmio` are where BAR windows are put. */
void pci_bus_init(struct pci_bus *pci, struct bus *port, struct bus *mmio);

/* class is 24 bits: class, subclass, programming interface. */
void pci_device_init(struct pci_device *d, u16 vendor, u16 device, u32 class, u8 revision);
void pci_subsystem_set(struct pci_device *d, u16 vendor, u16 device);
/* Pin 1 is INTA. */
void pci_pin_set(struct pci_device *d, u8 pin);
void pci_bar_add(struct pci_device *d, unsigned index, enum pci_bar_kind kind, u64 size, const struct bus_ops *ops,
                 void *dev);
/* Appends a capability (id, next, zeros) of `size` bytes and returns its offset; bytes are read-only until the caller
 * sets d->writable. Returns 0 if there is no room. */
u8 pci_capability_add(struct pci_device *d, u8 id, u8 size);
/* Returns 0, or -EEXIST if the slot is taken. */
int MUST_CHECK pci_attach(struct pci_bus *pci, struct pci_device *d, u8 devfn);
/* Firmware's work when the machine boots a kernel directly: gives every BAR an address from the windows (32-bit memory,
 * then ports), enables decoding and fills the interrupt line. */
void pci_assign(struct pci_bus *pci, u64 mem_start, u64 mem_end, u16 io_start, u16 io_end, const u8 pirq_irq[4]);

void pci_intx_set(struct pci_device *d, bool level);
/* Sends the message of the MSI capability. Returns false if that is not enabled: then the device uses INTx. */
bool pci_msi_send(struct pci_device *d);
/* Adds an MSI capability with one vector and 64-bit address. */
void pci_msi_add(struct pci_device *d);

u32 pci_config_read(struct pci_bus *pci, u8 devfn, unsigned offset, unsigned size);
void pci_config_write(struct pci_bus *pci, u8 devfn, unsigned offset, u32 value, unsigned size);
static inline u32 pci_config_get(const struct pci_device *d, unsigned offset, unsigned size)
{
    u32 v = 0;
    __builtin_memcpy(&v, d->config + offset, size);
    return v;
}
static inline void pci_config_set(struct pci_device *d, unsigned offset, u32 value, unsigned size)
{
    __builtin_memcpy(d->config + offset, &value, size);
}
#endif
