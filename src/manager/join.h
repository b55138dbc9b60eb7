/*
 * Hyper-V's way to a NAT network is three steps: an internal switch, a network, and an address of the host at the
 * switch that lies in the network. Here they become one thing, a switch of type NAT, as soon as the third is there.
 */
#ifndef MANAGER_JOIN_H
#define MANAGER_JOIN_H

#include "store/networks.h"

/* Makes a switch of type NAT of an internal switch and a network, which has a switch of its own without cards. Cards
 * at the internal switch stay at it. `address`: the host's, "192.168.100.1/24", which must be the gateway's: the first
 * of the prefix. */
int MUST_CHECK nat_join(struct store *store, const char *switch_name, const char *nat_name, const char *address,
                        struct error *error);
/* The same with a network that is still to be created. */
int MUST_CHECK nat_adopt(struct store *store, const char *switch_name, const char *address, struct nat_def *nat,
                         struct error *error);
/* The way back, with the store's lock held: the network goes, and its switch is internal, with the gateway's address.
 */
int MUST_CHECK nat_leave(struct store *store, const struct networks *all, const struct nat_def *nat,
                         struct error *error);
/* Is it a network that came to its switch so? */
bool nat_is_joined(const struct networks *all, const struct nat_def *nat);

/* Is that the host's address in that network? */
bool nat_has_gateway(struct store *store, const char *nat, const char *address);
/* Writes the name of the NAT network that has the address, and returns true; or false. */
bool nat_having(struct store *store, const char *address, char *name, size_t size);
/* The same of an internal switch whose network, by its address, is the prefix. `address` gets the switch's. */
bool switch_having(struct store *store, const char *prefix, char *name, size_t size, char *address, size_t room);

#endif
