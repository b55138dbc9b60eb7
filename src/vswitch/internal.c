/*
 * The host on an internal switch: see internal.h.
 */
#include "vswitch/internal.h"

#include "net/ifname.h"
#include "net/usable.h"
#include "vswitch/link.h"
#include "vswitch/tap.h"
#include "vswitch/uplink_ops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct internal {
    struct uplink up;
    char interface[IFNAME_MAX];
};

static void state(const struct uplink *up, struct uplink_state *state)
{
    const struct internal *in = container_of(up, const struct internal, up);
    *state = (struct uplink_state){.backend = "tap"};
    memcpy(state->interface, in->interface, sizeof(in->interface));
}

static void remove_internal(struct uplink *up)
{
    tap_remove(up->port);
    free(container_of(up, struct internal, up));
}

static const struct uplink_ops ops = {.state = state, .remove = remove_internal};

static int configure(const struct internal *in, const char *text, struct error *error)
{
    int index = link_index(in->interface), err = link_up(index);
    struct own_mac own = {.owner = "the host"};
    struct link_info info;
    struct ip ip;
    struct prefix network;
    if (!err)
        err = link_get(in->interface, &info);
    if (!err) {
        own.mac = info.mac;
        err = vswitch_port_own(in->up.sw, in->up.port, &own, 1, error);
        if (err)
            return err;
    }
    if (err)
        return error_set(error, err, "the interface %s cannot be set up: %s", in->interface, strerror(-err));
    if (!text || !*text)
        return 0;
    err = usable_address("address", text, &ip, &network, error);
    if (err)
        return err;
    err = link_add_address(index, &ip, network.length);
    return err ? error_set(error, err, "%s cannot have the address %s: %s", in->interface, text, strerror(-err)) : 0;
}

int internal_add(struct vswitch *sw, const struct switch_def *def, struct uplink **made, struct error *error)
{
    struct internal *in = calloc(1, sizeof(*in));
    if (!in)
        return error_set(error, -ENOMEM, "no memory for the switch %s", def->name);
    in->up.sw = sw;
    in->up.ops = &ops;
    ifname_make(IFNAME_INTERNAL, def->name, in->interface);
    int err = tap_add(sw, PORT_HOST, "host", "the host", in->interface, &in->up.port, error);
    if (err) {
        free(in);
        return err;
    }
    err = configure(in, def->set.address, error);
    if (err) {
        remove_internal(&in->up);
        return err;
    }
    *made = &in->up;
    return 0;
}
