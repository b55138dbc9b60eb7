/*
 * Puts the card into the remedy of a reason's row: for the reports, for the logs of VMs, for captures.
 */
#include "vswitch/remedy.h"

#include <stdio.h>
#include <string.h>

bool remedy(const struct port *port, enum drop drop, char *line, size_t size)
{
    const char *text = drop_rows[drop].remedy, *place = text ? strstr(text, "%s") : NULL;
    if (!place || port->kind != PORT_CARD)
        return false;
    const char *quote = strchr(port->vm, ' ') || strchr(port->name, ' ') ? "'" : "";
    snprintf(line, size, "%.*s%s%s/%s%s%s", (int)(place - text), text, quote, port->vm, port->name, quote, place + 2);
    return true;
}
