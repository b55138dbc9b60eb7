/*
 * SMBIOS tables: who made this machine. Guests show it and pick quirks by it.
 */
#ifndef MACHINE_SMBIOS_H
#define MACHINE_SMBIOS_H

#include "machine/layout.h"

#define SMBIOS_ENTRY 0xf0000ull /* entry point; the structures follow */

void smbios_write(const struct layout *layout, u32 vcpus);

#endif
