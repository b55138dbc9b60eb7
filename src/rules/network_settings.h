/*
 * The settings of virtual switches, of NAT networks and of the network cards of VMs. Command line, JSON and (later)
 * cmdlets fill these structs from the tables; the switch reads them.
 */
#ifndef RULES_NETWORK_SETTINGS_H
#define RULES_NETWORK_SETTINGS_H

#include "rules/setting.h"

enum switch_type { SWITCH_PRIVATE, SWITCH_INTERNAL, SWITCH_EXTERNAL, SWITCH_NAT };

struct switch_settings {
    enum switch_type type;
    const char *interface; /* external: the host's interface, or a bridge of the host's */
    bool host;             /* external: the host stays on the interface; internal switches always have it */
    const char *address;   /* internal: the host's address, "10.0.0.1/24"; NULL: none */
    bool keep;             /* lives without ports */
    const char *notes;
};

/* Does the switch run without cards, too? The host and the outside are ports as well. */
static inline bool switch_stays(const struct switch_settings *s)
{
    return s->keep || s->type == SWITCH_INTERNAL || s->type == SWITCH_EXTERNAL;
}

enum nat_backend { NAT_AUTO, NAT_SLIRP, NAT_KERNEL };

struct nat_settings {
    const char *prefix, *prefix6; /* prefix6 NULL: no IPv6 */
    const char *switch_name;      /* NULL: a switch of type NAT with the name of the network */
    enum nat_backend backend;
    bool dhcp, dns;
};

enum mirror { MIRROR_NONE, MIRROR_SOURCE, MIRROR_DESTINATION };

struct card_settings {
    const char *mac;         /* NULL: one is made up */
    const char *switch_name; /* empty: none; NULL: it is not said */
    bool spoofing;           /* frames from other addresses than the card's may pass */
    bool dhcp_guard;         /* drops what DHCP servers send */
    bool router_guard;       /* drops what routers send */
    bool protect;            /* two protected ports do not see each other */
    enum mirror mirror;      /* what sources send and get, destinations see too */
    u64 bandwidth_minimum;   /* bits per second that the card gets where others compete; 0: an equal share */
    u64 bandwidth_maximum;   /* bits per second that the card may send; 0: no limit */
    u32 storm_limit;         /* broadcasts and multicasts per second; 0: no limit */
    u32 vlan;                /* access port of that VLAN, on a trunk the VLAN of frames without a tag; 0: none */
    const char *trunk;       /* VLANs that pass with tags, "10,20-29"; NULL: access port */
};

extern const struct setting switch_settings_table[], nat_settings_table[], card_settings_table[];

/* Check what rows cannot say. Return 0 or -EINVAL. */
int MUST_CHECK switch_settings_check(const struct switch_settings *settings, struct error *error);
int MUST_CHECK nat_settings_check(const struct nat_settings *settings, struct error *error);
int MUST_CHECK card_settings_check(const struct card_settings *settings, struct error *error);

/* Reads "10,20-29" into a bit per VLAN. Returns 0 or -EINVAL. */
#define VLANS_WORDS (4096 / 64)
int MUST_CHECK vlans_parse(const char *text, u64 vlans[static VLANS_WORDS], struct error *error);

#endif
