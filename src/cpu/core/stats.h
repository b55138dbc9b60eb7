/*
 * Counters of a vCPU (--stats): where it left the fast path. One row each.
 */
#ifndef CPU_CORE_STATS_H
#define CPU_CORE_STATS_H

#define STATS(X)                                                                                                       \
    X(DISPATCH, "dispatched")                                                                                          \
    X(LOOKUP, "lookups")                                                                                               \
    X(CALL, "calls")                                                                                                   \
    X(TLB_FILL, "TLB fills")                                                                                           \
    X(PLAIN, "ungrouped")                                                                                              \
    X(BOUNCE, "bounced accesses")                                                                                      \
    X(FAULT, "faults")                                                                                                 \
    X(ENTRY, "VM entries")                                                                                             \
    X(NESTED_EXIT, "VM exits")                                                                                         \
    X(HALT, "halts")                                                                                                   \
    X(BESIDE, "stores beside code")                                                                                    \
    X(CODE_CHECK, "pages of code compared")                                                                            \
    X(CODE_STALE, "blocks found stale")

enum stat {
#define X(id, text) STAT_##id,
    STATS(X)
#undef X
        STAT_COUNT
};

#endif
