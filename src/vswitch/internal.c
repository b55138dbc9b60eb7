/*
 * The host on an internal switch: see internal.h. An interface that somebody deletes is made again. One that is down or
 * has lost its address may be meant so, as the interface is the host's: that is a problem that is reported.
 */
#include "vswitch/internal.h"

#include "base/monotonic.h"
#include "net/ifname.h"
#include "net/usable.h"
#include "vswitch/link.h"
#include "vswitch/tap.h"
#include "vswitch/uplink_ops.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SETTLE_NS 200000000ull /* from a change of the host to a look at it: changes come in numbers */

struct internal {
    struct uplink up;
    char interface[IFNAME_MAX];
    char address[IP_TEXT_MAX + 8]; /* the host's, with the length of the network; may be empty */
    char repaired[160];
    u32 repairs;
    struct link_monitor monitor;
    struct alarm look;
};

static void state(const struct uplink *up, struct uplink_state *state)
{
    const struct internal *in = container_of(up, const struct internal, up);
    *state = (struct uplink_state){.backend = "tap"};
    memcpy(state->interface, in->interface, sizeof(in->interface));
    memcpy(state->repaired, in->repaired, sizeof(in->repaired));
}

static void remove_internal(struct uplink *up)
{
    struct internal *in = container_of(up, struct internal, up);
    link_monitor_stop(up->sw, &in->monitor);
    vswitch_alarm(up->sw, &in->look, 0);
    tap_remove(up->port);
    free(in);
}

/* The host's address on the switch follows from the name, so that guests who know it find the host after the switch was
 * started again: 52:56 and 32 bits of FNV-1a. */
static struct mac mac_of(const char *interface)
{
    u32 hash = 0x811c9dc5;
    for (; *interface; interface++)
        hash = (hash ^ (u8)*interface) * 0x01000193;
    return (struct mac){{0x52, 0x56, (u8)(hash >> 24), (u8)(hash >> 16), (u8)(hash >> 8), (u8)hash}};
}

static int configure(struct internal *in, struct error *error)
{
    const struct own_mac own = {mac_of(in->interface), "the host"};
    int index = link_index(in->interface), err = vswitch_port_own(in->up.sw, in->up.port, &own, 1, error);
    struct ip ip;
    struct prefix network;
    if (err)
        return err;
    err = link_set_mac(index, &own.mac);
    if (!err)
        err = link_up(index);
    if (err)
        return error_set(error, err, "the interface %s cannot be set up: %s", in->interface, strerror(-err));
    if (!in->address[0])
        return 0;
    err = usable_address("address", in->address, &ip, &network, error);
    if (err)
        return err;
    err = link_add_address(index, &ip, network.length);
    return err ? error_set(error, err, "%s cannot have the address %s: %s", in->interface, in->address, strerror(-err))
               : 0;
}

/* -- What somebody changed -- */

static int renew(struct internal *in, struct error *error)
{
    int err = tap_renew(in->up.port, in->interface, error);
    return err ? err : configure(in, error);
}

static void look_at(struct internal *in, const struct link_info *info)
{
    struct error *problem = &in->up.problem[PROBLEM_INTERFACE];
    struct prefix network;
    struct ip ip;
    char hint[128];
    if (!info->is_up) {
        error_set(problem, -ENETDOWN, "the host's interface %s is down, so VMs do not reach the host", in->interface);
        snprintf(hint, sizeof(hint), "as root: ip link set %s up", in->interface);
    } else if (in->address[0] && prefix_around(in->address, &ip, &network) && !link_has_address(info->index, &ip)) {
        error_set(problem, -EADDRNOTAVAIL, "the host's interface %s has lost its address %s", in->interface,
                  in->address);
        snprintf(hint, sizeof(hint), "as root: ip address add %s dev %s", in->address, in->interface);
    } else {
        return;
    }
    error_hint(problem, hint);
}

static void look(struct alarm *alarm)
{
    struct internal *in = container_of(alarm, struct internal, look);
    struct error *problem = &in->up.problem[PROBLEM_INTERFACE], error;
    struct link_info info;
    error_begin(problem, 0);
    if (tap_has(in->up.port, in->interface) && !link_get(in->interface, &info)) {
        look_at(in, &info);
    } else if (renew(in, &error)) {
        error_set(problem, error.code, "the host's interface %s was deleted, and cannot be made again: %.150s",
                  in->interface, error.text);
        error_hint(problem, error.hint);
    } else {
        snprintf(in->repaired, sizeof(in->repaired), "repaired: its interface was deleted (repairs so far: %u)",
                 ++in->repairs);
        fprintf(stderr, "repaired: the interface %s was deleted\n", in->interface);
    }
}

static void check(struct uplink *up)
{
    look(&container_of(up, struct internal, up)->look);
}

static void changed(struct link_monitor *monitor)
{
    struct internal *in = container_of(monitor, struct internal, monitor);
    if (!in->look.at_ns)
        vswitch_alarm(in->up.sw, &in->look, monotonic_ns() + SETTLE_NS);
}

/* -- Start -- */

static const struct uplink_ops ops = {.state = state, .check = check, .remove = remove_internal};

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
    if (def->set.address)
        snprintf(in->address, sizeof(in->address), "%s", def->set.address);
    in->look.ring = look;
    in->monitor.changed = changed;
    err = configure(in, error);
    if (err) {
        remove_internal(&in->up);
        return err;
    }
    if (link_monitor_start(sw, &in->monitor, LINK_INTERFACES))
        snprintf(in->repaired, sizeof(in->repaired), "what is changed on the host is noticed late");
    *made = &in->up;
    return 0;
}
