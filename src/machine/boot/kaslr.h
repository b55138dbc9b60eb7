/*
 * Where a Linux kernel goes whose place is random.
 */
#ifndef MACHINE_BOOT_KASLR_H
#define MACHINE_BOOT_KASLR_H

#include "machine/boot/boot.h"

struct kaslr {
    u64 size, align; /* of the kernel; a power of two */
    u64 link;        /* the physical address that it is linked to */
    u64 physical;    /* where it goes */
    u64 moved;       /* and how far behind the virtual address that it is linked to */
};

/* Returns true if the command line wants the usual place. */
bool kaslr_refused(const char *command_line);
/* Returns true if the command line changes which memory there is, so that only the kernel can choose. */
bool kaslr_limited(const char *command_line);
/* Chooses k->physical, which has the lowest place before and keeps it where there is no other, and k->moved. `taken` is
 * memory that has something else. Returns false without random numbers. */
bool MUST_CHECK kaslr_choose(struct kaslr *k, const struct layout *layout, const struct boot_range *taken);

#endif
