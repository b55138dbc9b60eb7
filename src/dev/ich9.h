/*
 * The chipset as seen on PCI bus 0: a Q35 host bridge (00:00.0, with PCIEXBAR) and the ICH9 LPC bridge (00:1f.0) with
 * its PIRQ routing registers. The bridge passes PIRQ A..D to I/O APIC inputs 16..19 and, where a routing register says
 * so, to an 8259 input as well.
 */
#ifndef DEV_ICH9_H
#define DEV_ICH9_H

#include "dev/pci.h"

#define ICH9_HOST_DEVFN PCI_DEVFN(0, 0)
#define ICH9_LPC_DEVFN PCI_DEVFN(31, 0)
#define ICH9_PIRQ_ROUTE 0x60 /* PIRQA_ROUT..PIRQD_ROUT of the LPC bridge, one byte each */
#define ICH9_PIRQS 4
#define ICH9_PIRQ_GSI 16 /* the I/O APIC input of PIRQ A */

/* LPC_EN: what the bridge passes on. */
#define ICH9_LPC_COM1 BIT(0)
#define ICH9_LPC_COM2 BIT(1)
#define ICH9_LPC_KBC BIT(10)

struct ich9_config {
    u64 ecam_base;   /* PCIEXBAR as firmware leaves it; 0: off. 256 MiB are reported. */
    u16 pm_base;     /* PMBASE: where the machine put acpi_pm's window */
    u16 lpc_enabled; /* LPC_EN as firmware leaves it: ICH9_LPC_* */
    struct irq gsi;  /* .set(opaque, 16..19, level): I/O APIC inputs (.line unused) */
    struct irq isa;  /* .set(opaque, 3..15, level): 8259 inputs (.line unused) */
};

struct ich9 {
    struct pci_device host, lpc;
    struct ich9_config config;
    bool pirq[ICH9_PIRQS]; /* levels of PIRQ A..D */
    u16 isa_driven;        /* 8259 inputs held high for PIRQs */
};

extern const struct device_ops ich9_device;

/* Attaches both functions and takes over pci->pirq. Returns 0 or -errno. */
int MUST_CHECK ich9_init(struct ich9 *ich, struct pci_bus *pci, const struct ich9_config *config);

#endif
