/*
 * Counters of a vCPU (--stats): where it left the fast path. One row each.
 */
#ifndef CPU_CORE_STATS_H
#define CPU_CORE_STATS_H

#define STATS(X)                                                                                                       \
    X(DISPATCH, "dispatched")                                                                                          \
    X(LOOKUP, "lookups")                                                                                               \
    X(CALL, "calls")                                                                                                   \
    X(SYSCALL, "system calls")                                                                                         \
    X(TLB_FILL, "TLB fills")                                                                                           \
    X(PLAIN, "ungrouped")                                                                                              \
    X(BOUNCE, "bounced accesses")                                                                                      \
    X(FAULT, "faults")                                                                                                 \
    X(ENTRY, "VM entries")                                                                                             \
    X(NESTED_EXIT, "VM exits")                                                                                         \
    X(HALT, "halts")                                                                                                   \
    X(BESIDE, "stores beside code")                                                                                    \
    X(CODE_CHECK, "pages of code compared")                                                                            \
    X(CODE_STALE, "blocks found stale")                                                                                \
    X(FILL_VICTIM, "fills by a victim")                                                                                \
    X(FILL_TAKEN, "fills in place of another")                                                                         \
    X(FETCH_FILL, "fetch fills")                                                                                       \
    X(LOOKUP_LINK, "lookups for links")                                                                                \
    X(JUMP, "jumps in C")                                                                                              \
    X(MADE, "blocks made")                                                                                             \
    X(MADE_HOT, "blocks made hot")                                                                                     \
    X(MAPPED_PIECE, "mapped.pieces")                                                                                   \
    X(MAPPED_DROP, "mapped.drops")                                                                                     \
    X(MAPPED_FLUSH, "mapped.flushes")                                                                                  \
    X(MAPPED_REFUSED, "mapped.refused")                                                                                \
    X(MAPPED_CHECKED, "mapped.checked")                                                                                \
    X(USERS_SPACE, "users.spaces")                                                                                     \
    X(USERS_END, "users.ends")                                                                                         \
    X(USERS_FAULT, "users.signals")                                                                                    \
    X(USERS_CALL, "users.calls")                                                                                       \
    X(USERS_PAGES, "users.pages")                                                                                      \
    X(USERS_DROP, "users.drops")                                                                                       \
    X(USERS_CHECK, "users.checks")                                                                                     \
    X(DIRECT_RUN, "direct.entries")                                                                                    \
    X(DIRECT_RUN_L2, "direct.entries_l2")                                                                              \
    X(DIRECT_SYSCALL, "direct.syscalls")                                                                               \
    X(DIRECT_FAULT, "direct.page_faults")                                                                              \
    X(DIRECT_OTHER, "direct.other_stops")                                                                              \
    X(DIRECT_TRAPPED, "direct.trapped")                                                                                \
    X(DIRECT_KICK, "direct.kicks")                                                                                     \
    X(DIRECT_STEP, "direct.steps")                                                                                     \
    X(DIRECT_MAP, "direct.changes")                                                                                    \
    X(DIRECT_CALL, "direct.calls")                                                                                     \
    X(DIRECT_PAGES, "direct.pages")                                                                                    \
    X(DIRECT_CHECK, "direct.checks")                                                                                   \
    X(DIRECT_UNFIT, "direct.unfit_pages")                                                                              \
    X(DIRECT_RAN_US, "direct.ran_us")                                                                                  \
    X(DIRECT_SPENT_US, "direct.spent_us")                                                                              \
    X(DIRECT_VECTORS, "direct.vectors")                                                                                \
    X(DIRECT_SPACE, "direct.processes")                                                                                \
    X(DIRECT_BEGUN, "direct.begun")                                                                                    \
    X(DIRECT_PREDICTED, "direct.predicted")                                                                            \
    X(DIRECT_GIVEN_UP, "direct.given_up")                                                                              \
    X(DIRECT_MISPREDICTED, "direct.mispredicted")

enum stat {
#define X(id, text) STAT_##id,
    STATS(X)
#undef X
        STAT_COUNT
};

#endif
