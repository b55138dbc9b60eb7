/*
 * Which instruction sets a VM has: classify.c asks for each instruction.
 */
#ifndef CPU_JIT_ISA_H
#define CPU_JIT_ISA_H

#include "cpu/core/vcpu.h"

/* Returns true if the VM's CPUID shows the instruction set (ZydisISASet), or every CPU has it. */
bool isa_allowed(const struct vm *vm, u16 isa_set);

#endif
