/*
 * Joins the fragments of IPv4 packets (RFC 791) that guests send, for libslirp: version 4.7 of that crashes at a packet
 * whose last fragment comes first. So it gets whole packets only, and so does the filter before it. Guests may send
 * anything: there is room for a number of packets, and each sender has a part of it.
 */
#ifndef VSWITCH_FRAGMENTS_H
#define VSWITCH_FRAGMENTS_H

#include "base/types.h"

#define FRAGMENTS_PACKETS 64u   /* that are not whole, at once */
#define FRAGMENTS_PER_SENDER 8u /* of those */
#define FRAGMENTS_WAIT_NS 30000000000ull

struct fragments;

struct fragments *fragments_new(void); /* NULL: no memory */
void fragments_free(struct fragments *f);
/* Returns the frame that can go on: the one that came if its packet is whole, or a frame with the packet that has
 * become whole by it, which is there until the next call; `length` is that frame's. NULL: none, as more fragments must
 * come or these ones make no packet. */
const u8 *fragments_join(struct fragments *f, const u8 *frame, u32 *length, u64 now_ns);

#endif
