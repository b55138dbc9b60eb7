/*
 * Counters of VMs and vCPUs: see stats.c.
 */
#ifndef KVMAPI_STATS_H
#define KVMAPI_STATS_H

#include "kvmapi/api.h"

/* The VM ends: writes what NESTBOX_KVM_STATS asks for. */
void stats_write(struct api_vm *vm);
/* The program is going to read a descriptor of FILE_STATS, which has this object. */
void stats_refresh(void *object);

extern const struct api_part stats_part;

#endif
