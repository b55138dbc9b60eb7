/*
 * What a NAT network has itself: the addresses of its gateway and of its server of names, which follow from its
 * prefixes. Ethernet addresses follow from those of IP by libslirp's rule, whatever translates.
 */
#ifndef NET_NAT_OWN_H
#define NET_NAT_OWN_H

#include "net/mac.h"
#include "net/prefix.h"

#define NAT_OWN_MAX 4

struct mac nat_own_mac(const struct ip *ip);
/* Of prefixes, of which one may have version 0. Returns how many there are. */
u32 nat_own(const struct prefix *prefix, const struct prefix *prefix6, struct own_mac own[static NAT_OWN_MAX]);

#endif
