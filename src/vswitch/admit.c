/*
 * The rules of ports: see admit.h. The order decides which reason is counted: what no port may send, who it is from,
 * the VLAN, what it is, how much there is of it.
 */
#include "vswitch/admit.h"

#include "vswitch/stranger.h"

#include <string.h>

#define TAG_AT (2 * MAC_LEN)
#define BODY_MAX (FRAME_MAX - VLAN_TAG) /* so that there is room for the tag of a trunk */
#define SECOND_NS 1000000000ull

static u32 be16(const u8 *p)
{
    return (u32)p[0] << 8 | p[1];
}

/* To the addresses that no bridge forwards: 01-80-C2-00-00-00 to 0F (IEEE 802.1Q, 8.6.3). */
static bool is_reserved(const u8 *destination)
{
    return (mac_number(destination) & ~15ull) == 0x0180c2000000;
}

static bool is_tag(u32 ethertype)
{
    return ethertype == ETHERTYPE_VLAN || ethertype == ETHERTYPE_SERVICE_VLAN;
}

/* Which VLAN it belongs to. A tag with VLAN 0 has a priority and no VLAN (IEEE 802.1Q, 9.6, "priority-tagged"). Behind
 * the native VLAN of a trunk a second tag would become the first, so there may be none. */
static enum drop find_vlan(const struct port *from, struct packet *p)
{
    u32 type = be16(p->frame + TAG_AT);
    p->vlan = from->set.vlan;
    if (!is_tag(type))
        return DROP_NONE;
    if (type == ETHERTYPE_SERVICE_VLAN)
        return DROP_VLAN;
    if (p->length < FRAME_HEADER + VLAN_TAG)
        return DROP_MALFORMED;
    u32 tag = be16(p->frame + TAG_AT + 2), vlan = tag & 0xfff;
    p->tag = VLAN_TAG;
    p->priority = tag & 0xf000;
    if (is_tag(be16(p->frame + TAG_AT + VLAN_TAG)))
        return DROP_VLAN;
    if (!vlan)
        return DROP_NONE;
    p->vlan = vlan;
    return from->trunk && vlan <= VLAN_MAX && port_carries(from, vlan) ? DROP_NONE : DROP_VLAN;
}

static enum drop check_guards(const struct port *from, const struct packet *p)
{
    if (!from->set.dhcp_guard && !from->set.router_guard)
        return DROP_NONE;
    enum frame_kind kind = frame_kind(p->frame, p->length);
    if (from->set.dhcp_guard && (kind == FRAME_DHCP_SERVER || kind == FRAME_HIDDEN))
        return DROP_DHCP;
    if (from->set.router_guard && (kind == FRAME_ROUTER || kind == FRAME_HIDDEN))
        return DROP_ROUTER;
    return DROP_NONE;
}

/* As many as the limit says in each second, which begins with the first of them. */
static enum drop check_storm(struct port *from, const struct packet *p, u64 now_ns)
{
    if (!from->set.storm_limit || !(p->frame[0] & 1))
        return DROP_NONE;
    if (now_ns - from->storm_ns >= SECOND_NS) {
        from->storm_ns = now_ns;
        from->storm = 0;
    }
    if (from->storm == from->set.storm_limit)
        return DROP_STORM;
    from->storm++;
    return DROP_NONE;
}

enum drop admit_from(struct port *from, struct packet *p, const u8 *frame, u32 length, u64 now_ns)
{
    *p = (struct packet){.frame = frame, .length = length};
    if (length < FRAME_HEADER || (frame[MAC_LEN] & 1))
        return DROP_MALFORMED;
    enum drop drop = find_vlan(from, p);
    if (drop == DROP_MALFORMED || length - p->tag > BODY_MAX)
        return DROP_MALFORMED;
    if (is_reserved(frame))
        return DROP_RESERVED;
    if (from->kind == PORT_CARD && !from->set.spoofing && memcmp(frame + MAC_LEN, from->mac.byte, MAC_LEN)) {
        stranger_seen(from, frame + MAC_LEN, now_ns);
        return DROP_SPOOFED;
    }
    if (!drop)
        drop = check_guards(from, p);
    return drop ? drop : check_storm(from, p, now_ns);
}

enum drop admit_to(const struct port *from, const struct port *to)
{
    return from->set.protect && to->set.protect ? DROP_PROTECTED : DROP_NONE;
}
