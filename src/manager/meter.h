/*
 * What a VM has used since its metering began or was reset.
 */
#ifndef MANAGER_METER_H
#define MANAGER_METER_H

#include "store/vm.h"

/* An object: "name", "since" (seconds since 1970), "seconds" (it ran that long), "cpu_ms", "cpu_average" (per cent of
 * one CPU), "cpu_mhz", "memory_average", "memory_minimum", "memory_maximum" (bytes), "disk_size" (of all its disks) and
 * "disk_bytes" (of the host), "disks": {ID: {"rd_bytes", "wr_bytes", "rd_operations", "wr_operations"}}, "nics":
 * {NAME: {"in_bytes", "out_bytes"}}. `reset`: from now on it counts from 0; the object has what was. A VM without the
 * setting is refused. */
int MUST_CHECK meter_show(struct store *store, const char *vm, bool reset, json_t **object, struct error *error);

#endif
