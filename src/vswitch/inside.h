/*
 * What the files of the switch share with each other and with nobody else. All of it belongs to the switch's thread.
 */
#ifndef VSWITCH_INSIDE_H
#define VSWITCH_INSIDE_H

#include "vswitch/queue.h"
#include "vswitch/table.h"
#include "vswitch/vswitch.h"

#include <sys/epoll.h>

#define PORTS_MAX (QUEUE_SENDERS - 1)
#define SENDER_SWITCH PORTS_MAX /* whose lane the switch's own frames are in */
#define EVENTS_MAX 64
#define NEVER (~0ull)

struct vswitch {
    char name[65];
    struct table table;
    struct queue_pool pool;
    struct port *port[PORTS_MAX];
    u32 ports;                          /* places of the array that may be used: all behind them are empty */
    u32 destinations;                   /* of mirrors */
    struct tap_hook *hooks, *next_hook; /* next_hook: the one that is called next */
    struct vswitch_events *events;

    /* The rounds. */
    u64 now_ns;
    struct link turns;   /* ports that have something to be read and may send */
    struct link dirty;   /* ports that have got something in this round */
    struct link removed; /* ports to be released at the end of the round */
    struct link sleepers;
    struct alarm *alarms; /* the earliest first */
    struct alarm sweep;   /* of the table */

    /* What it sleeps on. */
    int epoll, timer, stop_event;
    u64 timer_ns; /* when the timer goes off; NEVER */
    _Atomic bool stopping;
    struct watch timer_watch, stop_watch;
    struct epoll_event event[EVENTS_MAX]; /* of this turn */
    u32 event_next, event_count;
};

/* loop.c: what the switch sleeps on. */
int MUST_CHECK loop_init(struct vswitch *sw);
void loop_free(struct vswitch *sw);
/* Sleeps until there is something, or not at all unless `wait`; then calls watches and alarms. 0 or -errno. */
int MUST_CHECK loop_wait(struct vswitch *sw, bool wait);
/* Parts of that: what time it is; the alarms whose time has come. */
void loop_now(struct vswitch *sw, u64 now_ns);
void loop_ring(struct vswitch *sw);

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
