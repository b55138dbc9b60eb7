/*
 * The ports of a switch: who is added and removed, who is read when, and who waits for whom.
 *
 * A port is read when it is readable, no queue holds it and it has credit; then it is in the list of turns. In a round
 * each of them may send ROUND_BYTES. A sender that a full queue holds waits PATIENCE_NS for it; when a receiver has let
 * one wait for longer, it has stalled, and nobody waits for it until half of its queue is gone.
 */
#include "vswitch/inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUND_BYTES (64 << 10)
#define PATIENCE_NS 100000000ull
#define PACE_LATE_NS 200000000ull   /* credit that is kept when the switch itself comes too late */
#define PACE_BURST_NS 20000000ull   /* credit for a burst after the port had nothing to send */
#define PACE_STEP_NS 1000000ull     /* a port sleeps until it may send for that long or, if that is less, ... */
#define PACE_STEP_BYTES (64u << 10) /* ... that many bytes */

const char *const port_kinds[] = {
    [PORT_CARD] = "card", [PORT_HOST] = "host", [PORT_OUTSIDE] = "outside", [PORT_NAT] = "nat"};

static void turn_if_able(struct port *port)
{
    if (port->readable && !port->late && !port->held_by && !port->removed && list_empty(&port->turn))
        list_add(&port->sw->turns, &port->turn);
}

void port_readable(struct port *port)
{
    if (!port->readable && port->pace.rate) {
        bucket_refill(&port->pace, port->sw->loop.now_ns);
        bucket_clip(&port->pace, PACE_BURST_NS);
    }
    port->readable = true;
    turn_if_able(port);
}

void port_dirty(struct port *port)
{
    if (list_empty(&port->dirty))
        list_add(&port->sw->dirty, &port->dirty);
}

/* Credit. */

static void paced_ring(struct alarm *alarm)
{
    struct port *port = container_of(alarm, struct port, paced);
    port->late = false;
    turn_if_able(port);
}

/* Sleeps until there is credit for more than a frame, so that it does not wake for each. */
static void wait_for_credit(struct port *port)
{
    u64 step = bucket_time(&port->pace, PACE_STEP_BYTES), now = port->sw->loop.now_ns;
    if (step > PACE_STEP_NS)
        step = PACE_STEP_NS;
    port->late = true;
    list_remove(&port->turn);
    vswitch_alarm(port->sw, &port->paced, now + step + (u64)-port->pace.credit_ns);
}

static void take_turn(struct port *port)
{
    u64 before = port->count.bytes_in;
    port->allowance = ROUND_BYTES;
    if (port->pace.rate) {
        bucket_refill(&port->pace, port->sw->loop.now_ns);
        u64 bytes = bucket_bytes(&port->pace);
        if (!bytes) {
            wait_for_credit(port);
            return;
        }
        if (bytes < ROUND_BYTES)
            port->allowance = (s64)bytes;
    }
    port->readable = false;
    if (port->ops->fill(port))
        port->readable = true;
    port->allowance = 0;
    if (port->pace.rate) {
        bucket_take(&port->pace, port->count.bytes_in - before);
        if (port->pace.credit_ns <= 0)
            wait_for_credit(port);
    }
    turn_if_able(port);
}

/* Queues that hold senders. */

static void release(struct port *from)
{
    list_remove(&from->held);
    from->held_by = NULL;
    turn_if_able(from);
}

static void release_all(struct port *to)
{
    struct link *l;
    while ((l = list_pop(&to->waiting)))
        release(container_of(l, struct port, held));
    vswitch_alarm(to->sw, &to->patience, 0);
}

void port_hold(struct port *from, struct port *to)
{
    from->held_by = to;
    from->held_ns = to->sw->loop.now_ns;
    from->allowance = 0;
    list_remove(&from->turn);
    list_add(&to->waiting, &from->held);
    if (!to->patience.at_ns)
        vswitch_alarm(to->sw, &to->patience, from->held_ns + PATIENCE_NS);
}

/* Something was taken from the queue. */
static void eased(struct port *to)
{
    if (to->stalled && to->queue->bytes <= QUEUE_BYTES / 2)
        to->stalled = false;
    for (struct link *l = to->waiting.after, *after; l != &to->waiting; l = after) {
        struct port *from = container_of(l, struct port, held);
        after = l->after;
        if (queue_has_room(to->queue, from->index, QUEUE_EASED))
            release(from);
    }
    if (list_empty(&to->waiting) && to->patience.at_ns)
        vswitch_alarm(to->sw, &to->patience, 0);
}

