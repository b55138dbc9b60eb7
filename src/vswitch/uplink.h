/*
 * The ports of a switch that lead to no card: to a NAT network, to the host (internal switches), to the network that
 * the host is on (external switches). Called on the switch's thread. Reports are plain values; nothing here knows of
 * JSON.
 */
#ifndef VSWITCH_UPLINK_H
#define VSWITCH_UPLINK_H

#include "net/prefix.h"
#include "store/network.h"
#include "vswitch/lease.h"
#include "vswitch/vswitch.h"

struct uplink;

/* Where an uplink keeps what must outlive the switch's process. All folders exist. */
struct uplink_dirs {
    const char *state;  /* leases */
    const char *run;    /* what was changed on the host for this switch and is to be put back */
    const char *shared; /* the same for what several switches need */
};

/*
 * Adds the port of a NAT network. What a user can repair while it runs is no refusal but a problem that is reported
 * below: a mapping whose port is taken, dnsmasq that is not installed, a firewall that drops forwarded packets.
 */
int MUST_CHECK uplink_nat_add(struct vswitch *sw, const struct nat_def *def, const struct uplink_dirs *dirs,
                              struct uplink **made, struct error *error);
/* Takes a changed definition. Connections survive if mappings changed only; then an error speaks of the first mapping
 * that cannot be, and the others are in force. Otherwise the port is made anew; after an error there is none until the
 * next change. */
int MUST_CHECK uplink_nat_set(struct uplink *up, const struct nat_def *def, struct error *error);
/* Adds the port that the type of a switch wants. *made is NULL for types that want none. */
int MUST_CHECK uplink_switch_add(struct vswitch *sw, const struct switch_def *def, const struct uplink_dirs *dirs,
                                 struct uplink **made, struct error *error);
/* Puts back what a switch of that name changed on the host and left when it was killed. uplink_switch_add does this
 * itself; it is for switches that do not run and shall not. */
int MUST_CHECK uplink_restore(const char *switch_name, const struct uplink_dirs *dirs, struct error *error);
/* Takes the port out of the switch and puts back what was changed on the host. */
void uplink_remove(struct uplink *up);

struct uplink_state {
    const char *backend;      /* "slirp", "kernel", "tap", "bridge" */
    char reason[200];         /* why this back end, as a phrase; empty if it was asked for */
    char note[120];           /* what else one should know, as a phrase; may be empty */
    char repaired[160];       /* what was last put back that somebody had taken away, a phrase; may be empty */
    char interface[16];       /* the host's interface that is this port; empty: none */
    char bridge[16];          /* the bridge that this interface is in; empty: none */
    struct ip gateway, dns;   /* of a NAT network; version 0: none */
    struct ip gateway6, dns6; /* the same for IPv6 */
    bool dhcp;                /* leases are given */
    u32 leases, addresses;    /* leases that hold, and how many addresses there are for them */
    u32 sockets;              /* slirp: connections, and ports that are mapped */
};

void uplink_state(const struct uplink *up, struct uplink_state *state);
struct port *uplink_port(const struct uplink *up); /* NULL: see uplink_nat_set */
/* The next lease; `at` is 0 for the first, and goes on by itself. Returns false if there are no more. */
bool uplink_lease(const struct uplink *up, u32 *at, struct lease *lease);
/* Ends the lease of an address or a client, as text. -ENOENT: there is none. */
int MUST_CHECK uplink_release(struct uplink *up, const char *lease, struct error *error);
/* Each returns the n-th thing, or false if there are fewer. */
/* `why->code` is 0 if the mapping is in force. */
bool uplink_mapping(const struct uplink *up, u32 n, struct nat_mapping *mapping, struct error *why);
/* What is wrong now, with what to do about it. With n = 0 it is looked for again. */
bool uplink_problem(struct uplink *up, u32 n, struct error *problem);

#endif
