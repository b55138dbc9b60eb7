/*
 * Where struct vcpu has what enter.S touches: bytes from its start. Assembler reads this file, so it holds #defines
 * only. vcpu.h asserts each line.
 */
#ifndef CPU_CORE_LAYOUT_H
#define CPU_CORE_LAYOUT_H

/* RSP of translated code points so far into the vCPU. % 64 == 12: RSP itself is the shift count of the TLB check. */
#define VCPU_BIAS 268

#define VCPU_HOST_RSP 2464
#define VCPU_RESUME 2472
#define VCPU_RESUME_RCX 2480
#define VCPU_RESUME_R11 2488
#define VCPU_VECTORS_LIVE 2496
#define VCPU_GPR 56
#define VCPU_ARITH 2520

#endif
