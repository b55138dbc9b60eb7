/*
 * Frames of guests through a whole switch: the rules of ports, learning, VLANs, mirrors, DHCP, the filter before
 * libslirp and libslirp itself, captures. The first record is the switch: flags, and four bytes per port. Each other
 * record is a frame: the port, two bytes with the least length (zeros fill it up), the frame. With ANSWERS in the first
 * byte a segment of TCP gets addresses and numbers so that it answers the last one that came to the port: connections
 * through NAT become established so. What the rules promise is checked at each port where a frame comes out.
 */
#include "fuzz.h"

#include "net/frame.h"
#include "vswitch/capture.h"
#include "vswitch/queue.h"
#include "vswitch/uplink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PORTS 6u
#define HEAD 3u /* of a record, before the frame */

#define ANSWERS 0x40u
#define SEGMENT 54u /* the headers of a TCP segment without options */
#define TCP_SYN 2u
#define TCP_FIN 1u
#define TCP_ACK 16u

enum { WITH_NAT = 1, WITH_DHCP = 2, WITH_IPV6 = 4, WITH_CAPTURE = 8, WITH_DROPS = 16, WITHOUT_DNS = 32 };
/* Bits of a port's first byte; the second one is its VLAN by vlans[], the third its trunk, the fourth its limits. */
enum { SPOOFING = 1, DHCP_GUARD = 2, ROUTER_GUARD = 4, PROTECT = 8, SOURCE = 16, DESTINATION = 32, UNLINKED = 64 };

static const u32 vlans[] = {0, 0, 10, 20};
static const char *const trunks[] = {NULL, NULL, "10,20-29", "1-4094"};
static const u8 gateway_mac[6] = {0x52, 0x55, 192, 168, 100, 1};

static struct vswitch *sw;
static struct port *port[PORTS];
static struct port *sender; /* of the frame that is on its way */
static bool from_switch;    /* no frame of a card is on its way */
static struct {
    u8 head[SEGMENT];
    u32 data;     /* bytes of data; 0 and an empty head: none has come */
} segment[PORTS]; /* the last one that came there */

/* -- what must hold where a frame comes out -- */

static u32 be16(const u8 *p)
{
    return (u32)p[0] << 8 | p[1];
}

/* Is it what a DHCP server sends, plainly written? */
static bool plain_dhcp(const u8 *f, u32 length)
{
    return length >= 38 && be16(f + 12) == 0x0800 && f[14] == 0x45 && f[23] == 17 && !(be16(f + 20) & 0x3fff) &&
           be16(f + 16) >= 28 && be16(f + 34) == 67;
}

static bool plain_router(const u8 *f, u32 length)
{
    return length >= 58 && be16(f + 12) == 0x86dd && f[14] >> 4 == 6 && f[20] == 58 && be16(f + 18) >= 8 &&
           (f[54] == 134 || f[54] == 137);
}

static void check(const struct port *to, const u8 *f, u32 length)
{
    if (length < FRAME_HEADER || length > FRAME_MAX)
        wrong("a frame of %u bytes comes out of port %s", length, to->id);
    if (f[6] & 1)
        wrong("a frame from a group comes out of port %s", to->id);
    if (f[6] == 0x52 && (f[7] == 0x55 || f[7] == 0x56)) /* what libslirp plays (IPv4, IPv6), or one that spoofs it */
        return;
    if (from_switch || !sender)
        wrong("a frame comes out of port %s that nobody sent", to->id);
    if (to == sender)
        wrong("a frame goes back to port %s", to->id);
    const struct card_settings *s = &sender->set;
    if (!s->spoofing && memcmp(f + 6, sender->mac.byte, 6))
        wrong("a spoofed frame of port %s comes out of port %s", sender->id, to->id);
    if (s->dhcp_guard && plain_dhcp(f, length))
        wrong("DHCP of the guarded port %s comes out of port %s", sender->id, to->id);
    if (s->router_guard && plain_router(f, length))
        wrong("a router behind the guarded port %s comes out of port %s", sender->id, to->id);
    if (to->set.mirror == MIRROR_DESTINATION)
        return;
    if (s->protect && to->set.protect)
        wrong("a frame of the protected port %s comes out of port %s", sender->id, to->id);
    if (!sender->trunk && !to->trunk && s->vlan != to->set.vlan)
        wrong("a frame of VLAN %u comes out of port %s", s->vlan, to->id);
    if (!to->trunk && length >= 18 && be16(f + 12) == 0x8100 && be16(f + 16) != 0x8100 && sender->trunk &&
        !to->set.vlan)
        wrong("a tagged frame comes out of the access port %s", to->id);
}

