/*
 * The names of interfaces that we make on the host. Such a name has at most 15 characters, so the name of a switch or
 * NAT network stands in it as it is, if it fits, and as a number otherwise. The same name gives the same interface each
 * time, so what a killed process left behind is found again.
 */
#ifndef NET_IFNAME_H
#define NET_IFNAME_H

#include "base/types.h"

#define IFNAME_MAX 16 /* with the end */

enum ifname_kind {
    IFNAME_NAT,      /* a tap: a NAT network by the kernel */
    IFNAME_INTERNAL, /* a tap: the host's place at an internal switch */
    IFNAME_EXTERNAL, /* a tap in a bridge */
    IFNAME_BRIDGE,   /* the bridge of an external switch */
};

void ifname_make(enum ifname_kind kind, const char *name, char text[static IFNAME_MAX]);
/* Returns true if it is the name of an interface of that kind that we made. */
bool ifname_is(enum ifname_kind kind, const char *text);

#endif
