/*
 * Ethernet frames: where their fields are, and what the rules of a port ask of them. Frames come from guests, so
 * nothing here trusts a length.
 */
#ifndef NET_FRAME_H
#define NET_FRAME_H

#include "net/mac.h"

#define FRAME_HEADER 14u
#define FRAME_MAX 65553u /* an Ethernet header, one VLAN tag and what fits into an IP packet, as QEMU's cards allow */
#define VLAN_TAG 4u
#define VLAN_MAX 4094u
#define ETHERTYPE_VLAN 0x8100u
#define ETHERTYPE_SERVICE_VLAN 0x88a8u

enum frame_kind {
    FRAME_OTHER,
    FRAME_DHCP_SERVER, /* what only DHCP servers send: UDP from port 67 or to 68 (RFC 2131), from 547 or to 546 (RFC
                          8415). Clients look at the second of each pair only. */
    FRAME_ROUTER,      /* what only routers send: ICMPv6 router advertisements and redirects (RFC 4861), ICMP redirects
                          and router advertisements (RFC 792, RFC 1256) */
    FRAME_HIDDEN,      /* may be either: what it is would be known only after fragments are joined (RFC 7113, 7112), or
                          lies behind more headers than there are reasons for */
};

/* What kind of packet an Ethernet frame has, also behind VLAN tags, LLC/SNAP headers and IPv6 extension headers. */
enum frame_kind frame_kind(const u8 *frame, u32 length);

#endif
