/*
 * Which frames of guests libslirp gets. It would send on what a NAT network has no use for, and it connects guests to
 * services that listen on the host's loopback, where a service may trust whoever it hears. Only answers of mapped ports
 * may go there.
 */
#ifndef VSWITCH_SLIRP_FILTER_H
#define VSWITCH_SLIRP_FILTER_H

#include "vswitch/nat.h"

bool slirp_filter_passes(const struct nat *nat, const u8 *frame, u32 length);

#endif
