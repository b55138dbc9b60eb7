/*
 * x87 instruction and data pointers as the guest may see them. (x87.c)
 */
#ifndef CPU_INSN_X87_H
#define CPU_INSN_X87_H

#include "cpu/core/vcpu.h"

/*
 * From the host's FIP and FDP: what the guest loaded itself is shown as it is; the FIP of a translated instruction is
 * its guest RIP; anything else, host data addresses above all, is 0.
 */
void x87_pointers(struct vcpu *v, u64 host_fip, u64 host_fdp, u64 *fip, u64 *fdp);

#endif
