/*
 * Stands in for the ports to NAT and to the host until they are built: each is refused. Removed then.
 */
#include "net/hostport.h"
#include "net/overlap.h"
#include "vswitch/uplink.h"

#include <errno.h>

#define WEAK __attribute__((weak))

WEAK int uplink_nat_add(struct vswitch *sw, const struct nat_def *def, const struct uplink_dirs *dirs,
                        struct uplink **made, struct error *error)
{
    return error_set(error, -ENOSYS, "NAT is not built yet");
}

WEAK int uplink_nat_set(struct uplink *up, const struct nat_def *def, struct error *error)
{
    return 0;
}

WEAK int uplink_switch_add(struct vswitch *sw, const struct switch_def *def, const struct uplink_dirs *dirs,
                           struct uplink **made, struct error *error)
{
    *made = NULL;
    if (def->set.type != SWITCH_INTERNAL && def->set.type != SWITCH_EXTERNAL)
        return 0;
    return error_set(error, -ENOSYS, "ports to the host are not built yet");
}

WEAK void uplink_remove(struct uplink *up)
{
}

WEAK void uplink_state(const struct uplink *up, struct uplink_state *state)
{
}

WEAK bool uplink_lease(const struct uplink *up, u32 n, struct lease *lease)
{
    return false;
}

WEAK bool uplink_mapping(const struct uplink *up, u32 n, struct nat_mapping *mapping, struct error *why)
{
    return false;
}

WEAK bool uplink_problem(const struct uplink *up, u32 n, struct error *problem)
{
    return false;
}

WEAK int networks_of_host(struct network **list, u32 *count)
{
    return -ENOSYS;
}

WEAK int network_refuse_overlap(const struct network *wanted, const struct network *taken, u32 count,
                                struct error *error)
{
    return 0;
}

WEAK bool network_choose_prefix(const struct network *taken, u32 count, struct prefix *prefix)
{
    return false;
}

WEAK bool hostport_parse(const char *text, struct hostport *hostport)
{
    return false;
}

WEAK void hostport_format(const struct hostport *hostport, char text[static HOSTPORT_TEXT_MAX])
{
    text[0] = 0;
}
