/*
 * What the guards of a port look for in a frame. Whoever wants to evade them puts headers before it, or cuts the packet
 * in pieces so that no piece shows what it is; so headers are skipped here that no guest needs (LLC/SNAP, more than one
 * VLAN tag), and a fragment that may hide something is a kind of its own.
 */
#include "net/frame.h"

#define ETHERTYPE_IP4 0x0800u
#define ETHERTYPE_IP6 0x86ddu
#define ETHERTYPE_LEAST 0x0600u /* smaller: the length of an LLC packet (IEEE 802.3, 3.2.6) */
#define SNAP 0xaaaa03u          /* LLC: both service access points are SNAP, unnumbered information */
#define SNAP_HEADER 8u
#define ENCAPSULATIONS 8u /* tags and SNAP headers that are skipped */

enum { IP_ICMP = 1, IP_UDP = 17, IP_ICMP6 = 58 };
/* The extension headers that another header can follow (RFC 8200, RFC 4302, RFC 6275, RFC 7401, RFC 5533). */
enum {
    EXT_HOP_BY_HOP = 0,
    EXT_ROUTING = 43,
    EXT_FRAGMENT = 44,
    EXT_AUTHENTICATION = 51,
    EXT_DESTINATION = 60,
    EXT_MOBILITY = 135,
    EXT_HIP = 139,
    EXT_SHIM6 = 140,
    EXT_TEST1 = 253,
    EXT_TEST2 = 254,
};
enum { ICMP_REDIRECT = 5, ICMP_ROUTER_ADVERTISEMENT = 9, ICMP6_ROUTER_ADVERTISEMENT = 134, ICMP6_REDIRECT = 137 };
enum { PORT_DHCP_SERVER = 67, PORT_DHCP_CLIENT = 68, PORT_DHCP6_CLIENT = 546, PORT_DHCP6_SERVER = 547 };

static u32 be16(const u8 *p)
{
    return (u32)p[0] << 8 | p[1];
}

static enum frame_kind udp_kind(const u8 *p, u32 server, u32 client)
{
    return be16(p) == server || be16(p + 2) == client ? FRAME_DHCP_SERVER : FRAME_OTHER;
}

/* The ports of UDP and the type of ICMP lie in the first eight bytes, which no fragment but the first one can have. */
static enum frame_kind ip4_kind(const u8 *p, u32 length)
{
    if (length < 20)
        return FRAME_OTHER;
    u32 header = (p[0] & 15u) * 4;
    bool first = !(be16(p + 6) & 0x1fff);
    if (!first || header < 20 || length < header + 4)
        return FRAME_OTHER;
    u32 protocol = p[9];
    p += header;
    if (protocol == IP_UDP)
        return udp_kind(p, PORT_DHCP_SERVER, PORT_DHCP_CLIENT);
    if (protocol == IP_ICMP && (p[0] == ICMP_REDIRECT || p[0] == ICMP_ROUTER_ADVERTISEMENT))
        return FRAME_ROUTER;
    return FRAME_OTHER;
}

static bool is_extension(u32 header)
{
    switch (header) {
    case EXT_HOP_BY_HOP:
    case EXT_ROUTING:
    case EXT_FRAGMENT:
    case EXT_AUTHENTICATION:
    case EXT_DESTINATION:
    case EXT_MOBILITY:
    case EXT_HIP:
    case EXT_SHIM6:
    case EXT_TEST1:
    case EXT_TEST2: return true;
    default: return false;
    }
}

/* As with IPv4 only a first fragment can have what is looked for, but for one case: behind an extension header within
 * the fragment, a later fragment may write it again. So a fragment that begins with one hides what it is. */
static enum frame_kind ip6_kind(const u8 *p, u32 length)
{
    if (length < 40)
        return FRAME_OTHER;
    u32 header = p[6];
    enum frame_kind cut = FRAME_OTHER; /* what a packet is that ends within its headers */
    for (p += 40, length -= 40; is_extension(header);) {
        if (length < 8)
            return cut;
        u32 size = (p[1] + 1u) * 8;
        if (header == EXT_FRAGMENT) {
            size = 8;
            if (be16(p + 2) & 0xfff8)
                return FRAME_OTHER;
            if (p[3] & 1) {
                if (is_extension(p[0]))
                    return FRAME_HIDDEN;
                cut = FRAME_HIDDEN;
            }
        } else if (header == EXT_AUTHENTICATION) {
            size = (p[1] + 2u) * 4;
        }
        header = p[0];
        if (length < size)
            return cut;
        p += size;
        length -= size;
    }
    if (header != IP_UDP && header != IP_ICMP6)
        return FRAME_OTHER;
    if (length < 4)
        return cut;
    if (header == IP_UDP)
        return udp_kind(p, PORT_DHCP6_SERVER, PORT_DHCP6_CLIENT);
    return p[0] == ICMP6_ROUTER_ADVERTISEMENT || p[0] == ICMP6_REDIRECT ? FRAME_ROUTER : FRAME_OTHER;
}

enum frame_kind frame_kind(const u8 *frame, u32 length)
{
    u32 at = FRAME_HEADER - 2; /* of the type */
    for (u32 skipped = 0; skipped <= ENCAPSULATIONS; skipped++) {
        if (length < at + 2)
            return FRAME_OTHER;
        u32 type = be16(frame + at);
        at += 2;
        if (type == ETHERTYPE_IP4)
            return ip4_kind(frame + at, length - at);
        if (type == ETHERTYPE_IP6)
            return ip6_kind(frame + at, length - at);
        if (type == ETHERTYPE_VLAN || type == ETHERTYPE_SERVICE_VLAN) {
            at += 2;
        } else {
            if (type >= ETHERTYPE_LEAST || length < at + SNAP_HEADER || (be16(frame + at) << 8 | frame[at + 2]) != SNAP)
                return FRAME_OTHER;
            at += SNAP_HEADER - 2;
        }
    }
    return FRAME_HIDDEN;
}
