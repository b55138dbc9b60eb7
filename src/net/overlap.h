/*
 * Networks that must not overlap (a NAT network may have no prefix that the host can already reach in another way), and
 * the choice of a prefix that overlaps none.
 */
#ifndef NET_OVERLAP_H
#define NET_OVERLAP_H

#include "net/ifname.h"
#include "net/prefix.h"

#define NETWORK_OWNER_MAX 96

struct network {
    struct prefix prefix;
    char interface[IFNAME_MAX];    /* of the host, or empty */
    char owner[NETWORK_OWNER_MAX]; /* a phrase: "the NAT network lab", "the host's interface eth0" */
};

/* The networks that the host's interfaces are in, but for loopback and the interfaces of our own NAT networks. An array
 * that free() releases. Returns 0 or -errno. */
int MUST_CHECK networks_of_host(struct network **list, u32 *count);
/* Returns 0, or -EEXIST with an error that names both networks and whose they are. */
int MUST_CHECK network_refuse_overlap(const struct network *wanted, const struct network *taken, u32 count,
                                      struct error *error);
/* The first that overlaps no other, of 192.168.100.0/24 and those behind it, 192.168.0.0/24 and those behind it, and
 * 10.0.0.0/24 to 10.255.255.0/24. Returns false if there is none. */
bool network_choose_prefix(const struct network *taken, u32 count, struct prefix *prefix);

#endif
