/*
 * Which instruction sets a VM has. (isa.c)
 */
#ifndef CPU_JIT_ISA_H
#define CPU_JIT_ISA_H

#include "cpu/core/vcpu.h"

/* Once, before anything is translated. */
void isa_init(void);
/* True if the VM's CPUID shows the instruction set (ZydisISASet), or every CPU has it. */
bool isa_allowed(const struct vm *vm, u16 isa_set);

#endif