void port_flush(struct port *port)
{
    list_remove(&port->dirty);
    if (port->removed || !port->queue->bytes)
        return;
    port->ops->flush(port);
    eased(port);
}

static void patience_ring(struct alarm *alarm)
{
    struct port *to = container_of(alarm, struct port, patience);
    port_flush(to); /* it may have taken something without telling */
    if (list_empty(&to->waiting))
        return;
    u64 until = container_of(to->waiting.after, struct port, held)->held_ns + PATIENCE_NS;
    if (until > to->sw->loop.now_ns) {
        vswitch_alarm(to->sw, &to->patience, until);
        return;
    }
    to->stalled = true;
    release_all(to);
}

void port_link(struct port *port, bool linked)
{
    port->linked = linked;
    if (linked || !port->queue)
        return;
    u64 bytes = 0;
    u32 frames = queue_clear(port->queue, &bytes);
    port->count.frames_out -= frames;
    port->count.bytes_out -= bytes;
    port->count.dropped[DROP_NO_LINK] += frames;
    port->stalled = false;
    release_all(port);
}

/* Settings. */

static void take_settings(struct port *port, const struct card_settings *set)
{
    struct vswitch *sw = port->sw;
    struct card_settings old = port->set;
    struct error error;
    u64 vlans[VLANS_WORDS] = {0};
    bool has_trunk = set->trunk && *set->trunk;
    if (port->kind == PORT_OUTSIDE)
        memset(vlans, 0xff, sizeof(vlans));
    else if (has_trunk && vlans_parse(set->trunk, vlans, &error))
        memset(vlans, 0, sizeof(vlans)); /* who has taken the settings has refused that */
    bool vlans_changed = old.vlan != set->vlan || memcmp(port->vlans, vlans, sizeof(vlans));
    if (vlans_changed)
        port->vlan_drops_before = port->count.dropped[DROP_VLAN];
    port->set = *set;
    port->set.mac = port->set.switch_name = port->set.trunk = NULL;
    memcpy(port->vlans, vlans, sizeof(vlans));
    port->trunk = port->kind == PORT_OUTSIDE || has_trunk;
    sw->destinations += (set->mirror == MIRROR_DESTINATION) - (old.mirror == MIRROR_DESTINATION);
    if (vlans_changed || (old.spoofing && !set->spoofing))
        table_forget(&sw->table, port, false);
    if (set->spoofing) {
        memset(port->stranger, 0, sizeof(port->stranger));
        port->strangers = 0;
        port->reported_ns = 0;
    }
    if (port->pace.rate != set->bandwidth_maximum) {
        bucket_set(&port->pace, set->bandwidth_maximum, PACE_LATE_NS, sw->loop.now_ns);
        bucket_clip(&port->pace, PACE_BURST_NS);
        vswitch_alarm(sw, &port->paced, 0);
        port->late = false;
        turn_if_able(port);
    }
}

void vswitch_port_set(struct vswitch *sw, struct port *port, const struct card_settings *set)
{
    take_settings(port, set);
}

static void name_of(const struct port *port, char *text, size_t size)
{
    if (*port->vm)
        snprintf(text, size, "the card %s of the VM %s", port->name, port->vm);
    else
        snprintf(text, size, "the port %s", port->id);
}

static int refuse_mac(const struct vswitch *sw, const struct port *card, const char *other, struct error *error)
{
    char mine[160], mac[MAC_TEXT_MAX];
    name_of(card, mine, sizeof(mine));
    mac_format(&card->mac, mac);
    error_set(error, -EEXIST, "%s cannot have the address %s on the switch %s: %s has it", mine, mac, sw->name, other);
    return error_hint(error, "give the card another address");
}

static const char *owner_of(const struct port *port, const struct mac *mac)
{
    for (u32 i = 0; i < port->owns; i++)
        if (!memcmp(&port->own[i].mac, mac, sizeof(*mac)))
            return port->own[i].owner;
    return NULL;
}

