/*
 * What the files of the switch share with each other and with nobody else. All of it belongs to the switch's thread.
 */
#ifndef VSWITCH_INSIDE_H
#define VSWITCH_INSIDE_H

#include "vswitch/batch.h"
#include "vswitch/queue.h"
#include "vswitch/table.h"
#include "vswitch/vswitch.h"

#define PORTS_MAX (QUEUE_SENDERS - 1)
#define SENDER_SWITCH PORTS_MAX /* whose lane the switch's own frames are in */

struct vswitch {
    char name[65];
    struct table table;
    struct queue_pool pool;
    struct port *port[PORTS_MAX];
    u32 ports;                          /* places of the array that may be used: all behind them are empty */
    u32 destinations;                   /* of mirrors */
    struct tap_hook *hooks, *next_hook; /* next_hook: the one that is called next */
    struct vswitch_events *events;

    struct loop loop;
    struct link turns;   /* ports that have something to be read and may send */
    struct link dirty;   /* ports that have got something in this round */
    struct link removed; /* ports to be released at the end of the round */
    struct alarm sweep;  /* of the table */
    struct batch batch;
};

/* port.c: who may be read when. */
/* Ports that are to be read and may send get their turn, those that got something are flushed, those that were removed
 * are released. */
void ports_round(struct vswitch *sw);
void ports_free(struct vswitch *sw);
/* A frame of `from` is more than `to` has room for: `from` waits. */
void port_hold(struct port *from, struct port *to);
/* Something was added to its queue. */
void port_dirty(struct port *port);

#endif
