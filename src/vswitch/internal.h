/*
 * The host as a guest of an internal switch: a tap with the switch's name, and an address if one was given.
 */
#ifndef VSWITCH_INTERNAL_H
#define VSWITCH_INTERNAL_H

#include "vswitch/uplink.h"

int MUST_CHECK internal_add(struct vswitch *sw, const struct switch_def *def, struct uplink **made,
                            struct error *error);

#endif
