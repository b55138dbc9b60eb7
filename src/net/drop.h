/*
 * Why a switch drops a frame: one row per reason. Counters, `switch show`, captures and docs are derived from it.
 */
#ifndef NET_DROP_H
#define NET_DROP_H

#include "base/types.h"

enum drop {
    DROP_NONE,      /* the frame passes */
    DROP_MALFORMED, /* shorter than a header, longer than FRAME_MAX, or from a group address */
    DROP_RESERVED,  /* to an address that bridges keep for themselves (IEEE 802.1Q, 8.6.3) */
    DROP_SPOOFED,   /* the source is not the port's address */
    DROP_DHCP,      /* a DHCP server behind a guarded port */
    DROP_ROUTER,    /* a router behind a guarded port */
    DROP_VLAN,      /* tagged on an access port, or a VLAN that the trunk does not carry */
    DROP_STORM,     /* more broadcasts and multicasts than the port's limit */
    DROP_PROTECTED, /* both ports are protected ones */
    DROP_NO_LINK,   /* nothing is connected to the port where it should go */
    DROP_STALLED,   /* the receiver does not read */
    DROP_QUEUE,     /* the receiver's queue is full */
    DROPS
};

struct drop_row {
    const char *name;    /* in JSON and as a counter's name */
    const char *meaning; /* a phrase */
    const char *remedy;  /* what to do; %s: the card, as VM and name for a command line; NULL: nothing */
};

extern const struct drop_row drop_rows[DROPS];

#endif
