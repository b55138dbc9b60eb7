/*
 * Captures: what passes the ports of a switch, or what it drops, as pcapng for a reader at the other end of a socket.
 */
#ifndef VSWITCH_CAPTURE_H
#define VSWITCH_CAPTURE_H

#include "vswitch/vswitch.h"

#define CAPTURE_BUFFER (4u << 20) /* bytes that wait for the reader; a power of two */

struct capture;

/* All captures of a switch; starts as zeros. */
struct captures {
    struct capture *first;
};

/*
 * Sends to `fd`, a stream socket that does not block, what passes the port `id` (NULL: all ports), or only what is
 * dropped there. The capture ends by itself when the reader closes the socket. It owns `fd` from now on, but not if an
 * error is returned.
 */
int MUST_CHECK capture_start(struct captures *all, struct vswitch *sw, int fd, const char *id, bool drops,
                             struct error *error);
/* Ends all captures. Called before the switch is freed. */
void captures_end(struct captures *all);

#endif
