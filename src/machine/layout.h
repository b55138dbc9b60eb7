/*
 * Guest RAM: one anonymous host mapping, cut into the slots of a PC's memory map, and that map as
 * e820 ranges.
 *
 *   0 .. 640 KiB                 RAM (the last KiB is the extended BIOS data area)
 *   768 KiB .. 1 MiB             RAM that holds ACPI and SMBIOS tables, reserved in the map
 *   1 MiB .. 3 GiB               RAM
 *   3 GiB .. 4 GiB               devices, PCI configuration space at 3.5 GiB; the last page is the
 * reset ROM 4 GiB ..                     the rest of RAM
 */
#ifndef MACHINE_LAYOUT_H
#define MACHINE_LAYOUT_H

#include "base/error.h"
#include "ram/ram.h"

#define MEMORY_MIN (2ull << 20)
#define MEMORY_LOW_MAX (3ull << 30) /* where the hole for devices begins */
#define MEMORY_HIGH_START (4ull << 30)
#define MEMORY_LOW640 0xa0000ull
#define MEMORY_EBDA 0x9fc00ull
#define MEMORY_TABLES 0xe0000ull /* ACPI and SMBIOS tables up to MEMORY_TABLES_END */
#define MEMORY_TABLES_END 0xff000ull
#define MEMORY_UPPER 0xc0000ull
#define MEMORY_ECAM 0xe0000000ull /* PCI configuration space of 256 buses */
#define MEMORY_ECAM_SIZE (256ull << 20)
#define MEMORY_ROM_GPA 0xfffff000ull

enum e820_type { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3 };

struct e820_entry {
    u64 start, size;
    u32 type;
};
#define E820_ENTRIES 8

struct memory {
    u8 *base;
    u64 size; /* as the user asked */
    u64 low;  /* bytes below the hole */
    u64 high; /* bytes from 4 GiB on */
    u8 *rom;  /* one page at MEMORY_ROM_GPA, and its copy below 1 MiB */
    struct ram *ram;
    struct e820_entry e820[E820_ENTRIES];
    u32 e820_count;
};

/* 0 or -errno. `size` is a multiple of the page size. */
int MUST_CHECK memory_create(struct memory *m, u64 size, struct error *error);
void memory_destroy(struct memory *m);

#endif
