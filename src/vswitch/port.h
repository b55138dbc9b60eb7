/*
 * A port of a switch: a card of a VM, the host, the outside or a NAT network. All ports of a switch belong to its one
 * thread, which reads frames from a port (fill), asks the rules, and appends them to the queues of other ports, which
 * are written once per round (flush).
 */
#ifndef VSWITCH_PORT_H
#define VSWITCH_PORT_H

#include "base/error.h"
#include "net/drop.h"
#include "net/mac.h"
#include "rules/network_settings.h"

struct vswitch;
struct port;
struct queue;

enum port_kind { PORT_CARD, PORT_HOST, PORT_OUTSIDE, PORT_NAT };

/* What is behind a port. */
struct port_ops {
    /* Reads what there is, within the budget of a round, and passes each frame to vswitch_input. */
    void (*fill)(struct port *port);
    /* Writes from the port's queue as much as is taken. */
    void (*flush)(struct port *port);
    void (*close)(struct port *port);
};

#define STRANGERS 8

/* An address that a port sent from and that is not its own. */
struct stranger {
    struct mac mac;
    u64 frames, last_ns;
};

struct port_counters {
    u64 frames_in, bytes_in;   /* from the port, those that were dropped among them */
    u64 frames_out, bytes_out; /* to the port */
    u64 dropped[DROPS];        /* of the frames that it sent; DROP_NO_LINK, STALLED and QUEUE: of those for it */
};

struct port {
    struct vswitch *sw;
    enum port_kind kind;
    const struct port_ops *ops;
    void *back; /* of ops */
    u32 index;  /* in the switch, stable while the port exists */
    char id[16];
    char vm[65], name[65];    /* of a card; otherwise vm is empty */
    struct mac mac;           /* of a card */
    struct card_settings set; /* texts are not kept: see vlans */
    u64 vlans[VLANS_WORDS];   /* which pass with tags; none: access port */
    bool trunk;
    bool linked; /* somebody is at the other end */
    struct queue *queue; /* frames for it: queue.c */
    struct port_counters count;
    struct stranger stranger[STRANGERS];
    u32 strangers; /* all that were seen, also those that have no place in the array */
    /* room for the state of limits: rate.h */
};

#endif
