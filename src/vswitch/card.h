/*
 * Ports to cards: each is the client of a unix stream socket where QEMU listens. A connection that breaks is made
 * again, each 200 ms until it succeeds and as soon as the socket appears.
 */
#ifndef VSWITCH_CARD_H
#define VSWITCH_CARD_H

#include "vswitch/vswitch.h"

/* Who makes the connections of a switch's cards. All sockets lie in one folder. */
struct dialer;

struct dialer *dialer_new(struct vswitch *sw, const char *folder, struct error *error);
/* After the switch's last card is gone: after vswitch_free. */
void dialer_free(struct dialer *dialer);

/* Adds a card, for which the caller filled in what vswitch.h says but for kind, ops, back and linked. `socket` is a
 * name in the dialer's folder. When it fails, the port stays the caller's. */
int MUST_CHECK card_add(struct dialer *dialer, struct port *port, const char *socket, struct error *error);

#endif
