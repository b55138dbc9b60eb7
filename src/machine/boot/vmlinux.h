/*
 * An unpacked Linux kernel: an ELF file, behind which are the places that change when it is moved.
 */
#ifndef MACHINE_BOOT_VMLINUX_H
#define MACHINE_BOOT_VMLINUX_H

#include "machine/boot/elf.h"

#define VMLINUX_VIRTUAL_SIZE (1ull << 30) /* of the part of the address space that a kernel which moves has */

struct vmlinux {
    struct elf elf;
    u64 link;                         /* the physical address that it is linked to: its header's pref_address */
    u64 room;                         /* what it takes from there on: its header's init_size */
    u64 relocations, relocations_end; /* in the file: lists of 32-bit words, the same if there are none */
    bool inverse;                     /* there is a list of relocations relative to what does not move */
};

/* Returns false if `file` is not such a kernel, or one that lies about itself. Then nothing of it can be used;
 * otherwise nothing of vmlinux_load can fail. */
bool MUST_CHECK vmlinux_open(struct vmlinux *v, const struct boot_file *file, u64 link, u64 room);
/* Returns true if it can be moved to other virtual addresses. */
bool vmlinux_moves(const struct vmlinux *v);
/* Puts the kernel to `to`, where `room` bytes are, `moved` bytes behind the virtual address that it is linked to. */
void vmlinux_load(const struct vmlinux *v, u8 *to, u64 moved);

#endif
