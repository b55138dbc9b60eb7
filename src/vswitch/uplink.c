/*
 * The ports of a switch that lead to no card: see uplink.h. Here is what all kinds have in common.
 */
#include "vswitch/uplink_ops.h"

#include "vswitch/bridge.h"
#include "vswitch/internal.h"
#include "vswitch/nat.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct port *uplink_port_new(enum port_kind kind, const char *id, const char *name)
{
    struct port *port = calloc(1, sizeof(*port));
    if (!port)
        return NULL;
    port->kind = kind;
    port->linked = true;
    snprintf(port->id, sizeof(port->id), "%s", id);
    snprintf(port->name, sizeof(port->name), "%s", name);
    return port;
}

int uplink_switch_add(struct vswitch *sw, const struct switch_def *def, const struct uplink_dirs *dirs,
                      struct uplink **made, struct error *error)
{
    *made = NULL;
    int err = uplink_restore(def->name, dirs, error);
    if (err)
        return err;
    switch (def->set.type) {
    case SWITCH_INTERNAL: return internal_add(sw, def, made, error);
    case SWITCH_EXTERNAL: return bridge_add(sw, def, dirs, made, error);
    default: return 0;
    }
}

void uplink_remove(struct uplink *up)
{
    if (up)
        up->ops->remove(up);
}

void uplink_state(const struct uplink *up, struct uplink_state *state)
{
    up->ops->state(up, state);
}

struct port *uplink_port(const struct uplink *up)
{
    return up->port;
}

bool uplink_lease(const struct uplink *up, u32 *at, struct lease *lease)
{
    const s64 now = nat_seconds();
    if (!up->nat || !up->nat->server.leases || !leases_next(up->nat->server.leases, at, now, lease))
        return false;
    lease->until += time(NULL) - now; /* as the host's clock is now */
    return true;
}

int uplink_release(struct uplink *up, const char *lease, struct error *error)
{
    return up->nat ? nat_release(up->nat, lease, error) : error_set(error, -ENOENT, "there is no NAT network");
}

bool uplink_mapping(const struct uplink *up, u32 n, struct nat_mapping *mapping, struct error *why)
{
    if (!up->nat || n >= up->nat->rules)
        return false;
    *mapping = up->nat->rule[n].mapping;
    *why = up->nat->rule[n].why;
    return true;
}

bool uplink_problem(struct uplink *up, u32 n, struct error *problem)
{
    if (n == 0 && up->ops->check)
        up->ops->check(up);
    for (u32 i = 0; i < PROBLEMS; i++)
        if (up->problem[i].code && !n--) {
            *problem = up->problem[i];
            return true;
        }
    return false;
}
