/*
 * Why a switch drops a frame: one row per reason, and what users read of it.
 */
#include "net/drop.h"

#include <stdio.h>
#include <string.h>

/* clang-format off */
const struct drop_row drop_rows[DROPS] = {
    [DROP_NONE]      = {"none", "nothing is in the way", NULL},
    [DROP_MALFORMED] = {"malformed", "too short, too long, or from a group address", NULL},
    [DROP_RESERVED]  = {"reserved", "to an address that bridges keep for themselves", NULL},
    [DROP_SPOOFED]   = {"spoofed", "not from the card's own address, as frames of a nested guest are",
                        "nestbox nic set %s --spoofing on"},
    [DROP_DHCP]      = {"dhcp-guard", "a DHCP server behind a guarded port", "nestbox nic set %s --dhcp-guard off"},
    [DROP_ROUTER]    = {"router-guard", "a router behind a guarded port", "nestbox nic set %s --router-guard off"},
    [DROP_VLAN]      = {"vlan", "tagged on an access port, or of a VLAN that the trunk does not carry",
                        "nestbox nic set %s --trunk VLANS"},
    [DROP_STORM]     = {"storm", "more broadcasts and multicasts than the port's limit",
                        "nestbox nic set %s --storm-limit N"},
    [DROP_PROTECTED] = {"protected", "from one protected port to another", "nestbox nic set %s --protect off"},
    [DROP_NO_LINK]   = {"no-link", "nothing is connected to the port where it should go", NULL},
    [DROP_STALLED]   = {"stalled", "the receiver does not read", NULL},
    [DROP_QUEUE]     = {"queue", "the receiver's queue is full", NULL},
};
/* clang-format on */

void drop_remedy(enum drop drop, const char *vm, const char *card, char *text, size_t size)
{
    const char *remedy = drop_rows[drop].remedy, *place = remedy ? strstr(remedy, "%s") : NULL;
    if (!remedy || !vm[0])
        snprintf(text, size, "%s", "");
    else if (place)
        snprintf(text, size, "%.*s%s %s%s", (int)(place - remedy), remedy, vm, card, place + 2);
    else
        snprintf(text, size, "%s", remedy);
}

void drop_describe(enum drop drop, const char *vm, const char *card, char *text, size_t size)
{
    char remedy[256];
    drop_remedy(drop, vm, card, remedy, sizeof(remedy));
    snprintf(text, size, "%s: %s%s%s%s%s%s%s", drop_rows[drop].name, drop_rows[drop].meaning, vm[0] ? "; card " : "",
             vm, vm[0] ? "/" : "", vm[0] ? card : "", remedy[0] ? "; " : "", remedy);
}