static bool is_segment(const u8 *f, u32 length)
{
    return length >= SEGMENT && be16(f + 12) == 0x0800 && f[14] == 0x45 && f[23] == 6;
}

static void note_segment(const struct port *to, const u8 *f, u32 length)
{
    u32 headers = 14 + 20 + (f[46] >> 4) * 4u;
    for (u32 i = 0; i < PORTS; i++)
        if (port[i] == to && is_segment(f, length) && !memcmp(f + 6, gateway_mac, 2)) {
            memcpy(segment[i].head, f, SEGMENT);
            segment[i].data = 14 + be16(f + 16) > headers ? 14 + be16(f + 16) - headers : 0;
        }
}

static void take(struct port *to)
{
    const u8 *frame;
    u32 length;
    while ((frame = queue_frame(to->queue, &length))) {
        check(to, frame, length);
        note_segment(to, frame, length);
        queue_taken(to->queue, length + QUEUE_PREFIX);
    }
}

static void gone(struct port *p)
{
}

static const struct port_ops ops = {.flush = take, .close = gone};

/* -- captures -- */

static struct captures captures;
static int reader[2]; /* -1: no capture */
static u8 stream[1 << 20];
static u32 have;

static u32 le32(const u8 *p)
{
    u32 v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* Reads what the capture has written, which must be whole blocks of pcapng. */
static void read_capture(void)
{
    ssize_t n;
    while (reader[0] >= 0 && (n = recv(reader[0], stream + have, sizeof(stream) - have, MSG_DONTWAIT)) > 0) {
        u32 at = 0;
        have += (u32)n;
        while (have - at >= 12) {
            u32 length = le32(stream + at + 4);
            if (length < 12 || length % 4 || length > FRAME_MAX + 2048)
                wrong("a block of %u bytes in a capture", length);
            if (have - at < length)
                break;
            if (le32(stream + at + length - 4) != length)
                wrong("a block of a capture has two lengths");
            at += length;
        }
        memmove(stream, stream + at, have -= at);
    }
}

/* -- the switch -- */

static void turn(void)
{
    if (vswitch_turn(sw, false))
        wrong("the switch cannot go on");
    read_capture();
}

static struct port *port_make(u32 i, const u8 set[4])
{
    struct error error;
    struct port *p = calloc(1, sizeof(*p));
    if (!p)
        abort();
    p->kind = PORT_CARD;
    p->ops = &ops;
    p->linked = !(set[0] & UNLINKED);
    snprintf(p->id, sizeof(p->id), "p%u", i);
    snprintf(p->vm, sizeof(p->vm), "vm%u", i);
    snprintf(p->name, sizeof(p->name), "nic0");
    p->mac = (struct mac){{2, 0, 0, 0, 0, (u8)i}};
    p->set = (struct card_settings){.spoofing = set[0] & SPOOFING,
                                    .dhcp_guard = set[0] & DHCP_GUARD,
                                    .router_guard = set[0] & ROUTER_GUARD,
                                    .protect = set[0] & PROTECT,
                                    .mirror = set[0] & SOURCE        ? MIRROR_SOURCE
                                              : set[0] & DESTINATION ? MIRROR_DESTINATION
                                                                     : MIRROR_NONE,
                                    .vlan = vlans[set[1] % ARRAY_LEN(vlans)],
                                    .trunk = trunks[set[2] % ARRAY_LEN(trunks)],
                                    .storm_limit = set[3] & 1 ? 5 : 0,
                                    .bandwidth_minimum = set[3] & 2 ? 1000000 : 0};
    if (vswitch_port_add(sw, p, &error))
        wrong("port: %s", error.text);
    return p;
}

static struct uplink *nat_make(u8 flags)
{
    const struct uplink_dirs dirs = {fuzz_folder, fuzz_folder, fuzz_folder};
    struct nat_mapping mapping[] = {{true, "0.0.0.0:5353", "192.168.100.5:53"}};
    struct nat_def def = {.name = "lab", .mapping = mapping, .mappings = 1};
    struct error error;
    struct uplink *up;
    def.set = (struct nat_settings){.prefix = "192.168.100.0/28",
                                    .prefix6 = flags & WITH_IPV6 ? "fd00:100::/64" : NULL,
                                    .backend = NAT_SLIRP,
                                    .dhcp = flags & WITH_DHCP,
                                    .dns = !(flags & WITHOUT_DNS)};
    if (uplink_nat_add(sw, &def, &dirs, &up, &error))
        wrong("NAT: %s", error.text);
    return up;
}

static u16 checksum(const u8 *p, u32 length, u32 sum)
{
    for (u32 i = 0; i < length; i++)
        sum += i & 1 ? p[i] : (u32)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (u16)~sum;
}

static void set16(u8 *to, u32 value)
{
    to[0] = (u8)(value >> 8);
    to[1] = (u8)value;
}

/* Makes the segment an answer to the last one that came to the port. */
static void answer(u8 *f, u32 length, u32 i)
{
    const u8 *to = segment[i].head;
    u32 size = is_segment(f, length) ? be16(f + 16) : 0;
    if (!to[14] || size < 40 || size > length - 14)
        return;
    memcpy(f, to + 6, 6);
    memcpy(f + 26, to + 30, 4);
    memcpy(f + 30, to + 26, 4);
    memcpy(f + 34, to + 36, 2);
    memcpy(f + 36, to + 34, 2);
    memcpy(f + 38, to + 42, 4);
    u32 next = (be16(to + 38) << 16 | be16(to + 40)) + segment[i].data + ((to[47] & (TCP_SYN | TCP_FIN)) != 0);
    set16(f + 42, next >> 16);
    set16(f + 44, next);
    f[47] = (u8)((f[47] & ~TCP_SYN) | TCP_ACK);
    set16(f + 20, 0); /* no fragment */
    set16(f + 24, 0);
    set16(f + 24, checksum(f + 14, 20, 0));
    u32 sum = 6 + size - 20;
    for (u32 at = 26; at < 34; at += 2)
        sum += be16(f + at);
    set16(f + 50, 0);
    set16(f + 50, checksum(f + 34, size - 20, sum));
}

static void feed(const struct record *r)
{
    static u8 frame[FRAME_MAX + 64];
    u32 least = be16(r->byte + 1), length = r->length - HEAD;
    memcpy(frame, r->byte + HEAD, length);
    if (least > length) {
        memset(frame + length, 0, least - length);
        length = least;
    }
    /* A frame has a buffer of just its size, so that a sanitizer sees who reads behind it. */
    u8 *exact = malloc(length ? length : 1);
    if (!exact)
        abort();
    memcpy(exact, frame, length);
    u32 from = (r->byte[0] & ~ANSWERS) % PORTS;
    if (r->byte[0] & ANSWERS)
        answer(exact, length, from);
    sender = port[from];
    u64 before = sender->count.frames_in;
    vswitch_input(sw, sender, exact, length);
    if (sender->count.frames_in != before + 1)
        wrong("a frame is not counted");
    free(exact);
    turn();
    if (r->byte[0] & ANSWERS)
        for (u32 i = 0; i < 3; i++)
            turn(); /* and what libslirp and the server send then */
}

static u32 run(const struct input *input)
{
    struct error error;
    struct uplink *up = NULL;
    if (!input->records)
        return 0;
    u8 set[1 + PORTS * 4] = {0};
    u32 size = input->record[0].length;
    memcpy(set, input->record[0].byte, size < sizeof(set) ? size : sizeof(set));
    reader[0] = reader[1] = -1;
    have = 0;
    sender = NULL;
    from_switch = false;
    memset(segment, 0, sizeof(segment));
    sw = vswitch_new("fuzz", &error);
    if (!sw)
        wrong("no switch: %s", error.text);
    for (u32 i = 0; i < PORTS; i++)
        port[i] = port_make(i, set + 1 + 4 * i);
    if (set[0] & WITH_NAT)
        up = nat_make(set[0]);
    if (set[0] & WITH_CAPTURE) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, reader) ||
            capture_start(&captures, sw, reader[1], NULL, set[0] & WITH_DROPS, &error))
            wrong("no capture: %s", error.text);
    }
    u32 fed = 0;
    for (u32 i = 1; i < input->records; i++)
        if (input->record[i].length >= HEAD) {
            feed(&input->record[i]);
            fed++;
        }
    from_switch = true;
    turn();
    if (up) {
        struct lease lease;
        struct uplink_state state;
        u32 at = 0, leases = 0;
        uplink_state(up, &state);
        while (uplink_lease(up, &at, &lease))
            leases++;
        if (leases > state.leases || state.leases > state.addresses) /* what was offered is held as well */
            wrong("%u leases, %u addresses in use of %u", leases, state.leases, state.addresses);
        uplink_remove(up);
    }
    captures_end(&captures);
    read_capture();
    if (reader[0] >= 0) {
        if (have)
            wrong("a capture ends in the middle of a block");
        close(reader[0]);
    }
    vswitch_free(sw);
    return fed;
}

