/*
 * The reset ROM: what a processor finds at its reset vector when there is no other firmware.
 */
#ifndef MACHINE_ROM_H
#define MACHINE_ROM_H

#include "machine/layout.h"

/* Fills the ROM page and its copy below 1 MiB, the real-mode interrupt vectors, and the BIOS data area. */
void rom_write(const struct layout *layout);

#endif
