/*
 * The PC's memory map: where its RAM lies, what is kept free for devices, and the e820 ranges that say so.
 *
 *     0 ..          640 KiB   RAM; the last KiB is the extended BIOS data area
 *   768 KiB ..        1 MiB   RAM that holds ACPI's root pointer, SMBIOS tables and a copy of the reset ROM
 *     1 MiB ..        3 GiB   RAM; the ACPI tables are in its last 64 KiB, where firmware has them: some kernels map
 *                             low memory as a whole, and cannot map single pages of it once more
 *     3 GiB ..        4 GiB   devices; PCI configuration space is at 3.5 GiB, the reset ROM in the last page
 *     4 GiB ..                the rest of RAM
 */
#ifndef MACHINE_LAYOUT_H
#define MACHINE_LAYOUT_H

#include "base/error.h"
#include "ram/ram.h"

#define LAYOUT_MIN (2ull << 20) /* the least RAM that a PC can have */

/* Addresses, in this order. */
#define LAYOUT_EBDA 0x9fc00ull       /* the extended BIOS data area, up to LAYOUT_VIDEO */
#define LAYOUT_VIDEO 0xa0000ull      /* where other PCs have video memory */
#define LAYOUT_UPPER 0xc0000ull      /* RAM again */
#define LAYOUT_TABLES 0xe0000ull     /* ACPI's root pointer, SMBIOS tables */
#define LAYOUT_TABLES_END 0xff000ull /* then a copy of the ROM */
#define LAYOUT_EXTENDED 0x100000ull
#define LAYOUT_ACPI_SIZE 0x10000ull /* of the ACPI tables, at the end of RAM below the hole */
#define LAYOUT_HOLE (3ull << 30)    /* no RAM up to LAYOUT_HIGH */
#define LAYOUT_ECAM 0xe0000000ull   /* PCI configuration space of 256 buses */
#define LAYOUT_ECAM_SIZE (256ull << 20)
#define LAYOUT_ROM 0xfffff000ull
#define LAYOUT_HIGH (4ull << 30)

enum e820_type { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3 };

struct e820_entry {
    u64 start, size;
    u32 type;
};
#define E820_ENTRIES 8

struct layout {
    u8 *base; /* host memory of RAM and ROM: one mapping, without gaps */
    int fd;   /* of the file that it is; -1: it is none */
    u64 size; /* of RAM, as the user asked */
    u64 low;  /* of RAM below LAYOUT_HOLE, as if it had no gap below 1 MiB */
    u64 acpi; /* where the ACPI tables begin; kernels and modules end below */
    u64 high; /* of RAM from LAYOUT_HIGH on */
    u8 *rom;  /* one page at LAYOUT_ROM */
    struct ram *ram;
    struct e820_entry e820[E820_ENTRIES];
    u32 e820_count;
};

/* Returns 0 or -errno. `size` is a multiple of the page size. `file`: processes of direct execution can map it. */
int MUST_CHECK layout_create(struct layout *layout, u64 size, bool file, struct error *error);
void layout_destroy(struct layout *layout);

#endif
