/*
 * SMBIOS tables, which say who made this machine. Guests show that, and choose quirks by it. pc_start writes them.
 */
#ifndef MACHINE_SMBIOS_H
#define MACHINE_SMBIOS_H

#include "machine/layout.h"

#define SMBIOS_ENTRY 0xf0000ull /* entry point; the structures follow */

void smbios_write(const struct layout *layout, u32 vcpus);

#endif
