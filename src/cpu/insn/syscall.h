/*
 * What SYSCALL, SYSRET, SYSENTER and SYSEXIT load, for their handlers (syscall.c) and their brief forms
 * (jit/brief_syscall.c): flat segments, whatever the descriptor tables say.
 */
#ifndef CPU_INSN_SYSCALL_H
#define CPU_INSN_SYSCALL_H

#include "x86/regs.h"

/* Attributes of the code segment, without SEG_L or SEG_DB, and of the stack segment. */
#define SYSCALL_CODE(cpl)                                                                                              \
    (SEG_P | SEG_S | SEG_TYPE_CODE | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED | SEG_G | (u32)(cpl) << SEG_DPL_SHIFT)
#define SYSCALL_STACK(cpl)                                                                                             \
    (SEG_P | SEG_S | SEG_TYPE_WRITE | SEG_TYPE_ACCESSED | SEG_G | SEG_DB | (u32)(cpl) << SEG_DPL_SHIFT)

#endif
