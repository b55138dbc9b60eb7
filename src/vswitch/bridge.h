/*
 * The outside of an external switch: a tap in a bridge of the host, together with the host's interface. If the
 * interface is a bridge already, the tap is put into it. Otherwise a bridge of ours is made, and if the host stays on
 * the interface, its addresses and routes move to the bridge, and back at the end.
 */
#ifndef VSWITCH_BRIDGE_H
#define VSWITCH_BRIDGE_H

#include "vswitch/uplink.h"

int MUST_CHECK bridge_add(struct vswitch *sw, const struct switch_def *def, const struct uplink_dirs *dirs,
                          struct uplink **made, struct error *error);

#endif
