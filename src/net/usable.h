/*
 * Which addresses a network of VMs can have: those of a NAT network, and the host's on an internal switch.
 */
#ifndef NET_USABLE_H
#define NET_USABLE_H

#include "net/prefix.h"

/* Reads the prefix of a NAT network: of IPv4 with a length of 8 to 29, or of IPv6 with 64, where hosts can have
 * addresses. `setting` is the name of the option. Returns 0 or -EINVAL. */
int MUST_CHECK usable_prefix(const char *setting, const char *text, u8 version, struct prefix *prefix,
                             struct error *error);
/* Reads an address that the host can have, with the length of its prefix: "10.0.0.1/24". `network` is what it lies in.
 * Returns 0 or -EINVAL. */
int MUST_CHECK usable_address(const char *setting, const char *text, struct ip *ip, struct prefix *network,
                              struct error *error);
/* What an address of a network is if no host can have it, a phrase: "the broadcast address"; NULL if one can. */
const char *usable_not(const struct prefix *network, const struct ip *ip);

#endif
