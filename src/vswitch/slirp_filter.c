/*
 * What libslirp does not get: see slirp_filter.h. By its rules the gateway's address, and with IPv6 all of the
 * network's prefix, stand for the host's loopback; and addresses that mean the host itself are connected to like any
 * other.
 */
#include "vswitch/slirp_filter.h"

#include <string.h>

#define ETHERTYPE_IPV4 0x0800u
#define ETHERTYPE_IPV6 0x86ddu
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ICMP 1
#define PROTOCOL_ICMPV6 58
#define ICMPV6_ECHO 128
#define TCP_SYN 2u
#define TCP_ACK 16u

/* A packet taken apart. */
struct packet {
    u8 protocol;
    bool fragment;
    struct ip from, to;
    const u8 *payload; /* of `size` bytes */
    u32 size;
};

static u32 get16(const u8 *p)
{
    return (u32)p[0] << 8 | p[1];
}

static bool take_ipv4(struct packet *p, const u8 *ip, u32 length)
{
    u32 header = length ? (ip[0] & 15u) * 4 : 0;
    if (header < 20 || length < header)
        return false;
    *p = (struct packet){.protocol = ip[9], .fragment = get16(ip + 6) & 0x3fff, {4}, {4}, ip + header, length - header};
    memcpy(p->from.byte, ip + 12, 4);
    memcpy(p->to.byte, ip + 16, 4);
    return true;
}

/* Extension headers are protocols that pass nowhere near the host. */
static bool take_ipv6(struct packet *p, const u8 *ip, u32 length)
{
    if (length < 40)
        return false;
    *p = (struct packet){.protocol = ip[6], .from = {6}, .to = {6}, .payload = ip + 40, .size = length - 40};
    memcpy(p->from.byte, ip + 8, 16);
    memcpy(p->to.byte, ip + 24, 16);
    return true;
}

static bool equal(const struct ip *a, const struct ip *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* An answer of a guest's service whose port is mapped to one of the host's. */
static bool is_mapped(const struct nat *nat, const struct packet *p)
{
    for (u32 i = 0; i < nat->rules; i++) {
        const struct nat_rule *r = &nat->rule[i];
        if (!r->why.code && r->mapping.udp && r->internal.port == get16(p->payload) &&
            equal(&r->internal.address, &p->from))
            return true;
    }
    return false;
}

/* To an address that stands for the host's loopback. */
static bool passes_to_host(const struct nat *nat, const struct packet *p)
{
    if (p->protocol == PROTOCOL_ICMP || p->protocol == PROTOCOL_ICMPV6)
        return true;
    if (p->fragment)
        return false;
    if (p->protocol == PROTOCOL_TCP) /* no new connections */
        return p->size >= 14 && (p->payload[13] & (TCP_SYN | TCP_ACK)) != TCP_SYN;
    return p->protocol == PROTOCOL_UDP && p->size >= 2 && is_mapped(nat, p);
}

static bool passes_ipv4(const struct nat *nat, const struct packet *p)
{
    if (p->to.byte[0] == 0 || p->to.byte[0] == 127 || p->to.byte[0] >= 224) /* this host, or a group, or everybody */
        return false;
    return !equal(&p->to, &nat->gateway) || passes_to_host(nat, p);
}

/* What finds neighbours, and libslirp's own DHCPv6. */
static bool is_wanted_group(const struct packet *p)
{
    static const struct ip servers = {6, {0xff, 2, [13] = 1, [15] = 2}};
    return p->protocol == PROTOCOL_ICMPV6 || equal(&p->to, &servers);
}

/* The address, or the one of the link that ends alike, is one that libslirp plays. */
static bool is_played(const struct ip *address, const struct ip *to)
{
    static const u8 link[8] = {0xfe, 0x80};
    return address->version && !memcmp(to->byte + 8, address->byte + 8, 8) &&
           (!memcmp(to->byte, link, 8) || !memcmp(to->byte, address->byte, 8));
}

/* libslirp sends none to the outside, and complains of each in the log. */
static bool is_lost_echo(const struct nat *nat, const struct packet *p)
{
    return p->protocol == PROTOCOL_ICMPV6 && (!p->size || p->payload[0] == ICMPV6_ECHO) &&
           !is_played(&nat->gateway6, &p->to) && !is_played(&nat->dns6, &p->to);
}

static bool passes_ipv6(const struct nat *nat, const struct packet *p)
{
    if (is_lost_echo(nat, p))
        return false;
    if (p->to.byte[0] == 0) /* unspecified, loopback, mapped IPv4 */
        return false;
    if (p->to.byte[0] == 0xff)
        return is_wanted_group(p);
    bool is_host = nat->prefix6.address.version && prefix_has(&nat->prefix6, &p->to) && !equal(&p->to, &nat->dns6);
    return !is_host || passes_to_host(nat, p);
}

bool slirp_filter_passes(const struct nat *nat, const u8 *frame, u32 length)
{
    struct packet p;
    if (length < 14)
        return false;
    switch (get16(frame + 12)) {
    case ETHERTYPE_IPV4: return take_ipv4(&p, frame + 14, length - 14) && passes_ipv4(nat, &p);
    case ETHERTYPE_IPV6: return take_ipv6(&p, frame + 14, length - 14) && passes_ipv6(nat, &p);
    default: return true;
    }
}
