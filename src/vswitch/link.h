/*
 * The host's interfaces, by netlink (rtnetlink(7)): making them, their addresses and routes, and what happens to them.
 * Calls wait for the kernel only. All return 0 or -errno unless they say otherwise.
 */
#ifndef VSWITCH_LINK_H
#define VSWITCH_LINK_H

#include "net/ifname.h"
#include "net/mac.h"
#include "net/prefix.h"
#include "vswitch/vswitch.h"

/* The number of an interface, 0 if there is none of that name. */
int link_index(const char *name);
int MUST_CHECK link_up(int index);
int MUST_CHECK link_set_mac(int index, const struct mac *mac);
/* Makes a bridge. -EEXIST: there is an interface of that name. */
int MUST_CHECK link_make_bridge(const char *name);
int MUST_CHECK link_delete(int index);
/* Puts an interface into a bridge; 0 takes it out. */
int MUST_CHECK link_set_master(int index, int master);

struct link_info {
    char name[IFNAME_MAX];
    int index, master; /* master: the bridge that it is in, 0 if none */
    struct mac mac;
    bool is_bridge, is_up;
};

/* -ENODEV: there is none. */
int MUST_CHECK link_get(const char *name, struct link_info *info);

/* An interface in that bridge that is no tap of ours; false if there is none. */
bool link_member(int master, struct link_info *info);
/* The interface gets no address of IPv6 by itself, so that the host is not seen there. */
void link_hide(const char *name);

/* Gives an interface an address. One that it has is fine. */
int MUST_CHECK link_add_address(int index, const struct ip *ip, u8 length);
/* Whether the interface has that address. */
bool link_has_address(int index, const struct ip *ip);
/* The first address of the interface that its user gave it (no link-local one); false if there is none. */
bool link_address(int index, struct ip *ip, u8 *length);

/* Hears of what changes on the host. */
struct link_monitor {
    struct watch watch;
    void (*changed)(struct link_monitor *monitor);
};

/* Interfaces, their addresses, and whether packets are forwarded; or rules of nftables. */
enum link_subject { LINK_INTERFACES, LINK_RULES };
int MUST_CHECK link_monitor_start(struct vswitch *sw, struct link_monitor *monitor, enum link_subject subject);
/* Also of a zeroed one, or one that could not start. */
void link_monitor_stop(struct vswitch *sw, struct link_monitor *monitor);

#endif
