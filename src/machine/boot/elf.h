/*
 * The parts of an ELF file that a boot loader uses, 32-bit and 64-bit alike.
 */
#ifndef MACHINE_BOOT_ELF_H
#define MACHINE_BOOT_ELF_H

#include "machine/boot/boot.h"

#include <elf.h>

/* From here on a file says which CPU it is for. */
#define ELF_MACHINE_END offsetof(Elf32_Ehdr, e_version)

struct elf {
    const struct boot_file *file;
    bool is64;
    u16 machine;
    u64 entry;
    u64 phoff;
    u16 phnum, phentsize;
};

struct elf_segment {
    u32 type;
    u64 offset, vaddr, paddr, filesz, memsz;
};

bool elf_detect(const struct boot_file *file);
/* Returns false if the headers are not all there. */
bool elf_open(struct elf *elf, const struct boot_file *file);
bool elf_segment(const struct elf *elf, u16 index, struct elf_segment *s);
/* Returns the name of the CPU that the file is for, for a message. */
const char *elf_machine_name(u16 machine);

/* Copies the loadable segments to their physical addresses, none of which may be in `taken`. *end gets
 * the highest address used. */
int MUST_CHECK elf_load(const struct elf *elf, const struct layout *layout, const char *name,
                        const struct boot_range *taken, u64 *end, struct error *error);
/* Checks that every loadable segment is in the file. */
int MUST_CHECK elf_check(const struct elf *elf, const char *name, struct error *error);
/* Returns the entry point as a physical address. */
u64 elf_entry_physical(const struct elf *elf);

#endif
