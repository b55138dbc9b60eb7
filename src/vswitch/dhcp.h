/*
 * A DHCP server for one NAT network, on Ethernet frames (RFC 2131, RFC 2132). Pure: it reads a request and writes the
 * answer. libslirp has one for sixteen clients, and dnsmasq would be another mechanism with other leases, so both kinds
 * of NAT have this one. Requests come from guests and may be anything. A client is its Ethernet address, which must be
 * the frame's source, so that a guest whose port is guarded against spoofing gets one lease.
 */
#ifndef VSWITCH_DHCP_H
#define VSWITCH_DHCP_H

#include "vswitch/lease.h"

#define DHCP_LEASE_SECONDS (12 * 3600)
#define DHCP_REPLY_MAX 640

struct dhcp {
    struct leases *leases;
    struct mac mac; /* the server's */
    struct prefix prefix;
    struct ip gateway;
    struct ip dns; /* version 0: none */
    char domain[80];
};

/* Returns true if the frame is for DHCP servers, also if it is malformed otherwise. */
bool dhcp_is_request(const u8 *frame, u32 length);
/* Acts on such a frame, which came from a port with that id. Returns the length of the reply, 0 if there is none.
 * `now`: seconds since 1970. */
u32 dhcp_answer(const struct dhcp *d, const u8 *frame, u32 length, const char *port, s64 now,
                u8 reply[static DHCP_REPLY_MAX]);
/* Notes that a client speaks from its address, if the frame shows that (it is one of ARP). */
void dhcp_hear(const struct dhcp *d, const u8 *frame, u32 length);

#endif
