/*
 * The DHCP server: see dhcp.h. A request is first taken apart into struct request, with all lengths checked; what is
 * done then looks at no packet any more.
 */
#include "vswitch/dhcp.h"

#include <stdio.h>
#include <string.h>

#define ETHERTYPE_IPV4 0x0800u
#define ETHER_LEN 14u
#define ETHERTYPE_ARP 0x0806u
#define ARP_LEN 28u   /* for Ethernet and IPv4 (RFC 826) */
#define ARP_SENDER 8u /* its Ethernet address, and behind that its address of IPv4 */
#define IP_LEN 20u
#define UDP_LEN 8u
#define PROTOCOL_UDP 17
#define PORT_SERVER 67u
#define PORT_CLIENT 68u

/* The fields of a message, RFC 2131, "Protocol Summary". */
enum field {
    FIELD_OP = 0,
    FIELD_HTYPE = 1,
    FIELD_HLEN = 2,
    FIELD_XID = 4,
    FIELD_FLAGS = 10,
    FIELD_CIADDR = 12,
    FIELD_YIADDR = 16,
    FIELD_SIADDR = 20,
    FIELD_GIADDR = 24,
    FIELD_CHADDR = 28,
    FIELD_SNAME = 44,
    FIELD_FILE = 108,
    FIELD_MAGIC = 236,
    FIELD_OPTIONS = 240,
};

#define MESSAGE_MIN 300u /* what BOOTP clients expect (RFC 1542, "Message Formats") */
#define MAGIC 0x63825363u
#define FLAG_BROADCAST 0x8000u
#define OP_REQUEST 1
#define OP_REPLY 2
#define HTYPE_ETHERNET 1

/* RFC 2132. */
enum option {
    OPTION_PAD = 0,
    OPTION_MASK = 1,
    OPTION_ROUTER = 3,
    OPTION_DNS = 6,
    OPTION_NAME = 12,
    OPTION_DOMAIN = 15,
    OPTION_BROADCAST = 28,
    OPTION_WANTED = 50,
    OPTION_LEASE_TIME = 51,
    OPTION_OVERLOAD = 52,
    OPTION_TYPE = 53,
    OPTION_SERVER = 54,
    OPTION_T1 = 58,
    OPTION_T2 = 59,
    OPTION_CLIENT = 61,
    OPTION_END = 255,
};

enum type { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM };

struct request {
    u8 type;
    const u8 *message;
    struct lease_client who;
    u32 ciaddr; /* the address that the client has; 0: none */
    u32 wanted;
    u32 server; /* the server that it speaks to; 0: any */
    char name[LEASE_NAME_MAX];
    u8 client[256]; /* the client identifier, with its length before it; none: length 0 */
};

static u16 get16(const u8 *p)
{
    return (u16)(p[0] << 8 | p[1]);
}

static u32 get32(const u8 *p)
{
    return (u32)get16(p) << 16 | get16(p + 2);
}

static void put16(u8 *p, u16 value)
{
    p[0] = (u8)(value >> 8);
    p[1] = (u8)value;
}

static void put32(u8 *p, u32 value)
{
    put16(p, (u16)(value >> 16));
    put16(p + 2, (u16)value);
}

static u32 mask_of(const struct prefix *prefix)
{
    return ~0u << (32 - prefix->length);
}

/* The DHCP message in a frame, NULL if there is none. */
static const u8 *message_of(const u8 *frame, u32 length, u32 *size)
{
    if (length < ETHER_LEN + IP_LEN || get16(frame + 12) != ETHERTYPE_IPV4)
        return NULL;
    const u8 *ip = frame + ETHER_LEN;
    u32 header = (ip[0] & 15u) * 4, total = get16(ip + 2);
    if (ip[0] >> 4 != 4 || header < IP_LEN || total < header + UDP_LEN || total > length - ETHER_LEN)
        return NULL;
    if (ip[9] != PROTOCOL_UDP || (get16(ip + 6) & 0x3fff)) /* a fragment */
        return NULL;
    const u8 *udp = ip + header;
    u32 datagram = get16(udp + 4);
    if (get16(udp + 2) != PORT_SERVER || datagram < UDP_LEN || datagram > total - header)
        return NULL;
    *size = datagram - UDP_LEN;
    return udp + UDP_LEN;
}

bool dhcp_is_request(const u8 *frame, u32 length)
{
    u32 size;
    return message_of(frame, length, &size);
}

static void take_option(struct request *r, u8 option, const u8 *data, u8 length)
{
    switch (option) {
    case OPTION_TYPE:
        if (length == 1)
            r->type = data[0];
        break;
    case OPTION_WANTED:
        if (length == 4)
            r->wanted = get32(data);
        break;
    case OPTION_SERVER:
        if (length == 4)
            r->server = get32(data);
        break;
    case OPTION_NAME:
        if (length >= LEASE_NAME_MAX)
            length = LEASE_NAME_MAX - 1;
        memcpy(r->name, data, length);
        r->name[length] = 0;
        break;
    case OPTION_CLIENT:
        r->client[0] = length;
        memcpy(r->client + 1, data, length);
        break;
    default: break;
    }
}

