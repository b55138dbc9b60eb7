/*
 * The rules of ports, all in one place: what a port may send, and which ports may see each other.
 */
#ifndef VSWITCH_ADMIT_H
#define VSWITCH_ADMIT_H

#include "net/frame.h"
#include "vswitch/port.h"

/* A frame as the rules see it. */
struct packet {
    const u8 *frame; /* as it came */
    u32 length;      /* as it came */
    u32 tag;         /* how much of that is a VLAN tag behind the addresses: 0 or VLAN_TAG */
    u32 vlan;        /* that it belongs to */
    u32 priority;    /* the bits of the tag that are not the VLAN */
};

/* Fills in `packet` for a frame that came from a port, and returns why it may not go on. */
enum drop admit_from(struct port *from, struct packet *packet, const u8 *frame, u32 length, u64 now_ns);
/* Why a frame of one port may not reach another port of its VLAN. */
enum drop admit_to(const struct port *from, const struct port *to);

#endif
