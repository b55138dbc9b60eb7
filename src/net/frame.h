/*
 * Ethernet frames: where their fields are, and what the rules of a port ask of them. Frames come from guests, so
 * nothing here trusts a length.
 */
#ifndef NET_FRAME_H
#define NET_FRAME_H

#include "net/mac.h"

#define FRAME_HEADER 14u
#define FRAME_MAX 65550u /* an Ethernet header, one VLAN tag and what fits into an IP packet, as QEMU's cards allow */
#define VLAN_TAG 4u
#define VLAN_MAX 4094u
#define ETHERTYPE_VLAN 0x8100u

enum frame_kind {
    FRAME_OTHER,
    FRAME_DHCP_SERVER, /* what only DHCP servers send: UDP from port 67 (RFC 2131), or from 547 (RFC 8415) */
    FRAME_ROUTER,      /* what only routers send: ICMPv6 router advertisements and redirects (RFC 4861), ICMP redirects
                          and router advertisements (RFC 792, RFC 1256) */
};

/* What kind of packet an Ethernet frame has, also behind one VLAN tag and IPv6 extension headers. */
enum frame_kind frame_kind(const u8 *frame, u32 length);

#endif
