/*
 * The host on an internal switch: see internal.h.
 */
#include "vswitch/internal.h"

#include "net/ifname.h"
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

/* "10.0.0.1/24" */
static bool parse_address(const char *text, struct ip *ip, u8 *length)
{
    char address[IP_TEXT_MAX], *end;
    const char *slash = strchr(text, '/');
    if (!slash || (size_t)(slash - text) >= sizeof(address) || slash[1] < '0' || slash[1] > '9')
        return false;
    snprintf(address, sizeof(address), "%.*s", (int)(slash - text), text);
    unsigned long bits = strtoul(slash + 1, &end, 10);
    if (*end || !ip_parse(address, ip) || bits < 1 || bits > (ip->version == 4 ? 32 : 128))
        return false;
    *length = (u8)bits;
    return true;
}

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
    struct ip ip;
    u8 length;
    if (err)
        return error_set(error, err, "the interface %s cannot be set up: %s", in->interface, strerror(-err));
    if (!text || !*text)
        return 0;
    if (!parse_address(text, &ip, &length)) {
        error_set(error, -EINVAL, SETTING("address") ": %s is not an address with the length of a prefix", text);
        return error_hint(error, "as in 10.0.0.1/24");
    }
    err = link_add_address(index, &ip, length);
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
