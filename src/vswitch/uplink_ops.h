/*
 * What the kinds of uplinks have in common, for the files that implement them. All run on the switch's thread.
 */
#ifndef VSWITCH_UPLINK_OPS_H
#define VSWITCH_UPLINK_OPS_H

#include "vswitch/uplink.h"

/* One place per thing that may be wrong. */
enum problem {
    PROBLEM_FIREWALL,  /* forwarded packets are dropped */
    PROBLEM_DNS,       /* the server of names does not run */
    PROBLEM_ECHO,      /* the host lets us send no ICMP echo */
    PROBLEM_SOCKETS,   /* no more connections are possible */
    PROBLEM_POOL,      /* no address is free */
    PROBLEM_LEASES,    /* the file of leases cannot be written */
    PROBLEM_INTERFACE, /* the host's interface is gone */
    PROBLEMS
};

struct uplink_ops {
    void (*state)(const struct uplink *up, struct uplink_state *state);
    void (*check)(struct uplink *up);  /* sets `problem` to what is wrong now; NULL: it always is */
    void (*remove)(struct uplink *up); /* releases `up`, too */
};

struct uplink {
    struct vswitch *sw;
    const struct uplink_ops *ops;
    struct port *port;
    struct nat *nat; /* of a NAT network */
    struct error problem[PROBLEMS];
};

/* Makes a port with `id` of that kind, not yet in the switch. NULL: no memory. */
struct port *uplink_port_new(enum port_kind kind, const char *id, const char *name);

#endif
