/*
 * Q35 host bridge and ICH9 LPC bridge: identity, the registers that operating systems read to find
 * ECAM and the ACPI block, and PIRQ routing. Called under the machine lock.
 *
 * PIRQ A..D always reach I/O APIC inputs 16..19; a routing register without its disable bit also
 * drives an 8259 input, as PIC-mode systems expect. Source: Intel 3 Series Express Chipset and ICH9
 * data sheets.
 */
#include "dev/ich9.h"

#define LPC_PIRQ 0x60
#define PIRQ_OFF BIT(7)
#define PMBASE 0x40
#define ACPI_CNTL 0x44
#define PCIEXBAR 0x60
/* 8259 inputs that PIRQs may be routed to: not 0, 1, 2, 8, 13. */
#define ROUTABLE 0xdef8u

static void isa_update(struct ich9 *ich)
{
    u16 want = 0;
    for (unsigned i = 0; i < 4; i++) {
        u8 route = ich->lpc.config[LPC_PIRQ + i];
        if (ich->pirq[i] && !(route & PIRQ_OFF))
            want |= (u16)(BIT(route & 15) & ROUTABLE);
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
        ich->config.gsi.set(ich->config.gsi.opaque, 16 + line, level);
    isa_update(ich);
}

static void lpc_written(void *opaque, unsigned offset, unsigned size)
{
    if (offset < LPC_PIRQ + 4 && offset + size > LPC_PIRQ)
        isa_update(opaque);
}

int ich9_init(struct ich9 *ich, struct pci_bus *pci, const struct ich9_config *config)
{
    *ich = (struct ich9){.config = *config};
    pci_device_init(&ich->host, "q35-host", 0x8086, 0x29c0, 0x060000, 2);
    u64 ecam = config->ecam_base ? config->ecam_base | 1 : 0;
    pci_config_set(&ich->host, PCIEXBAR, (u32)ecam, 4);
    pci_config_set(&ich->host, PCIEXBAR + 4, (u32)(ecam >> 32), 4);

    pci_device_init(&ich->lpc, "ich9-lpc", 0x8086, 0x2918, 0x060100, 2);
    ich->lpc.config[PCI_HEADER_TYPE] = 0x80;
    pci_config_set(&ich->lpc, PMBASE, config->pm_base | 1u, 4);
    ich->lpc.config[ACPI_CNTL] = 0x80; /* ACPI_EN, SCI on IRQ 9 */
    for (unsigned i = 0; i < 8; i++) {
        unsigned at = i < 4 ? LPC_PIRQ + i : LPC_PIRQ + 4 + i;
        ich->lpc.config[at] = PIRQ_OFF;
        ich->lpc.writable[at] = 0x8f;
    }
    ich->lpc.config_written = lpc_written;
    ich->lpc.opaque = ich;
    for (unsigned i = 0; i < 4; i++)
        pci->pirq[i] = (struct irq){pirq_set, ich, i};
    int err = pci_attach(pci, &ich->host, PCI_DEVFN(0, 0));
    return err ? err : pci_attach(pci, &ich->lpc, PCI_DEVFN(31, 0));
}

void ich9_reset(struct ich9 *ich)
{
    for (unsigned i = 0; i < 4; i++)
        pirq_set(ich, i, false);
}

/* Configuration space is saved by pci_state; lines are driven again by the devices behind them. */
void ich9_state(struct ich9 *ich, struct state *s)
{
    state_section(s, "ich9", 1);
    STATE_FIELD(s, ich, pirq);
    if (!state_saving(s))
        isa_update(ich);
}
