/*
 * What a NAT network by the kernel takes of the host besides the rules of nftables: addresses and settings of its
 * interface, and that packets are forwarded. Each call does what is missing and leaves what is there.
 */
#ifndef VSWITCH_NAT_HOST_H
#define VSWITCH_NAT_HOST_H

#include "vswitch/nat.h"

/* Sets up the interface, which is there. */
int MUST_CHECK nat_host_configure(const struct nat *nat, const char *interface, struct error *error);
/* Has the host forward packets, and says so in the note of the network if it did not. */
int MUST_CHECK nat_host_forward(struct nat *nat, struct error *error);
/* What somebody took away of all this, a clause in the past tense; NULL: nothing. */
const char *nat_host_missing(const struct nat *nat, const char *interface);

#endif
