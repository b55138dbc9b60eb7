/*
 * A frame's way from one port to others: docs/network.md. Called on the switch's thread from the back ends of ports. A
 * frame is copied once per receiver, into the receiver's queue.
 */
#include "vswitch/admit.h"
#include "vswitch/inside.h"

#include <string.h>

#define ADDRESSES (2 * MAC_LEN)

static void show(struct vswitch *sw, const struct port *port, bool from_port, enum drop drop, const u8 *frame,
                 u32 length)
{
    for (struct tap_hook *hook = sw->hooks; hook; hook = sw->next_hook) {
        sw->next_hook = hook->next;
        hook->seen(hook, port, from_port, drop, frame, length);
    }
}

static u32 length_at(const struct packet *p, bool tagged)
{
    return p->length - p->tag + (tagged ? VLAN_TAG : 0);
}

/* Writes the frame as the port gets it. */
static void write_frame(u8 *to, const struct packet *p, bool tagged)
{
    if (!tagged && !p->tag) {
        memcpy(to, p->frame, p->length);
        return;
    }
    memcpy(to, p->frame, ADDRESSES);
    to += ADDRESSES;
    if (tagged) {
        u32 tag = p->priority | p->vlan;
        const u8 bytes[VLAN_TAG] = {ETHERTYPE_VLAN >> 8, ETHERTYPE_VLAN & 0xff, (u8)(tag >> 8), (u8)tag};
        memcpy(to, bytes, VLAN_TAG);
        to += VLAN_TAG;
    }
    memcpy(to, p->frame + ADDRESSES + p->tag, p->length - p->tag - ADDRESSES);
}

static void show_at(struct vswitch *sw, const struct port *to, enum drop drop, const struct packet *p, bool tagged)
{
    u8 copy[FRAME_MAX];
    write_frame(copy, p, tagged);
    show(sw, to, false, drop, copy, length_at(p, tagged));
}

/*
 * Brings a frame to a port. A card whose frame is for this port only (`alone`) waits if there is no room. Copies of
 * frames that others get too wait for nobody, and nobody waits for a receiver that stalls. `from` is NULL for the
 * switch itself.
 */
static enum drop deliver(struct vswitch *sw, struct port *from, struct port *to, const struct packet *p, bool alone)
{
    bool tagged = to->trunk && p->vlan != to->set.vlan, hold = false;
    u32 length = length_at(p, tagged), sender = from ? from->index : SENDER_SWITCH;
    enum drop drop = DROP_NONE;
    if (!to->linked) {
        drop = DROP_NO_LINK;
    } else if (!queue_has_room(to->queue, sender, length)) {
        hold = alone && !to->stalled && from && from->kind == PORT_CARD && !from->held_by;
        if (!hold)
            drop = to->stalled ? DROP_STALLED : DROP_QUEUE;
    }
    if (sw->hooks) {
        show_at(sw, to, drop, p, tagged);
        if (to->removed)
            return DROP_NO_LINK;
    }
    u8 *place = drop ? NULL : queue_add(to->queue, sender, from ? from->set.bandwidth_minimum : 0, length);
    if (!place) {
        drop = drop ? drop : DROP_QUEUE; /* there is no memory */
        to->count.dropped[drop]++;
        return drop;
    }
    write_frame(place, p, tagged);
    to->count.frames_out++;
    to->count.bytes_out += length;
    port_dirty(to);
    if (hold)
        port_hold(from, to);
    return DROP_NONE;
}

/* A port gets frames that are for all of a VLAN. */
static bool is_flooded(const struct port *from, const struct port *to, u32 vlan)
{
    return to != from && to->linked && port_carries(to, vlan) && !(from && admit_to(from, to));
}

/* Mirrors' destinations get the frame once. Those that get it in any case are `only` or, if that is NULL, all to which
 * it is flooded. */
