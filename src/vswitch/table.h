/*
 * Which port a station is behind. The address of a card is entered with its port and stays; other stations are learnt
 * from what they send, and forgotten when they have been silent. A port can fill its own part of the table only.
 */
#ifndef VSWITCH_TABLE_H
#define VSWITCH_TABLE_H

#include "vswitch/port.h"

#define TABLE_SILENT_S 300u
#define TABLE_PER_PORT 4096u
#define TABLE_LEARNT 65536u

struct station;

struct table {
    struct station *slot;
    u32 slots;  /* a power of two; at most half of them are used */
    u32 used;   /* by cards and stations that were learnt */
    u32 learnt; /* by the latter */
    u64 secret; /* so that nobody can choose addresses that meet in one place */
    u32 now_s;  /* the caller's clock */
};

/* Each returns 0 or -errno. */
int MUST_CHECK table_init(struct table *t);
int MUST_CHECK table_add_card(struct table *t, struct port *port);
void table_free(struct table *t);

/* The port of the card with that address, whatever the VLAN, or NULL. */
struct port *table_card(const struct table *t, u64 mac);
/* The port from which that station last sent in that VLAN, or NULL. */
struct port *table_station(const struct table *t, u32 vlan, u64 mac);
/* Notes that a station has sent. */
void table_learn(struct table *t, u32 vlan, u64 mac, struct port *port);
/* Forgets what was learnt behind a port, and its card if `card`. */
void table_forget(struct table *t, const struct port *port, bool card);
/* Forgets the silent ones. They are not found before that either, this gives their places back. */
void table_sweep(struct table *t);

#endif
