/*
 * The networks that a new one must not overlap.
 */
#ifndef MANAGER_TAKEN_H
#define MANAGER_TAKEN_H

#include "net/overlap.h"
#include "store/networks.h"

struct taken {
    struct network *list; /* free() releases it, also after an error */
    u32 count;
};

/* The networks of all NAT networks and internal switches that are defined, whether they run or not, and those of the
 * host's interfaces. The one that is asked for is left out: the internal switch or the NAT network; the other is NULL.
 */
int MUST_CHECK taken_find(const struct networks *all, const char *own_switch, const char *own_nat, struct taken *taken,
                          struct error *error);

#endif
