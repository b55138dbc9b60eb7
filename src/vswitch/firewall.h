/*
 * Firewalls of the host that drop what a network of ours would forward: chains of nftables at the forward hook whose
 * policy is drop, as Docker makes one, also by way of iptables.
 */
#ifndef VSWITCH_FIREWALL_H
#define VSWITCH_FIREWALL_H

#include "base/error.h"

/* Whose packets are asked for. */
struct firewall_view {
    const char *interface;
    bool ipv4, ipv6;
};

/*
 * Looks for one that drops packets which come from or go to the interface. Returns 0 if there is none or it lets them
 * pass, otherwise -EPERM with an error that names it and a hint with the rules that would let them pass. A failure of
 * nft itself is no firewall.
 */
int firewall_find(const char *nft, const struct firewall_view *view, struct error *error);
/* The same on the text of `nft -j list ruleset`. */
int firewall_in(const char *ruleset, const struct firewall_view *view, struct error *error);

#endif
