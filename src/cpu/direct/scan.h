/*
 * Which code the host's CPU may execute for a guest. Most instructions that behave differently for the guest's user
 * than for the host's fault on the host, and then the translator executes them. The few others must be found first.
 */
#ifndef CPU_DIRECT_SCAN_H
#define CPU_DIRECT_SCAN_H

#include "base/types.h"

#define SCAN_BEFORE 256 /* bytes before that say how code is to be decoded */
#define SCAN_MARGIN 16  /* bytes behind: more than an instruction has but one */

/* What counts beside those that always do: */
#define SCAN_XSAVE BIT(0)  /* XSAVE's family, because the guest's XCR0 is not the host's */
#define SCAN_RDTSCP BIT(1) /* RDTSCP, because somebody may look at the TSC_AUX that it returns */

/* Is there such an instruction that begins in bytes[from, to) of `size`? Uses vector registers. */
bool scan_finds(const u8 *bytes, u32 size, u32 from, u32 to, u32 what);

/* The same, but says in `start` where they begin. Returns how many; ~0: more than `most`, or a process cannot stop
 * before one: it is not sure where it begins, or a MOV SS may be before it, or it is of XSAVE's family. */
u32 scan_list(const u8 *bytes, u32 size, u32 from, u32 to, u32 what, u32 *start, u32 most);

#endif
