/*
 * The ACPI tables of the PC, written into guest memory before a kernel starts.
 */
#ifndef MACHINE_ACPI_H
#define MACHINE_ACPI_H

#include "machine/layout.h"

#define ACPI_RSDP MEMORY_TABLES /* where acpi_write puts the root pointer */
#define ACPI_SPACE 0x10000u     /* bytes from there on that the tables may fill */

struct acpi_config {
    u32 vcpus;
    u16 pm_base; /* ports of dev/acpi_pm.h */
    u8 sci;      /* ISA interrupt of ACPI events */
    u8 ioapic_id;
    bool hpet;
};

/* 0, or -ENOSPC when the tables do not fit (more CPUs than the machine allows). */
int MUST_CHECK acpi_write(const struct memory *m, const struct acpi_config *config);

#endif