/* Returns the value of the option that says where more options are, 0 without it. */
static u8 take_options(struct request *r, const u8 *p, u32 size)
{
    u8 overload = 0;
    for (u32 i = 0; i < size && p[i] != OPTION_END;) {
        if (p[i] == OPTION_PAD) {
            i++;
            continue;
        }
        if (i + 2 > size || i + 2 + p[i + 1] > size)
            break;
        if (p[i] == OPTION_OVERLOAD && p[i + 1] == 1)
            overload = p[i + 2];
        take_option(r, p[i], p + i + 2, p[i + 1]);
        i += 2u + p[i + 1];
    }
    return overload;
}

static bool take_request(struct request *r, const u8 *frame, u32 length)
{
    u32 size;
    const u8 *m = message_of(frame, length, &size);
    if (!m || size < FIELD_OPTIONS || m[FIELD_OP] != OP_REQUEST || m[FIELD_HTYPE] != HTYPE_ETHERNET)
        return false;
    /* No relay is between us and a client of ours. */
    if (m[FIELD_HLEN] != MAC_LEN || get32(m + FIELD_MAGIC) != MAGIC || get32(m + FIELD_GIADDR))
        return false;
    if (memcmp(m + FIELD_CHADDR, frame + MAC_LEN, MAC_LEN) != 0)
        return false;
    *r = (struct request){.message = m, .ciaddr = get32(m + FIELD_CIADDR)};
    memcpy(r->who.mac.byte, m + FIELD_CHADDR, MAC_LEN);
    u8 overload = take_options(r, m + FIELD_OPTIONS, size - FIELD_OPTIONS);
    if (overload & 1)
        take_options(r, m + FIELD_FILE, FIELD_MAGIC - FIELD_FILE);
    if (overload & 2)
        take_options(r, m + FIELD_SNAME, FIELD_FILE - FIELD_SNAME);
    return !mac_is_group(&r->who.mac) && !mac_is_zero(&r->who.mac);
}

static u8 *put_option(u8 *p, u8 option, u8 length)
{
    p[0] = option;
    p[1] = length;
    return p + 2;
}

static u8 *put_number(u8 *p, u8 option, u32 value)
{
    put32(put_option(p, option, 4), value);
    return p + 6;
}

static u8 *put_bytes(u8 *p, u8 option, const void *data, u8 length)
{
    memcpy(put_option(p, option, length), data, length);
    return p + 2 + length;
}

static u16 checksum(const u8 *p, u32 length)
{
    u32 sum = 0;
    for (u32 i = 0; i < length; i += 2)
        sum += get16(p + i);
    sum = (sum & 0xffff) + (sum >> 16);
    return (u16) ~(sum + (sum >> 16));
}

/* The headers before a message of `size` bytes, from the server to an address. */
static u32 put_headers(const struct dhcp *d, u8 *frame, const u8 *to_mac, u32 to, u32 size)
{
    u8 *ip = frame + ETHER_LEN, *udp = ip + IP_LEN;
    memcpy(frame, to_mac, MAC_LEN);
    memcpy(frame + MAC_LEN, d->mac.byte, MAC_LEN);
    put16(frame + 12, ETHERTYPE_IPV4);
    memset(ip, 0, IP_LEN + UDP_LEN);
    ip[0] = 0x45;
    put16(ip + 2, (u16)(IP_LEN + UDP_LEN + size));
    ip[8] = 64;
    ip[9] = PROTOCOL_UDP;
    memcpy(ip + 12, d->gateway.byte, 4);
    put32(ip + 16, to);
    put16(ip + 10, checksum(ip, IP_LEN));
    put16(udp, PORT_SERVER);
    put16(udp + 2, PORT_CLIENT);
    put16(udp + 4, (u16)(UDP_LEN + size)); /* no checksum, as UDP over IPv4 allows */
    return ETHER_LEN + IP_LEN + UDP_LEN + size;
}

/* What the client configures itself with. */
static u8 *put_configuration(const struct dhcp *d, u8 *p)
{
    u32 mask = mask_of(&d->prefix);
    p = put_number(p, OPTION_MASK, mask);
    p = put_number(p, OPTION_BROADCAST, get32(d->gateway.byte) | ~mask);
    p = put_number(p, OPTION_ROUTER, get32(d->gateway.byte));
    if (d->dns.version)
        p = put_number(p, OPTION_DNS, get32(d->dns.byte));
    if (d->domain[0])
        p = put_bytes(p, OPTION_DOMAIN, d->domain, (u8)strlen(d->domain));
    return p;
}