static void copy_to_mirrors(struct vswitch *sw, struct port *from, const struct port *only, const struct packet *p)
{
    for (u32 i = 0; i < sw->ports; i++) {
        struct port *to = sw->port[i];
        bool has = to == from || to == only;
        if (!to || to->set.mirror != MIRROR_DESTINATION || !to->linked || has)
            continue;
        if (only || !is_flooded(from, to, p->vlan))
            deliver(sw, from, to, p, false);
    }
}

/* Returns true if the source of a mirror got it. */
static bool flood(struct vswitch *sw, struct port *from, const struct packet *p)
{
    bool source = false;
    for (u32 i = 0; i < sw->ports; i++) {
        struct port *to = sw->port[i];
        if (!to || !is_flooded(from, to, p->vlan))
            continue;
        source |= to->set.mirror == MIRROR_SOURCE;
        deliver(sw, from, to, p, false);
    }
    return source;
}

/* The port where a station of the VLAN is, or NULL if nobody knows. */
static struct port *find_port(struct vswitch *sw, const struct packet *p)
{
    u64 mac = mac_number(p->frame);
    struct port *card = table_card(&sw->table, mac);
    return card && port_carries(card, p->vlan) ? card : table_station(&sw->table, p->vlan, mac);
}

struct port *vswitch_port_behind(struct vswitch *sw, const struct port *from, const u8 *mac)
{
    return find_port(sw, &(struct packet){.frame = mac, .vlan = from->set.vlan});
}

/* A guest must not become the gateway or the host for others, even if its card may send from any address. */
static bool takes_over(const struct vswitch *sw, const struct port *from, u32 vlan, u64 mac)
{
    const struct port *known = from->kind == PORT_CARD ? table_station(&sw->table, vlan, mac) : NULL;
    return known && (known->kind == PORT_HOST || known->kind == PORT_NAT);
}

/* The source is learnt, unless it is the address of a card: that one is where it is. */
static void learn(struct vswitch *sw, struct port *from, const struct packet *p)
{
    const u8 *source = p->frame + MAC_LEN;
    if (from->kind == PORT_CARD && !memcmp(source, from->mac.byte, MAC_LEN))
        return;
    u64 mac = mac_number(source);
    if (mac && !table_card(&sw->table, mac) && !takes_over(sw, from, p->vlan, mac))
        table_learn(&sw->table, p->vlan, mac, from);
}

void vswitch_input(struct vswitch *sw, struct port *from, const u8 *frame, u32 length)
{
    struct packet p;
    struct port *to = NULL;
    if (from->removed)
        return;
    sw->batch.frames++;
    from->count.frames_in++;
    from->count.bytes_in += length;
    from->allowance -= length;
    enum drop drop = admit_from(from, &p, frame, length, sw->loop.now_ns);
    if (!drop && !(frame[0] & 1)) {
        to = find_port(sw, &p);
        if (to && to != from)
            drop = admit_to(from, to);
    }
    if (sw->hooks)
        show(sw, from, true, drop, frame, length);
    if (drop)
        from->count.dropped[drop]++;
    if (drop || from->removed) /* by a hook, or by who was told of a stranger */
        return;
    learn(sw, from, &p);
    if (to == from)
        return;
    bool source = from->set.mirror == MIRROR_SOURCE;
    if (to) {
        bool got = !deliver(sw, from, to, &p, true);
        source |= got && to->set.mirror == MIRROR_SOURCE;
    } else {
        source |= flood(sw, from, &p);
    }
    if (source && sw->destinations)
        copy_to_mirrors(sw, from, to, &p);
}

void vswitch_output(struct vswitch *sw, struct port *to, const u8 *frame, u32 length)
{
    struct packet p = {.frame = frame, .length = length, .vlan = to->set.vlan};
    if (to->removed || deliver(sw, NULL, to, &p, true))
        return;
    if (to->set.mirror == MIRROR_SOURCE && sw->destinations)
        copy_to_mirrors(sw, NULL, to, &p);
}