static int refuse_twice(struct vswitch *sw, const struct port *port, struct error *error)
{
    char other[160];
    for (struct port *p = NULL; (p = vswitch_port_next(sw, p));) {
        name_of(p, other, sizeof(other));
        if (!strcmp(p->id, port->id))
            return error_set(error, -EEXIST, "the switch %s has a port %s already: %s", sw->name, p->id, other);
        if (port->kind != PORT_CARD)
            continue;
        const char *owner = owner_of(p, &port->mac);
        bool same = p->kind == PORT_CARD && !memcmp(&p->mac, &port->mac, sizeof(p->mac));
        if (owner || same)
            return refuse_mac(sw, port, owner ? owner : other, error);
    }
    return 0;
}

int vswitch_port_own(struct vswitch *sw, struct port *port, const struct own_mac *own, u32 count, struct error *error)
{
    port->owns = 0;
    for (struct port *p = NULL; (p = vswitch_port_next(sw, p));)
        for (u32 i = 0; i < count; i++)
            if (p->kind == PORT_CARD && !memcmp(&p->mac, &own[i].mac, sizeof(p->mac)))
                return refuse_mac(sw, p, own[i].owner, error);
    port->owns = count < PORT_OWN_MAX ? count : PORT_OWN_MAX;
    for (u32 i = 0; i < port->owns; i++)
        port->own[i] = own[i];
    return 0;
}

int vswitch_port_add(struct vswitch *sw, struct port *port, struct error *error)
{
    u32 index = 0;
    if (refuse_twice(sw, port, error))
        return error->code;
    while (index < PORTS_MAX && sw->port[index])
        index++;
    if (index == PORTS_MAX)
        return error_set(error, -ENOSPC, "the switch %s has %u ports, and room for no more", sw->name, PORTS_MAX);
    port->sw = sw;
    port->index = index;
    port->queue = queue_new(&sw->pool);
    int r = port->queue ? 0 : -ENOMEM;
    if (!r && port->kind == PORT_CARD)
        r = table_add_card(&sw->table, port);
    if (r) {
        queue_free(port->queue);
        port->queue = NULL;
        return error_set(error, r, "there is no memory for one more port of the switch %s", sw->name);
    }
    list_init(&port->turn);
    list_init(&port->dirty);
    list_init(&port->held);
    list_init(&port->waiting);
    port->patience.ring = patience_ring;
    port->paced.ring = paced_ring;
    sw->port[index] = port;
    if (index >= sw->ports)
        sw->ports = index + 1;
    struct card_settings set = port->set;
    port->set = (struct card_settings){0};
    take_settings(port, &set);
    return 0;
}

void vswitch_port_remove(struct vswitch *sw, struct port *port)
{
    if (port->removed)
        return;
    port->removed = true;
    port->allowance = 0;
    port_link(port, false);
    if (port->held_by)
        release(port);
    vswitch_alarm(sw, &port->paced, 0);
    table_forget(&sw->table, port, true);
    sw->destinations -= port->set.mirror == MIRROR_DESTINATION;
    sw->port[port->index] = NULL;
    while (sw->ports && !sw->port[sw->ports - 1])
        sw->ports--;
    list_remove(&port->dirty);
    list_remove(&port->turn);
    list_add(&sw->removed, &port->turn);
}

struct port *vswitch_port_find(struct vswitch *sw, const char *id)
{
    for (u32 i = 0; i < sw->ports; i++) {
        if (sw->port[i] && !strcmp(sw->port[i]->id, id))
            return sw->port[i];
    }
    return NULL;
}

struct port *vswitch_port_next(struct vswitch *sw, struct port *after)
{
    for (u32 i = after ? after->index + 1 : 0; i < sw->ports; i++) {
        if (sw->port[i])
            return sw->port[i];
    }
    return NULL;
}

void ports_round(struct vswitch *sw)
{
    struct link now, *l;
    list_init(&now);
    list_move(&sw->turns, &now);
    while ((l = list_pop(&now)))
        take_turn(container_of(l, struct port, turn));
    while ((l = list_pop(&sw->dirty)))
        port_flush(container_of(l, struct port, dirty));
    while ((l = list_pop(&sw->removed))) {
        struct port *port = container_of(l, struct port, turn);
        port->ops->close(port);
        queue_free(port->queue);
        free(port);
    }
}

void ports_free(struct vswitch *sw)
{
    for (struct port *port; (port = vswitch_port_next(sw, NULL));)
        vswitch_port_remove(sw, port);
    ports_round(sw);
}
