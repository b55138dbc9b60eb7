/*
 * The names of a kernel's functions, from its System.map or its ELF file, for people who read RIPs.
 */
#ifndef ACCEL_SYMBOLS_H
#define ACCEL_SYMBOLS_H

#include "base/error.h"
#include "cpu/core/state.h"

#define SYMBOL_MAX 160

struct symbols;

/* Returns 0 or -errno. */
int MUST_CHECK symbols_load(const char *path, struct symbols **symbols, struct error *error);
void symbols_free(struct symbols *symbols);
/* What symbols_name does, in two steps: how far the kernel moved, true if that is sure; and the function at an address.
 */
bool symbols_slide(const struct symbols *symbols, const struct cpu_state *state, u64 *slide);
void symbols_at(const struct symbols *symbols, u64 slide, bool sure, u64 rip, char text[SYMBOL_MAX]);
/*
 * "name+0x1c" of the function that `rip` is in, or nothing. A Linux kernel that moved itself (KASLR) is found by the
 * SYSENTER or SYSCALL entry in the state's MSRs. Before the kernel has set them, it counts as not moved, and the text
 * says so.
 */
void symbols_name(const struct symbols *symbols, const struct cpu_state *state, u64 rip, char text[SYMBOL_MAX]);

#endif
