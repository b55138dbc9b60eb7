/*
 * Which code the host's CPU may execute for a guest. Most instructions that behave differently for the guest's user
 * than for the host's fault on the host, and then the translator executes them. The few others must be found first.
 */
#ifndef CPU_DIRECT_SCAN_H
#define CPU_DIRECT_SCAN_H

#include "base/types.h"

#define SCAN_BEFORE 256 /* bytes before that say how code is to be decoded */
#define SCAN_MARGIN 16  /* bytes behind: more than an instruction has but one */

/* Is there such an instruction that begins in bytes[from, to) of `size`? `xsave`: those of XSAVE's family count,
 * because the guest's XCR0 is not the host's. Uses vector registers. */
bool scan_finds(const u8 *bytes, u32 size, u32 from, u32 to, bool xsave);

#endif
