/*
 * Q35 host bridge and ICH9 LPC bridge: identity, the registers that operating systems read to find ECAM and the ACPI
 * block, and PIRQ routing. Called under the machine lock.
 *
 * PIRQ A..D always reach I/O APIC inputs 16..19; a routing register without its disable bit also drives an 8259 input,
 * as PIC-mode systems expect. Source: Intel 3 Series Express Chipset and ICH9 data sheets.
 */
#include "dev/ich9.h"

#define VENDOR_INTEL 0x8086
#define DEVICE_Q35_HOST 0x29c0
#define DEVICE_ICH9_LPC 0x2918
#define CLASS_HOST_BRIDGE 0x060000
#define CLASS_ISA_BRIDGE 0x060100
#define STEPPING 2

/* The host bridge's configuration registers. */
#define PCIEXBAR 0x60
#define PCIEXBAR_ENABLE 1

/* The LPC bridge's. */
#define PMBASE 0x40
#define PMBASE_IO 1 /* hard-wired: a range of ports */
#define ACPI_CNTL 0x44
#define ACPI_CNTL_ENABLE BIT(7) /* with SCI_IRQ_SEL 0: the SCI is IRQ 9 */
#define PIRQ_ROUTE_E_TO_H 0x68
#define PIRQ_ROUTE_OFF BIT(7)
#define PIRQ_ROUTE_IRQ 0x0f
#define LPC_IO_DEC 0x80
#define LPC_IO_DEC_BITS 0x1377
#define LPC_IO_DEC_USUAL 0x0010 /* COM1 at 3F8h, COM2 at 2F8h */
#define LPC_EN 0x82
#define LPC_EN_BITS 0x3f0f
/* 8259 inputs that PIRQs may be routed to: not 0, 1, 2, 8, 13. */
#define ROUTABLE 0xdef8u

static void isa_update(struct ich9 *ich)
{
    u16 want = 0;
    for (unsigned i = 0; i < ICH9_PIRQS; i++) {
        u8 route = ich->lpc.config[ICH9_PIRQ_ROUTE + i];
        if (ich->pirq[i] && !(route & PIRQ_ROUTE_OFF))
            want |= (u16)(BIT(route & PIRQ_ROUTE_IRQ) & ROUTABLE);
    }
    u16 changed = want ^ ich->isa_driven;
    ich->isa_driven = want;
    for (unsigned i = 0; i < 16; i++) {
        if (changed >> i & 1 && ich->config.isa.set)
            ich->config.isa.set(ich->config.isa.opaque, i, want >> i & 1);
    }
}

static void pirq_set(void *opaque, unsigned line, bool level)
{
    struct ich9 *ich = opaque;
    ich->pirq[line] = level;
    if (ich->config.gsi.set)
        ich->config.gsi.set(ich->config.gsi.opaque, ICH9_PIRQ_GSI + line, level);
    isa_update(ich);
}

static void lpc_written(void *opaque, unsigned offset, unsigned size)
{
    if (offset < ICH9_PIRQ_ROUTE + ICH9_PIRQS && offset + size > ICH9_PIRQ_ROUTE)
        isa_update(opaque);
}

static void host_init(struct pci_device *host, u64 ecam_base)
{
    pci_device_init(host, VENDOR_INTEL, DEVICE_Q35_HOST, CLASS_HOST_BRIDGE, STEPPING);
    u64 value = ecam_base ? ecam_base | PCIEXBAR_ENABLE : 0;
    pci_config_set(host, PCIEXBAR, (u32)value, 4);
    pci_config_set(host, PCIEXBAR + 4, (u32)(value >> 32), 4);
}

static void lpc_init(struct pci_device *lpc, u16 pm_base, u16 enabled)
{
    pci_device_init(lpc, VENDOR_INTEL, DEVICE_ICH9_LPC, CLASS_ISA_BRIDGE, STEPPING);
    lpc->config[PCI_HEADER_TYPE] = PCI_HEADER_MULTIFUNCTION;
    pci_config_set(lpc, PMBASE, pm_base | PMBASE_IO, 4);
    lpc->config[ACPI_CNTL] = ACPI_CNTL_ENABLE;
    pci_config_set(lpc, LPC_IO_DEC, LPC_IO_DEC_USUAL | (u32)enabled << 16, 4);
    for (unsigned i = 0; i < 4; i++) /* kept as they are written; the devices stay where they are */
        lpc->writable[LPC_IO_DEC + i] = (u8)((LPC_IO_DEC_BITS | (u32)LPC_EN_BITS << 16) >> 8 * i);
    for (unsigned i = 0; i < ICH9_PIRQS; i++) {
        lpc->config[ICH9_PIRQ_ROUTE + i] = lpc->config[PIRQ_ROUTE_E_TO_H + i] = PIRQ_ROUTE_OFF;
        lpc->writable[ICH9_PIRQ_ROUTE + i] = lpc->writable[PIRQ_ROUTE_E_TO_H + i] = PIRQ_ROUTE_OFF | PIRQ_ROUTE_IRQ;
    }
}

int ich9_init(struct ich9 *ich, struct pci_bus *pci, const struct ich9_config *config)
{
    *ich = (struct ich9){.config = *config};
    host_init(&ich->host, config->ecam_base);
    lpc_init(&ich->lpc, config->pm_base, config->lpc_enabled);
    ich->lpc.config_written = lpc_written;
    ich->lpc.opaque = ich;
    for (unsigned i = 0; i < ICH9_PIRQS; i++)
        pci->pirq[i] = (struct irq){pirq_set, ich, i};
    int err = pci_attach(pci, &ich->host, ICH9_HOST_DEVFN);
    return err ? err : pci_attach(pci, &ich->lpc, ICH9_LPC_DEVFN);
}

/* Follows the reset of the PCI bus. */
static void ich9_reset(void *dev)
{
    for (unsigned i = 0; i < ICH9_PIRQS; i++)
        pirq_set(dev, i, false);
}

static const struct state_field fields[] = {
    STATE_FIELD("pirq", bool[4], struct ich9, pirq),
};
static const struct state_layout layout = STATE_LAYOUT(1, fields);

/* Configuration space is saved by the PCI bus; lines are driven again by the devices behind them. */
static void ich9_state(void *dev, struct state *s, const char *name)
{
    state_section(s, name, NULL, &layout, dev);
    if (!state_saving(s))
        isa_update(dev);
}

const struct device_ops ich9_device = {
    .size = sizeof(struct ich9),
    .reset = ich9_reset,
    .state = ich9_state,
};
