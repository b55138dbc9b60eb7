/*
 * The ACPI tables of the PC, written into guest memory before a kernel starts.
 */
#ifndef MACHINE_ACPI_H
#define MACHINE_ACPI_H

#include "machine/pc.h"

#define ACPI_RSDP LAYOUT_TABLES /* where acpi_write puts the root pointer */

/* Returns 0, or -ENOSPC if the tables do not fit: there are more CPUs than the machine allows. */
int MUST_CHECK acpi_write(const struct layout *layout, const struct pc_config *config);

#endif
