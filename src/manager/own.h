/*
 * The Ethernet addresses that a switch itself has on it: the gateway's and the name server's of its NAT network, the
 * host's. No card may have one of them.
 */
#ifndef MANAGER_OWN_H
#define MANAGER_OWN_H

#include "store/networks.h"

/* Refuses such an address of a card at the switch, with both names. `nat`: the switch's network, or NULL. */
int MUST_CHECK own_refuse(const struct switch_def *at, const struct nat_def *nat, const struct card_def *card,
                          struct error *error);
/* The same for all cards of a switch whose network is new or changes. */
int MUST_CHECK own_refuse_nat(const struct networks *all, const struct nat_def *nat, struct error *error);

#endif