/* -- inputs -- */

struct frame {
    u8 *byte;
    u32 length, room;
};

static void put(struct frame *f, const void *bytes, u32 size)
{
    if (f->room - f->length < size)
        return;
    memcpy(f->byte + f->length, bytes, size);
    f->length += size;
}

static void put8(struct frame *f, u32 value)
{
    put(f, &(u8){(u8)value}, 1);
}

static void put16(struct frame *f, u32 value)
{
    put(f, (const u8[]){(u8)(value >> 8), (u8)value}, 2);
}

static void put_random(struct frame *f, u32 size)
{
    while (size--)
        put8(f, below(256));
}

static void put_mac(struct frame *f, bool source, u8 self)
{
    static const u8 groups[][6] = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
                                   {0x33, 0x33, 0, 0, 0, 1},
                                   {0x33, 0x33, 0, 0, 0, 2},
                                   {1, 0x80, 0xc2, 0, 0, 3},
                                   {1, 0, 0x5e, 0, 0, 1},
                                   {0x33, 0x33, 0, 1, 0, 2}};
    if (source && !one_in(5)) {
        put(f, (const u8[]){2, 0, 0, 0, 0, self}, 6);
        return;
    }
    switch (below(5)) {
    case 0: put(f, groups[below(ARRAY_LEN(groups))], 6); break;
    case 1: put(f, gateway_mac, 6); break;
    case 2:
    case 3: put(f, (const u8[]){2, 0, 0, 0, 0, (u8)below(PORTS)}, 6); break;
    default: put_random(f, 6);
    }
}

