/*
 * Puts the card into the remedy of a reason's row: for the reports, for the logs of VMs, for captures.
 */
#include "vswitch/remedy.h"

#include <stdio.h>
#include <string.h>

/* Frames that were dropped before a rule was taken back are history. */
static bool in_force(const struct port *port, enum drop drop)
{
    const struct card_settings *set = &port->set;
    switch (drop) {
    case DROP_SPOOFED: return !set->spoofing;
    case DROP_DHCP: return set->dhcp_guard;
    case DROP_ROUTER: return set->router_guard;
    case DROP_STORM: return set->storm_limit;
    case DROP_PROTECTED: return set->protect;
    default: return true;
    }
}

bool remedy(const struct port *port, enum drop drop, char *line, size_t size)
{
    const char *text = drop_rows[drop].remedy, *place = text ? strstr(text, "%s") : NULL;
    if (!place || port->kind != PORT_CARD || !in_force(port, drop))
        return false;
    const char *quote = strchr(port->vm, ' ') || strchr(port->name, ' ') ? "'" : "";
    snprintf(line, size, "%.*s%s%s/%s%s%s", (int)(place - text), text, quote, port->vm, port->name, quote, place + 2);
    return true;
}
