/*
 * Addresses that are not a card's own and that the card sends from: most likely those of nested guests.
 */
#ifndef VSWITCH_STRANGER_H
#define VSWITCH_STRANGER_H

#include "vswitch/port.h"

/* Counts a frame, and reports it as vswitch_events says. */
void stranger_seen(struct port *port, const u8 *mac, u64 now_ns);
/* The address is the one that the card had before, and so the guest's own until its VM starts again. */
bool stranger_is_former(const struct port *port, const struct mac *mac);

#endif