static void put_ip(struct frame *f, bool source)
{
    static const u8 some[][4] = {{192, 168, 100, 1}, {192, 168, 100, 2},  {192, 168, 100, 5}, {192, 168, 100, 15},
                                 {198, 51, 100, 1},  {127, 0, 0, 1},      {0, 0, 0, 0},       {255, 255, 255, 255},
                                 {224, 0, 0, 1},     {192, 168, 100, 14}, {10, 0, 0, 1},      {239, 255, 255, 250}};
    if (source && one_in(2))
        put(f, (const u8[]){192, 168, 100, 5}, 4);
    else if (one_in(10))
        put_random(f, 4);
    else
        put(f, some[below(ARRAY_LEN(some))], 4);
}

static void put_ip6(struct frame *f)
{
    static const u8 some[][16] = {
        {0xfd, 0, 1, 0, [15] = 1},
        {0xfd, 0, 1, 0, [15] = 2},
        {0xfd, 0, 1, 0, [15] = 5},
        {0xfe, 0x80, [15] = 1},
        {0xff, 2, [15] = 1},
        {0xff, 2, [15] = 2},
        {0xff, 2, [13] = 1, 0, 2},
        {[15] = 1},
        {0},
        {0x20, 1, 0xd, 0xb8, [15] = 1},
        {0xfe, 0x80, [15] = 2},
        {0xff, 2, [11] = 1, 0xff, 0, 0, 1},
    };
    if (one_in(10))
        put_random(f, 16);
    else
        put(f, some[below(ARRAY_LEN(some))], 16);
}

static u32 a_port(void)
{
    static const u16 some[] = {67, 68, 53, 69, 546, 547, 123, 80, 7, 5353, 0, 65535};
    return one_in(4) ? below(65536) : some[below(ARRAY_LEN(some))];
}

