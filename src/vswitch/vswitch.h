/*
 * One virtual switch: learning, VLANs, the rules of its ports, and what reports of them. One thread, one epoll loop.
 * The caller adds ports; nothing here knows of JSON, of files or of the host's network.
 */
#ifndef VSWITCH_VSWITCH_H
#define VSWITCH_VSWITCH_H

#include "vswitch/port.h"

struct vswitch;

struct vswitch *vswitch_new(const char *name, struct error *error);
void vswitch_free(struct vswitch *sw);

/* Something to wait for, besides ports: control connections, timers, netlink. `ready` is called on the switch's thread
 * with the events of epoll. Returns 0 or -errno. */
struct watch {
    int fd;
    void (*ready)(struct watch *watch, u32 events);
};
int MUST_CHECK vswitch_watch(struct vswitch *sw, struct watch *watch, u32 events);
void vswitch_unwatch(struct vswitch *sw, struct watch *watch);
/* Called when `ns` of CLOCK_MONOTONIC has come, once. */
struct alarm {
    u64 at_ns; /* 0: not set */
    void (*ring)(struct alarm *alarm);
    struct alarm *next; /* of the switch's list */
};
void vswitch_alarm(struct vswitch *sw, struct alarm *alarm, u64 at_ns);
/* Called before and after each sleep, for libraries with descriptors of their own (libslirp). See back ends. */

/* Runs until vswitch_stop, which may be called in a signal handler. */
int MUST_CHECK vswitch_run(struct vswitch *sw, struct error *error);
void vswitch_stop(struct vswitch *sw);

/* Ports. `port` has been filled in by the caller but for sw, index, queue, counters; it is released by port_remove. */
int MUST_CHECK vswitch_port_add(struct vswitch *sw, struct port *port, struct error *error);
void vswitch_port_remove(struct vswitch *sw, struct port *port);
/* Takes new settings of a card while it runs. */
void vswitch_port_set(struct vswitch *sw, struct port *port, const struct card_settings *set);
struct port *vswitch_port_find(struct vswitch *sw, const char *id);
struct port *vswitch_port_next(struct vswitch *sw, struct port *after); /* NULL: the first */

/* A frame that came from a port. It is read, not kept. */
void vswitch_input(struct vswitch *sw, struct port *from, const u8 *frame, u32 length);
/* A frame of the switch itself (a DHCP answer) to one port. */
void vswitch_output(struct vswitch *sw, struct port *to, const u8 *frame, u32 length);

/* Sees every frame that passes a port, in either direction, and every drop, before anything else happens. */
struct tap_hook {
    void (*seen)(struct tap_hook *hook, const struct port *port, bool from_port, enum drop drop, const u8 *frame,
                 u32 length);
    struct tap_hook *next;
};
void vswitch_hook(struct vswitch *sw, struct tap_hook *hook);
void vswitch_unhook(struct vswitch *sw, struct tap_hook *hook);

#endif
