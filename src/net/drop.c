/*
 * Why a switch drops a frame: one row per reason.
 */
#include "net/drop.h"

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
                        "nestbox nic set %s --trunk 1-4094"},
    [DROP_STORM]     = {"storm", "more broadcasts and multicasts than the port's limit",
                        "nestbox nic set %s --storm-limit 0"},
    [DROP_PROTECTED] = {"protected", "from one protected port to another", "nestbox nic set %s --protect off"},
    [DROP_NO_LINK]   = {"no-link", "nothing is connected to the port where it should go", NULL},
    [DROP_STALLED]   = {"stalled", "the receiver does not read", NULL},
    [DROP_QUEUE]     = {"queue", "the receiver's queue is full", NULL},
};
/* clang-format on */
