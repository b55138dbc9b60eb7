/*
 * What it won before to execute programs directly, by a page of guest memory that a program's code lies in: files in
 * the guest's page cache stay where they are, so a program is known when it starts again. As with a predictor of
 * branches, nothing depends on it but time: programs that share an entry, or pages that have become another program's,
 * are predicted badly and learnt anew.
 */
#ifndef CPU_DIRECT_PREDICT_H
#define CPU_DIRECT_PREDICT_H

#include "base/types.h"
#include "cpu/core/tunables.h"

struct predictor {
    struct prediction {
        u32 tag; /* 0: of nothing */
        s32 won_us;
    } entry[DIRECT_PREDICTIONS];
};

/* What processes with this program won of late, in ns, or lost (< 0). 0: nothing is known. */
s64 predict(const struct predictor *p, u64 program);
/* A process with this program won so much. */
void predict_learn(struct predictor *p, u64 program, s64 won_ns);

#endif
