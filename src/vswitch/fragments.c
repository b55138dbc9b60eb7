/*
 * A packet that is not whole has a buffer for the longest one, and a bit for each eight bytes that have come. Fragments
 * that overlap what has come already end their packet: nobody needs them, and attackers use them (RFC 5722, 3). Called
 * on the switch's thread.
 */
#include "vswitch/fragments.h"

#include "net/mac.h"

#include <stdlib.h>
#include <string.h>

#define ETHERNET 14u
#define HEADER_MIN 20u
#define HEADER_MAX 60u
#define HEADERS (ETHERNET + HEADER_MAX)
#define PACKET_MAX 65535u
#define UNIT 8u /* fragments begin at multiples of it */
#define MORE 0x2000u
#define OFFSET 0x1fffu

/* What the fragments of a packet have in common: sender, identification, protocol and addresses. */
struct key {
    u8 mac[MAC_LEN], id[2], protocol, address[8];
};

struct packet {
    struct key key;
    u64 began_ns;
    u32 header; /* bytes of the first fragment's headers; 0: it has not come */
    u32 total;  /* bytes of data in all; 0: the last fragment has not come */
    u32 have;   /* units that have come */
    u8 come[PACKET_MAX / UNIT / 8 + 1];
    u8 frame[HEADERS + PACKET_MAX]; /* data is behind HEADERS, and headers end there */
};

struct fragments {
    struct packet *packet[FRAGMENTS_PACKETS]; /* NULL: free */
    struct packet *done;                      /* was returned by the last call */
};

struct fragments *fragments_new(void)
{
    return calloc(1, sizeof(struct fragments));
}

void fragments_free(struct fragments *f)
{
    if (!f)
        return;
    for (u32 i = 0; i < FRAGMENTS_PACKETS; i++)
        free(f->packet[i]);
    free(f->done);
    free(f);
}

static u32 get16(const u8 *p)
{
    return (u32)p[0] << 8 | p[1];
}

static void put16(u8 *p, u32 value)
{
    p[0] = (u8)(value >> 8);
    p[1] = (u8)value;
}

/* The ones' complement sum of a header (RFC 1071), 0xffff for one whose checksum is right. */
static u32 sum(const u8 *header, u32 length)
{
    u32 s = 0;
    for (u32 i = 0; i < length; i += 2)
        s += get16(header + i);
    s = (s & 0xffff) + (s >> 16);
    return (s & 0xffff) + (s >> 16);
}

static struct key key_of(const u8 *frame)
{
    const u8 *ip = frame + ETHERNET;
    struct key key = {.id = {ip[4], ip[5]}, .protocol = ip[9]};
    memcpy(key.mac, frame + MAC_LEN, MAC_LEN);
    memcpy(key.address, ip + 12, sizeof(key.address));
    return key;
}

static void forget(struct packet **p)
{
    free(*p);
    *p = NULL;
}

/* Where a packet is, or may be: its own place, a free one, or that of the oldest packet, which is given up; a sender
 * that has many gives up one of its own. */
static struct packet **place_of(struct fragments *f, const struct key *key, u64 now_ns)
{
    struct packet **unused = NULL, **oldest = NULL, **own = NULL;
    u32 owns = 0;
    for (struct packet **p = f->packet; p < f->packet + FRAGMENTS_PACKETS; p++) {
        if (*p && now_ns - (*p)->began_ns > FRAGMENTS_WAIT_NS)
            forget(p);
        if (!*p) {
            unused = p;
            continue;
        }
        if (!memcmp(&(*p)->key, key, sizeof(*key)))
            return p;
        if (!oldest || (*p)->began_ns < (*oldest)->began_ns)
            oldest = p;
        if (memcmp((*p)->key.mac, key->mac, MAC_LEN))
            continue;
        owns++;
        if (!own || (*p)->began_ns < (*own)->began_ns)
            own = p;
    }
    struct packet **place = owns >= FRAGMENTS_PER_SENDER ? own : unused ? unused : oldest;
    forget(place);
    return place;
}

/* Notes that these units have come. Returns false if one was there. */
static bool mark(struct packet *p, u32 first, u32 end)
{
    for (u32 i = first; i < end; i++) {
        if (p->come[i / 8] >> i % 8 & 1)
            return false;
        p->come[i / 8] |= (u8)(1u << i % 8);
    }
    p->have += end - first;
    return true;
}

/* Adds a fragment. Returns false if it cannot be one of this packet. */
static bool add(struct packet *p, const u8 *frame, u32 header, u32 offset, u32 size, bool more)
{
    u32 end = offset + size, units = (end + UNIT - 1) / UNIT;
    if (!size || (more && size % UNIT) || end > PACKET_MAX - header || !mark(p, offset / UNIT, units))
        return false;
    if (!more && p->total)
        return false;
    if (!more)
        p->total = end;
    if (p->total && p->have > (p->total + UNIT - 1) / UNIT)
        return false;
    if (!offset) {
        p->header = ETHERNET + header;
        memcpy(p->frame + HEADERS - p->header, frame, p->header);
    }
    memcpy(p->frame + HEADERS + offset, frame + ETHERNET + header, size);
    return true;
}

static bool is_whole(const struct packet *p)
{
    return p->header && p->total && p->have == (p->total + UNIT - 1) / UNIT;
}

/* Makes one frame of it. */
static const u8 *finish(struct packet *p, u32 *length)
{
    u8 *frame = p->frame + HEADERS - p->header, *ip = frame + ETHERNET;
    u32 header = p->header - ETHERNET;
    if (header + p->total > PACKET_MAX)
        return NULL;
    put16(ip + 2, header + p->total);
    put16(ip + 6, 0);
    put16(ip + 10, 0);
    put16(ip + 10, ~sum(ip, header) & 0xffff);
    *length = p->header + p->total;
    return frame;
}

const u8 *fragments_join(struct fragments *f, const u8 *frame, u32 *length, u64 now_ns)
{
    const u8 *ip = frame + ETHERNET;
    if (*length < ETHERNET + HEADER_MIN || get16(frame + 12) != 0x0800 || !(get16(ip + 6) & (MORE | OFFSET)))
        return frame;
    u32 header = (ip[0] & 15u) * 4, size = get16(ip + 2), offset = (get16(ip + 6) & OFFSET) * UNIT;
    if (ip[0] >> 4 != 4 || header < HEADER_MIN || size < header || size > *length - ETHERNET ||
        sum(ip, header) != 0xffff)
        return NULL;
    struct key key = key_of(frame);
    struct packet **p = place_of(f, &key, now_ns);
    if (!*p) {
        *p = calloc(1, sizeof(**p));
        if (!*p)
            return NULL;
        (*p)->key = key;
        (*p)->began_ns = now_ns;
    }
    if (!add(*p, frame, header, offset, size - header, get16(ip + 6) & MORE)) {
        forget(p);
        return NULL;
    }
    if (!is_whole(*p))
        return NULL;
    free(f->done);
    f->done = *p;
    *p = NULL;
    return finish(f->done, length);
}