static void put_dhcp(struct frame *f, const u8 *mac)
{
    static const u8 types[] = {1, 3, 3, 4, 7, 8, 1, 2, 5, 0, 255};
    put8(f, one_in(10) ? 2 : 1);
    put8(f, 1);
    put8(f, one_in(20) ? below(256) : 6);
    put8(f, 0);
    put_random(f, 6);
    put16(f, one_in(2) ? 0x8000 : 0);
    put_ip(f, true); /* ciaddr */
    put(f, (const u8[8]){0}, 8);
    put_ip(f, true);
    put(f, mac, 6);
    put(f, (const u8[202]){0}, 202);
    put(f, (const u8[]){0x63, 0x82, 0x53, 0x63}, 4);
    put(f, (const u8[]){53, 1, types[below(ARRAY_LEN(types))]}, 3);
    for (u32 options = below(6); options; options--) {
        static const u8 kinds[] = {50, 54, 12, 55, 61, 0, 52, 51, 57, 82, 53};
        u32 kind = kinds[below(ARRAY_LEN(kinds))];
        put8(f, kind);
        if (kind == 50 || kind == 54) {
            put8(f, one_in(10) ? below(256) : 4);
            put_ip(f, true);
        } else if (kind) {
            u32 length = below(one_in(5) ? 256 : 16);
            put8(f, length);
            put_random(f, one_in(8) ? length / 2 : length);
        }
    }
    if (!one_in(4))
        put8(f, 255);
}

/* What is behind IP's header. Its checksum is right unless nothing is. */
static void put_payload(struct frame *f, u32 protocol, const u8 *mac, const u8 *addresses, u32 address_bytes)
{
    u32 start = f->length, at = 0;
    switch (protocol) {
    case 17: {
        bool dhcp = one_in(3) && address_bytes == 8;
        put16(f, dhcp && !one_in(6) ? 68 : a_port());
        put16(f, dhcp && !one_in(6) ? 67 : a_port());
        put16(f, 0);
        put16(f, 0);
        if (dhcp)
            put_dhcp(f, mac);
        else
            put_random(f, below(one_in(4) ? 1400 : 60));
        u32 length = f->length - start;
        f->byte[start + 4] = (u8)(length >> 8);
        f->byte[start + 5] = (u8)length;
        at = 6;
        break;
    }
    case 6: {
        static const u8 flags[] = {2, 2, 2, 0x12, 0x10, 0x18, 0x11, 4, 0x29, 0x3f, 0};
        put16(f, a_port());
        put16(f, a_port());
        put_random(f, 8);
        u32 options = one_in(3) ? below(11) : 0;
        put8(f, (5 + options) << 4 | below(2));
        put8(f, one_in(10) ? below(256) : flags[below(ARRAY_LEN(flags))]);
        put16(f, below(65536));
        put16(f, 0);
        put16(f, one_in(8) ? below(65536) : 0);
        for (u32 i = 0; i < options; i++) {
            static const u8 kinds[] = {0, 1, 2, 3, 4, 5, 8};
            put8(f, kinds[below(ARRAY_LEN(kinds))]);
            put8(f, below(12));
            put_random(f, 2);
        }
        put_random(f, one_in(2) ? 0 : below(100));
        at = 16;
        break;
    }
    case 1: {
        static const u8 types[] = {8, 8, 0, 3, 5, 9, 11, 13, 17};
        put8(f, one_in(10) ? below(256) : types[below(ARRAY_LEN(types))]);
        put8(f, one_in(3) ? below(16) : 0);
        put16(f, 0);
        put_random(f, 4 + below(100));
        at = 2;
        break;
    }
    case 58: {
        static const u8 types[] = {128, 129, 133, 134, 135, 136, 137, 1, 2, 3, 130, 143};
        put8(f, one_in(10) ? below(256) : types[below(ARRAY_LEN(types))]);
        put8(f, one_in(6) ? below(256) : 0);
        put16(f, 0);
        put(f, (const u8[4]){0}, 4);
        put_ip6(f);
        for (u32 options = below(4); options; options--) {
            put8(f, below(26));
            put8(f, below(4));
            put_random(f, one_in(4) ? below(30) : 6);
        }
        at = 2;
        break;
    }
    default: put_random(f, below(100));
    }
    if (!at || f->length < start + at + 2 || one_in(12))
        return;
    u32 sum = 0, length = f->length - start;
    if (protocol != 1) { /* the pseudo header */
        for (u32 i = 0; i < address_bytes; i += 2)
            sum += be16(addresses + i);
        sum += protocol + length;
    }
    u16 value = checksum(f->byte + start, length, sum);
    f->byte[start + at] = (u8)(value >> 8);
    f->byte[start + at + 1] = (u8)value;
}

