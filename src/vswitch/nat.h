/*
 * A NAT network: its addresses, DHCP and mappings. What translates is a back end: libslirp in this process (slirp.c),
 * or the kernel (kernel_nat.c). A network looks the same to its guests with either: the gateway is the first address of
 * the prefix, the server of names the second, and the gateway's Ethernet address follows from its address.
 */
#ifndef VSWITCH_NAT_H
#define VSWITCH_NAT_H

#include "net/hostport.h"
#include "store/write_behind.h"
#include "vswitch/dhcp.h"
#include "vswitch/uplink_ops.h"

/* A port of the host that leads to a port of a guest. */
struct nat_rule {
    struct nat_mapping mapping;
    struct hostport external, internal; /* port 0: the mapping makes no sense */
    struct error why;                   /* code 0: it is in force */
    int held;                           /* the kernel's, in force: a socket that has the external port */
};

struct nat {
    struct uplink up;
    char name[NAME_MAX_LEN + 1];
    struct uplink_dirs dirs;                /* its texts are copies */
    struct prefix prefix, prefix6;          /* of version 0: none */
    struct ip gateway, dns, gateway6, dns6; /* dns, dns6: version 0 if names are not served */
    struct mac mac;                         /* the gateway's */
    enum nat_backend wanted;
    char reason[200], note[120], repaired[160]; /* see struct uplink_state */
    bool dhcp, names;
    struct dhcp server;        /* without leases if it is off */
    struct write_behind *file; /* of leases; NULL: DHCP was never on */
    char *kept;                /* leases when DHCP ended last, as the file has them; may be NULL */
    struct alarm save;
    struct nat_rule *rule;
    u32 rules;
    const struct nat_backend_ops *ops;
    void *back; /* of ops */
};

struct nat_backend_ops {
    const char *name;
    /* Makes nat->up.port, which is in the switch then, and sets nat->back. */
    int (*start)(struct nat *nat, struct error *error);
    void (*stop)(struct nat *nat);
    /* Mappings of nat->rule were added, with ECANCELED as their reason, or are about to go. */
    void (*map)(struct nat *nat, struct nat_rule *rule);
    void (*unmap)(struct nat *nat, struct nat_rule *rule);
    /* After changes of mappings; NULL: nothing to do. */
    void (*mapped)(struct nat *nat);
    void (*state)(const struct nat *nat, struct uplink_state *state);
    /* Looks again for what may be wrong now; NULL: nothing. */
    void (*check)(struct nat *nat);
};

extern const struct nat_backend_ops slirp_ops, kernel_nat_ops;

/* For a back end: says in `rule` that the host does not let us have the port. */
void nat_map_failed(struct nat_rule *rule, int err);
/* The time of leases: seconds since 1970 by the host's clock as it was when first asked, from where it goes on evenly,
 * so that no lease ends or lasts because somebody sets that clock. */
s64 nat_seconds(void);
/* For a back end, when its port is in the switch: no card may have the addresses of the network itself. */
int MUST_CHECK nat_own_addresses(struct nat *nat, struct error *error);
/* Ends the lease of an address or of a client, which `text` names. */
int MUST_CHECK nat_release(struct nat *nat, const char *text, struct error *error);
/* For a back end: returns true if a frame from the switch is none of its business, because it was for a DHCP server. */
bool nat_takes(struct nat *nat, const u8 *frame, u32 length);

#endif
