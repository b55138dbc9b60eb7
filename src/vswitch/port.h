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
#include "process/loop.h"
#include "rules/network_settings.h"
#include "vswitch/rate.h"

struct vswitch;
struct port;
struct queue;

enum port_kind { PORT_CARD, PORT_HOST, PORT_OUTSIDE, PORT_NAT };
extern const char *const port_kinds[]; /* their names */

/* What is behind a port. */
struct port_ops {
    /* Passes what came from the other end to vswitch_input, frame by frame, as long as port_may_send(). Returns false
     * if there is nothing more: the back end calls port_readable() when there is. Its descriptor is best watched with
     * EPOLLET, because a port that may not send is not filled. NULL: frames come from a library's callback. */
    bool (*fill)(struct port *port);
    /* Writes from the port's queue (queue.h) what the other end takes. The rest stays there; the back end calls
     * port_flush() when it can be written. */
    void (*flush)(struct port *port);
    /* Releases `back`. */
    void (*close)(struct port *port);
};

#define STRANGERS 8
#define PORT_OWN_MAX 4

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
    char vm[65], name[65];            /* of a card; otherwise vm is empty */
    struct mac mac, former;           /* of a card; former: what it was before, zeros if that is not known */
    struct own_mac own[PORT_OWN_MAX]; /* behind a port that is no card */
    u32 owns;
    struct card_settings set; /* texts are not kept: see vlans */
    u64 vlans[VLANS_WORDS];   /* which pass with tags; none: access port */
    bool trunk;               /* the outside is a trunk of all VLANs */
    bool linked;              /* somebody is at the other end */
    struct queue *queue;      /* frames for it */
    struct port_counters count;
    struct stranger stranger[STRANGERS];
    u32 strangers;         /* all that were seen, also those that have no place in the array */
    u64 vlan_drops_before; /* of count.dropped[DROP_VLAN], those before its VLANs last changed */

    /* The switch's own. */
    bool removed;          /* is released at the end of the round */
    bool readable;         /* fill may find something */
    bool late;             /* waits for credit */
    bool stalled;          /* kept a sender waiting for too long */
    u32 stations;          /* addresses that were learnt behind it */
    s64 allowance;         /* bytes that it may still send in this turn */
    struct link turn;      /* in the list of ports to be filled */
    struct link dirty;     /* in the list of ports to be flushed */
    struct port *held_by;  /* the port whose queue it has to wait for */
    struct link held;      /* in that port's list of senders that wait */
    u64 held_ns;           /* since when */
    struct link waiting;   /* the senders that wait for this port's queue */
    struct alarm patience; /* how long they do */
    struct bucket pace;    /* of bandwidth_maximum */
    struct alarm paced;    /* when there is credit again */
    u64 storm_ns;          /* when the second of storm_limit began */
    u32 storm;             /* broadcasts and multicasts in it */
    u64 reported_ns;       /* when a stranger was last reported */
    u64 no_address_ns;     /* when the log of its VM was last told that a NAT network has no address for it */
};

/* Returns true if fill may pass one more frame. */
static inline bool port_may_send(const struct port *port)
{
    return port->allowance > 0;
}

/* The back end has something to read: fill is called when it is the port's turn. */
void port_readable(struct port *port);
/* The back end can write again: flush is called now. */
void port_flush(struct port *port);
/* The other end has come or gone. Frames that wait for an end that has gone are dropped. */
void port_link(struct port *port, bool linked);

/* Frames of a VLAN may go there. */
static inline bool port_carries(const struct port *port, u32 vlan)
{
    return vlan == port->set.vlan || (port->trunk && (port->vlans[vlan / 64] >> vlan % 64 & 1));
}

#endif