static void put_ipv4(struct frame *f, const u8 *mac)
{
    static const u8 protocols[] = {17, 17, 17, 6, 6, 1, 2, 47, 0};
    u32 start = f->length, words = one_in(8) ? 5 + below(11) : 5, protocol = protocols[below(ARRAY_LEN(protocols))];
    put8(f, 0x40 | words);
    put8(f, below(4) ? 0 : below(256));
    put16(f, 0);
    put16(f, below(4));
    put16(f, one_in(6) ? below(65536) : one_in(6) ? 0x2000 | below(8) : 0);
    put8(f, one_in(10) ? below(3) : 64);
    put8(f, protocol);
    put16(f, 0);
    put_ip(f, true);
    put_ip(f, false);
    if (f->length < start + 20)
        return;
    u8 addresses[8];
    memcpy(addresses, f->byte + start + 12, 8);
    put_random(f, words * 4 - 20);
    put_payload(f, protocol, mac, addresses, 8);
    u32 length = one_in(15) ? below(65536) : f->length - start;
    f->byte[start + 2] = (u8)(length >> 8);
    f->byte[start + 3] = (u8)length;
    u16 value = f->length - start >= words * 4 ? checksum(f->byte + start, words * 4, 0) : 0;
    f->byte[start + 10] = (u8)(value >> 8);
    f->byte[start + 11] = (u8)value;
}

static void put_ipv6(struct frame *f, const u8 *mac)
{
    static const u8 protocols[] = {17, 17, 6, 58, 58, 58, 59, 50}, headers[] = {0, 43, 44, 60, 51, 135, 139};
    u32 start = f->length, next = start + 6;
    put8(f, 0x60);
    put(f, (const u8[3]){0}, 3);
    put16(f, 0);
    put8(f, 0);
    put8(f, one_in(3) ? 64 : 255);
    put_ip6(f);
    put_ip6(f);
    if (f->length < start + 40)
        return;
    u8 addresses[32];
    memcpy(addresses, f->byte + start + 8, 32);
    for (u32 count = one_in(3) ? below(one_in(5) ? 40 : 5) : 0; count; count--) {
        f->byte[next] = headers[below(ARRAY_LEN(headers))];
        next = f->length;
        put8(f, 59);
        put8(f, one_in(8) ? below(256) : 0);
        put_random(f, 6);
        if (f->length <= next)
            return;
    }
    u32 protocol = protocols[below(ARRAY_LEN(protocols))];
    f->byte[next] = (u8)protocol;
    put_payload(f, protocol, mac, addresses, 32);
    u32 length = one_in(15) ? below(65536) : f->length - start - 40;
    f->byte[start + 4] = (u8)(length >> 8);
    f->byte[start + 5] = (u8)length;
}

static void put_arp(struct frame *f, const u8 *mac)
{
    put16(f, 1);
    put16(f, 0x0800);
    put8(f, 6);
    put8(f, 4);
    put16(f, 1 + below(2));
    put(f, mac, 6);
    put_ip(f, true);
    put(f, (const u8[6]){0}, 6);
    put_ip(f, false);
}

static void make_frame(struct record *r)
{
    struct frame f = {r->byte, HEAD, RECORD_MAX - 64};
    u8 self = (u8)below(PORTS);
    r->byte[0] = self;
    u32 least = one_in(40) ? below(65536) : one_in(40) ? FRAME_MAX - 20 + below(20) : one_in(2) ? 60 : 0;
    r->byte[1] = (u8)(least >> 8);
    r->byte[2] = (u8)least;
    put_mac(&f, false, self);
    put_mac(&f, true, self);
    const u8 mac[6] = {2, 0, 0, 0, 0, self};
    for (u32 tags = one_in(4) ? below(4) : 0; tags; tags--) {
        static const u16 ids[] = {0, 10, 20, 29, 1, 4094, 4095};
        put16(&f, one_in(4) ? ETHERTYPE_SERVICE_VLAN : ETHERTYPE_VLAN);
        put16(&f, below(16) << 12 | ids[below(ARRAY_LEN(ids))]);
    }
    u32 kind = below(10);
    static const u16 types[] = {0x0800, 0x0800, 0x0800, 0x0800, 0x86dd, 0x86dd, 0x86dd, 0x0806};
    u32 type = kind < ARRAY_LEN(types) ? types[kind] : below(65536);
    if (one_in(12)) { /* LLC and SNAP */
        put16(&f, below(1501));
        put(&f, (const u8[]){0xaa, 0xaa, 3, 0, 0, one_in(2) ? 0xf8 : 0}, 6);
    }
    put16(&f, type);
    switch (type) {
    case 0x0800: put_ipv4(&f, mac); break;
    case 0x86dd: put_ipv6(&f, mac); break;
    case 0x0806: put_arp(&f, mac); break;
    default: put_random(&f, below(80));
    }
    r->length = f.length;
    if (is_segment(r->byte + HEAD, f.length - HEAD) && !one_in(3))
        r->byte[0] |= ANSWERS;
    if (one_in(4))
        r->length = HEAD + mutate(r->byte + HEAD, r->length - HEAD, RECORD_MAX - HEAD);
}

