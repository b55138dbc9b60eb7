/*
 * Counters of all VMs that run, at one look; who looks twice has rates.
 */
#ifndef MANAGER_TOP_H
#define MANAGER_TOP_H

#include "store/vm.h"

/* An object by the names of the VMs that run: "state", "cpus", "cpu_ms", "memory", "memory_demand" (where memory is
 * dynamic), "read_bytes", "written_bytes" (of all drives), "in_bytes", "out_bytes" (of all cards), "exits": {"l1
 * REASON": n, "l2 REASON": n}, "hypervisor_active", "at_ms": when that was, since the host's start. A VM that does not
 * answer is left out. */
int MUST_CHECK top_look(struct store *store, json_t **vms, struct error *error);

#endif
