/*
 * The instruction table: how each instruction is translated.
 */
#ifndef CPU_JIT_OPTABLE_H
#define CPU_JIT_OPTABLE_H

#include "cpu/core/insn.h"

enum insn_class {
    CLASS_COPY,
    CLASS_CALL,
    CLASS_UD,
    CLASS_BRANCH,
    CLASS_STACK,
    CLASS_LEA,
    CLASS_NOP,
    CLASS_BIT,
    CLASS_XLAT
};

struct op_row {
    u16 mnemonic;
    u8 class;
    bool ends;
    insn_fn fn;
};

void optable_init(void);
const struct op_row *optable_find(u16 mnemonic);
/* True if the VM shows the instruction set (ZydisISASet). */
bool isa_allowed(const struct vm *vm, u16 isa_set);

#endif
