/*
 * What multiboot and PVH loading share: modules placed after the kernel, and small data put into low memory.
 */
#ifndef MACHINE_BOOT_MODULES_H
#define MACHINE_BOOT_MODULES_H

#include "machine/boot/boot.h"

/* Low memory from `next` to `end` that fills up. */
struct boot_area {
    const struct layout *layout;
    u64 next, end;
    bool overflow;
};

/* Reserves `size` bytes; returns their guest address and, in *at if not NULL, their host address. */
u64 boot_area_take(struct boot_area *area, u64 size, void **at);
u64 boot_area_string(struct boot_area *area, const char *text);

struct boot_placed {
    u64 start, size;
};
/* Copies each module to a page of its own from `from` on, or all of them joined (each at a multiple of
 * BOOT_INITRD_ALIGN) as one. */
int MUST_CHECK boot_modules_load(const struct boot *b, const struct layout *layout, u64 from, bool joined,
                                 struct boot_placed *placed, u32 *count, struct error *error);

#endif