static u32 answer(const struct dhcp *d, const struct request *r, u8 type, u32 address, u8 *frame)
{
    static const u8 everybody[MAC_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    u8 *m = frame + ETHER_LEN + IP_LEN + UDP_LEN, *p = m + FIELD_OPTIONS;
    memset(m, 0, DHCP_REPLY_MAX - (ETHER_LEN + IP_LEN + UDP_LEN));
    m[FIELD_OP] = OP_REPLY;
    m[FIELD_HTYPE] = HTYPE_ETHERNET;
    m[FIELD_HLEN] = MAC_LEN;
    memcpy(m + FIELD_XID, r->message + FIELD_XID, 4);
    memcpy(m + FIELD_FLAGS, r->message + FIELD_FLAGS, 2);
    memcpy(m + FIELD_CHADDR, r->who.mac.byte, MAC_LEN);
    if (type == ACK)
        put32(m + FIELD_CIADDR, r->ciaddr);
    put32(m + FIELD_YIADDR, address);
    put32(m + FIELD_MAGIC, MAGIC);
    p = put_bytes(p, OPTION_TYPE, &type, 1);
    p = put_number(p, OPTION_SERVER, get32(d->gateway.byte));
    if (address) {
        p = put_number(p, OPTION_LEASE_TIME, DHCP_LEASE_SECONDS);
        p = put_number(p, OPTION_T1, DHCP_LEASE_SECONDS / 2);
        p = put_number(p, OPTION_T2, DHCP_LEASE_SECONDS / 8 * 7);
    }
    if (type != NAK)
        p = put_configuration(d, p);
    if (r->client[0] && r->client[0] <= 64) /* RFC 6842; a longer one would not fit into every client's buffer */
        p = put_bytes(p, OPTION_CLIENT, r->client + 1, r->client[0]);
    *p++ = OPTION_END;
    u32 size = (u32)(p - m) < MESSAGE_MIN ? MESSAGE_MIN : (u32)(p - m);
    /* RFC 2131, "Constructing and sending DHCP messages". */
    bool broadcast = type == NAK || (!r->ciaddr && (get16(r->message + FIELD_FLAGS) & FLAG_BROADCAST));
    u32 to = broadcast ? ~0u : r->ciaddr ? r->ciaddr : address;
    return put_headers(d, frame, broadcast ? everybody : r->who.mac.byte, to, size);
}

static u32 discover(const struct dhcp *d, const struct request *r, s64 now, u8 *reply)
{
    u32 address = leases_offer(d->leases, &r->who, r->wanted, now);
    return address ? answer(d, r, OFFER, address, reply) : 0;
}

/* RFC 2131, "DHCPREQUEST message". This server is the only one of its network, so it also answers clients that it does
 * not know: their leases may be older than its file. */
static u32 request(const struct dhcp *d, const struct request *r, s64 now, u8 *reply)
{
    u32 address = r->wanted ? r->wanted : r->ciaddr;
    if (r->server && r->server != get32(d->gateway.byte)) {
        leases_release(d->leases, &r->who.mac, 0, now);
        return 0;
    }
    if (!address)
        return 0;
    if (leases_bind(d->leases, &r->who, address, r->name, now, now + DHCP_LEASE_SECONDS)) {
        if (!r->wanted)
            leases_heard(d->leases, &r->who.mac, address); /* it renews what it has */
        return answer(d, r, ACK, address, reply);
    }
    return answer(d, r, NAK, 0, reply);
}

void dhcp_hear(const struct dhcp *d, const u8 *frame, u32 length)
{
    struct mac mac;
    if (length < ETHER_LEN + ARP_LEN || get16(frame + 12) != ETHERTYPE_ARP)
        return;
    memcpy(mac.byte, frame + ETHER_LEN + ARP_SENDER, MAC_LEN);
    if (memcmp(mac.byte, frame + MAC_LEN, MAC_LEN) == 0)
        leases_heard(d->leases, &mac, get32(frame + ETHER_LEN + ARP_SENDER + MAC_LEN));
}

u32 dhcp_answer(const struct dhcp *d, const u8 *frame, u32 length, const char *port, s64 now,
                u8 reply[static DHCP_REPLY_MAX])
{
    struct request r;
    if (!take_request(&r, frame, length))
        return 0;
    snprintf(r.who.port, sizeof(r.who.port), "%s", port);
    switch (r.type) {
    case DISCOVER: return discover(d, &r, now, reply);
    case REQUEST: return request(d, &r, now, reply);
    case DECLINE: leases_decline(d->leases, &r.who.mac, r.wanted, now); return 0;
    case RELEASE: leases_release(d->leases, &r.who.mac, r.ciaddr, now); return 0;
    case INFORM: return r.ciaddr ? answer(d, &r, ACK, 0, reply) : 0;
    default: return 0;
    }
}
