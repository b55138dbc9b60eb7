/*
 * The table of stations: open addressing, linear probing; what is removed leaves no gap. The key is VLAN and address in
 * one number; cards have a VLAN of their own that no frame can have.
 */
#include "vswitch/table.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define CARDS 0xfffu /* a reserved VLAN (IEEE 802.1Q, table 9-2) */
#define SLOTS_FIRST 256u

struct station {
    u64 key;
    struct port *port; /* NULL: the slot is free */
    u32 seen_s;
};

static u64 key_of(u32 vlan, u64 mac)
{
    return (u64)vlan << 48 | mac;
}

static bool is_card(const struct station *s)
{
    return s->key >> 48 == CARDS;
}

static bool is_silent(const struct table *t, const struct station *s)
{
    return !is_card(s) && t->now_s - s->seen_s > TABLE_SILENT_S;
}

static u32 home_of(const struct table *t, u64 key)
{
    u128 product = (u128)(key ^ t->secret) * 0x9e3779b97f4a7c15ull;
    u64 mixed = (u64)product ^ (u64)(product >> 64);
    product = (u128)(mixed ^ t->secret) * 0xd6e8feb86659fd93ull;
    return (u32)((u64)product ^ (u64)(product >> 64)) & (t->slots - 1);
}

/* The slot that has the key, or the free one where it belongs. */
static struct station *slot_of(const struct table *t, u64 key)
{
    u32 i = home_of(t, key);
    while (t->slot[i].port && t->slot[i].key != key)
        i = (i + 1) & (t->slots - 1);
    return &t->slot[i];
}

int table_init(struct table *t)
{
    *t = (struct table){.slots = SLOTS_FIRST};
    if (getrandom(&t->secret, sizeof(t->secret), 0) != sizeof(t->secret))
        return -EIO;
    t->slot = calloc(t->slots, sizeof(*t->slot));
    return t->slot ? 0 : -ENOMEM;
}

void table_free(struct table *t)
{
    free(t->slot);
    *t = (struct table){0};
}

/* Makes room for one more. */
static bool grow(struct table *t)
{
    if ((t->used + 1) * 2 <= t->slots)
        return true;
    struct table bigger = *t;
    bigger.slots *= 2;
    bigger.slot = calloc(bigger.slots, sizeof(*bigger.slot));
    if (!bigger.slot)
        return false;
    for (u32 i = 0; i < t->slots; i++) {
        if (t->slot[i].port)
            *slot_of(&bigger, t->slot[i].key) = t->slot[i];
    }
    free(t->slot);
    *t = bigger;
    return true;
}

/* Frees a slot, and moves those behind it that were put there because their own place was taken. */
static void release(struct table *t, u32 gap)
{
    struct station *s = &t->slot[gap];
    t->used--;
    if (!is_card(s)) {
        t->learnt--;
        s->port->stations--;
    }
    for (u32 i = (gap + 1) & (t->slots - 1); t->slot[i].port; i = (i + 1) & (t->slots - 1)) {
        u32 home = home_of(t, t->slot[i].key);
        if (((i - home) & (t->slots - 1)) >= ((i - gap) & (t->slots - 1))) {
            t->slot[gap] = t->slot[i];
            gap = i;
        }
    }
    t->slot[gap].port = NULL;
}

int table_add_card(struct table *t, struct port *port)
{
    if (!grow(t))
        return -ENOMEM;
    struct station *s = slot_of(t, key_of(CARDS, mac_number(port->mac.byte)));
    if (s->port)
        return -EEXIST;
    *s = (struct station){key_of(CARDS, mac_number(port->mac.byte)), port, 0};
    t->used++;
    return 0;
}

struct port *table_card(const struct table *t, u64 mac)
{
    return slot_of(t, key_of(CARDS, mac))->port;
}

struct port *table_station(const struct table *t, u32 vlan, u64 mac)
{
    const struct station *s = slot_of(t, key_of(vlan, mac));
    return s->port && !is_silent(t, s) ? s->port : NULL;
}

void table_learn(struct table *t, u32 vlan, u64 mac, struct port *port)
{
    struct station *s = slot_of(t, key_of(vlan, mac));
    if (s->port != port) {
        if (port->stations >= TABLE_PER_PORT || (!s->port && t->learnt >= TABLE_LEARNT) || !grow(t))
            return;
        s = slot_of(t, key_of(vlan, mac));
        if (s->port) {
            s->port->stations--;
        } else {
            s->key = key_of(vlan, mac);
            t->used++;
            t->learnt++;
        }
        s->port = port;
        port->stations++;
    }
    s->seen_s = t->now_s;
}

void table_forget(struct table *t, const struct port *port, bool card)
{
    for (u32 i = 0; i < t->slots;) {
        const struct station *s = &t->slot[i];
        if (s->port == port && (card || !is_card(s)))
            release(t, i); /* another one may be here now */
        else
            i++;
    }
}

void table_sweep(struct table *t)
{
    for (u32 i = 0; i < t->slots;) {
        if (t->slot[i].port && is_silent(t, &t->slot[i]))
            release(t, i);
        else
            i++;
    }
}
