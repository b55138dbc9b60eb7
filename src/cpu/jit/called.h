/*
 * Called instructions by the name of their handler, for the counters of --stats: one row per handler of ops.h.
 */
#ifndef CPU_JIT_CALLED_H
#define CPU_JIT_CALLED_H

#include "cpu/insn/ops.h"

enum {
#define X(name) CALLED_##name,
    OPS(X)
#undef X
        CALLED_COUNT
};

/* The row of a handler. Those of tests, which are in no row, have that of op_ud. */
u8 called_row(insn_fn fn);
/* "mov_to_cr", or NULL behind the last row. */
const char *called_name(unsigned row);

#endif
