/*
 * Addresses and routes of an interface, as the kernel describes them: messages that make them again, there or
 * elsewhere. Addresses and routes that the kernel itself adds to an interface are not among them.
 */
#ifndef VSWITCH_LINK_CONFIG_H
#define VSWITCH_LINK_CONFIG_H

#include "base/types.h"

struct link_config {
    u8 *bytes; /* whole netlink messages, one behind the other */
    size_t size;
};

int MUST_CHECK link_config_get(int index, struct link_config *config);
void link_config_free(struct link_config *config);
/* Gives an interface these addresses and routes. What it has already is fine. The first error is returned, and all are
 * tried. */
int MUST_CHECK link_config_set(int index, const struct link_config *config);
/* Takes the addresses away; the routes go with them. */
int MUST_CHECK link_config_clear(int index, const struct link_config *config);

#endif
