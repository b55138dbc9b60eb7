/*
 * dnsmasq for a NAT network by the kernel: it answers names as the host would resolve them, and advertises the router
 * of IPv6. Addresses are given by our own DHCP (dhcp.h).
 */
#ifndef VSWITCH_DNSMASQ_H
#define VSWITCH_DNSMASQ_H

#include "vswitch/child.h"
#include "vswitch/nat.h"

/* Starts it on the interface. *child is NULL if the network needs none. An error names what is not installed. */
int MUST_CHECK dnsmasq_start(const struct nat *nat, const char *interface, struct child **child, struct error *error);

#endif
