/*
 * A tap of the host as a port of the switch: what the host sends there comes into the switch, and the reverse. Single
 * frames, without offloads. The interface is gone with the port, whatever ends the process.
 */
#ifndef VSWITCH_TAP_H
#define VSWITCH_TAP_H

#include "vswitch/vswitch.h"

/* Returns true for a frame from the switch that the host must not get. */
typedef bool tap_filter(void *opaque, const u8 *frame, u32 length);

/* Makes the interface, which is down, and adds it as a port of the switch. Errors name the right that is missing. */
int MUST_CHECK tap_add(struct vswitch *sw, enum port_kind kind, const char *id, const char *name, const char *interface,
                       struct port **made, struct error *error);
/* Whether the port still has its interface: nobody deleted or renamed it. */
bool tap_has(const struct port *port, const char *interface);
/* Makes the interface of a port again, which somebody deleted: down, and without addresses. The port stays. */
int MUST_CHECK tap_renew(struct port *port, const char *interface, struct error *error);
/* The interface is gone at once, the port at the end of the round. */
void tap_remove(struct port *port);
void tap_set_filter(struct port *port, tap_filter *filter, void *opaque);
#endif
