/*
 * What the statistics of KVM, or of the engine, say about a hypervisor in the VM. Pure.
 */
#ifndef WORKER_HYPERVISOR_H
#define WORKER_HYPERVISOR_H

#include "base/types.h"

#include <jansson.h>

/* Both read what QEMU answers to query-stats; NULL is no answer. */
/* Does a hypervisor run in the VM? It does once it has run a guest, or VMX operation is on. */
bool hypervisor_active(const json_t *vcpus);
/* {name: sum over the vCPUs} of all counters that are not 0. */
json_t *hypervisor_counters(const json_t *stats);

#endif