/* A frame of port 0 to the gateway, from 192.168.100.5: without a payload one of ARP, by which libslirp learns where
 * that is; otherwise a segment to the server that the program has. */
static void make_talk(struct record *r, u32 flags, u32 data)
{
    static const u8 from[] = {192, 168, 100, 5}, to[] = {198, 51, 100, 1}, mac[] = {2, 0, 0, 0, 0, 0};
    struct frame f = {r->byte, HEAD, RECORD_MAX};
    memset(r->byte, 0, HEAD);
    put(&f, gateway_mac, 6);
    put(&f, mac, 6);
    put16(&f, flags ? 0x0800 : 0x0806);
    if (!flags) {
        put(&f, (const u8[]){0, 1, 8, 0, 6, 4, 0, 1}, 8);
        put(&f, mac, 6);
        put(&f, from, 4);
        put(&f, (const u8[6]){0}, 6);
        put(&f, (const u8[]){192, 168, 100, 1}, 4);
        r->length = f.length;
        return;
    }
    put16(&f, 0x4500);
    put16(&f, 40 + data);
    put(&f, (const u8[]){0, 1, 0, 0, 64, 6, 0, 0}, 8);
    put(&f, from, 4);
    put(&f, to, 4);
    put16(&f, 1024 + below(4));
    put16(&f, 80);
    put_random(&f, 8);
    put16(&f, 0x5000 | flags);
    put16(&f, one_in(4) ? below(65536) : 65535);
    put(&f, (const u8[4]){0}, 4);
    put_random(&f, data);
    r->length = f.length;
    u8 *ip = r->byte + HEAD + 14;
    set16(ip + 10, checksum(ip, 20, 0));
    u32 sum = 6 + 20 + data;
    for (u32 at = 12; at < 20; at += 2)
        sum += be16(ip + at);
    set16(ip + 36, checksum(ip + 20, 20 + data, sum));
}

/* A connection of port 0, which goes on between other frames. */
static void make_connection(struct input *input)
{
    static const u8 flags[] = {TCP_ACK,           TCP_ACK,     TCP_ACK | 8,  TCP_ACK | 8,
                               TCP_ACK | TCP_FIN, TCP_ACK | 4, TCP_ACK | 32, 0x3f};
    struct record *set = &input->record[0];
    set->byte[0] |= WITH_NAT;
    memset(set->byte + 1, 0, 4);
    make_talk(record_add(input), 0, 0);
    make_talk(record_add(input), TCP_SYN, 0);
    for (u32 more = below(20); more; more--) {
        struct record *r = record_add(input);
        if (one_in(4)) {
            make_frame(r);
            continue;
        }
        make_talk(r, flags[below(ARRAY_LEN(flags))], one_in(2) ? 0 : below(1400));
        r->byte[0] |= ANSWERS;
        if (one_in(8))
            r->length = HEAD + mutate(r->byte + HEAD, r->length - HEAD, RECORD_MAX - HEAD);
    }
}

static void make(struct input *input)
{
    struct record *r = record_add(input);
    put_random(&(struct frame){r->byte, 0, RECORD_MAX}, 1 + PORTS * 4);
    r->length = 1 + PORTS * 4;
    for (u32 i = 0; i < PORTS; i++) { /* most ports are no mirror and have a link */
        u8 *first = &r->byte[1 + 4 * i];
        if (!one_in(6))
            *first &= (u8) ~(SOURCE | DESTINATION | UNLINKED);
    }
    if (one_in(2))
        make_connection(input);
    for (u32 frames = 1 + below(RECORDS_MAX - input->records); frames; frames--)
        make_frame(record_add(input));
}

const struct fuzz_target fuzz_frames = {"frames", 5000, NULL, make, run};
