/*
 * One virtual switch: learning, VLANs, the rules of its ports, and what reports of them. One thread, one epoll loop.
 * The caller adds ports; nothing here knows of JSON, of files or of the host's network.
 */
#ifndef VSWITCH_VSWITCH_H
#define VSWITCH_VSWITCH_H

#include "vswitch/port.h"

struct vswitch;

struct vswitch *vswitch_new(const char *name, struct error *error);
/* Closes all ports. Watches, alarms and hooks are the caller's. */
void vswitch_free(struct vswitch *sw);
const char *vswitch_name(const struct vswitch *sw);

/* What it sleeps on, for those who wait for more than ports: control connections, netlink, libraries. */
struct loop *vswitch_loop(struct vswitch *sw);
/* Short for the functions of the loop. */
int MUST_CHECK vswitch_watch(struct vswitch *sw, struct watch *watch, u32 events);
void vswitch_unwatch(struct vswitch *sw, struct watch *watch);
void vswitch_alarm(struct vswitch *sw, struct alarm *alarm, u64 at_ns);
u64 vswitch_now(const struct vswitch *sw);

/* Runs until vswitch_stop, which may be called in a signal handler. */
int MUST_CHECK vswitch_run(struct vswitch *sw, struct error *error);
void vswitch_stop(struct vswitch *sw);
/* One turn of it: waits if nothing is to do and `wait`, then does what there is. 0 or -errno. */
int MUST_CHECK vswitch_turn(struct vswitch *sw, bool wait);

/*
 * Ports. The caller fills in kind, ops, back, id, vm, name, mac, set and linked of a zeroed port that free() releases.
 * With the second port of an id or of a card's address, add returns -EEXIST with both names, and the port stays the
 * caller's. Otherwise the port is the switch's, which closes and frees it at the end of the round in which it is
 * removed: nothing in the middle of a round meets a port that is gone.
 */
int MUST_CHECK vswitch_port_add(struct vswitch *sw, struct port *port, struct error *error);
/* Says which addresses are behind a port that is no card: no card may have them. Returns 0, or -EEXIST with both names
 * if one has; its owners are texts that last. */
int MUST_CHECK vswitch_port_own(struct vswitch *sw, struct port *port, const struct own_mac *own, u32 count,
                                struct error *error);
void vswitch_port_remove(struct vswitch *sw, struct port *port);
/* Takes new settings of a card while it runs, with the next frame. */
void vswitch_port_set(struct vswitch *sw, struct port *port, const struct card_settings *set);
struct port *vswitch_port_find(struct vswitch *sw, const char *id);
/* The port where a station is, seen from another port; NULL if nobody knows. */
struct port *vswitch_port_behind(struct vswitch *sw, const struct port *from, const u8 *mac);
struct port *vswitch_port_next(struct vswitch *sw, struct port *after); /* NULL: the first */

/* A frame that came from a port. It is read, not kept. */
void vswitch_input(struct vswitch *sw, struct port *from, const u8 *frame, u32 length);
/* A frame of the switch itself (a DHCP answer) to one port, without a tag. */
void vswitch_output(struct vswitch *sw, struct port *to, const u8 *frame, u32 length);

/* Sees every frame that passes a port, in either direction, as it looks there, and every drop, before anything else
 * happens. It may unhook itself. */
struct tap_hook {
    void (*seen)(struct tap_hook *hook, const struct port *port, bool from_port, enum drop drop, const u8 *frame,
                 u32 length);
    struct tap_hook *next;
};
void vswitch_hook(struct vswitch *sw, struct tap_hook *hook);
void vswitch_unhook(struct vswitch *sw, struct tap_hook *hook);

/* Who is told what happens at ports. Each may be NULL. */
struct vswitch_events {
    /* A port sends from an address that is not its own: when the address is new, and after that at most once per
     * minute and port. */
    void (*stranger)(struct vswitch_events *events, const struct port *port, const struct stranger *stranger);
    /* Something that belongs in the log of the VM: a phrase. */
    void (*trouble)(struct vswitch_events *events, const struct port *port, const char *text);
};
void vswitch_tell(struct vswitch *sw, struct vswitch_events *events); /* NULL: nobody */
struct vswitch_events *vswitch_told(const struct vswitch *sw);

#endif
