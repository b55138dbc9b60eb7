/*
 * What the cmdlets of switches, NAT networks, cards and interfaces use of each other.
 */
#ifndef SHELL_NETWORKS_H
#define SHELL_NETWORKS_H

#include "shell/cmdlet.h"

#include <jansson.h>

struct value *switch_object(struct heap *heap, const json_t *json);
/* All switches, as objects. */
enum flow switches_get(struct call *call, struct value **all);
/* Those cards of VMs that -VMName and -Name ask for, or -VMNetworkAdapter has. */
enum flow cards_get(struct call *call, struct value **cards);

#endif
