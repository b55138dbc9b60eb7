/*
 * Called instructions by the name of their handler. The translator asks for the row once per instruction; dispatch.c
 * counts by it.
 */
#include "cpu/jit/called.h"

_Static_assert(CALLED_COUNT <= 256, "struct insn has a byte for the row");

u8 called_row(insn_fn fn)
{
    static const insn_fn handlers[] = {
#define X(name) op_##name,
        OPS(X)
#undef X
    };
    for (unsigned i = 0; i < ARRAY_LEN(handlers); i++)
        if (handlers[i] == fn)
            return (u8)i;
    return CALLED_ud;
}

const char *called_name(unsigned row)
{
    static const char *const names[] = {
#define X(name) #name,
        OPS(X)
#undef X
    };
    return row < ARRAY_LEN(names) ? names[row] : NULL;
}
