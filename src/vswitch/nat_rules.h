/*
 * What nftables is told for a NAT network by the kernel: one table of the network's own, whose rules depend on nothing
 * but the definition, so that replacing it is the only change there is.
 */
#ifndef VSWITCH_NAT_RULES_H
#define VSWITCH_NAT_RULES_H

#include "vswitch/nat.h"

/* The commands for `nft -j -f -` that make the table, or replace it; with `nat` NULL: that remove it. `name` is the
 * interface's and the table's. free() releases the text. NULL: no memory. */
char *nat_rules(const struct nat *nat, const char *name);

#endif
