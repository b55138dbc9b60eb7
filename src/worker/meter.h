/*
 * What a VM has used since metering began or was reset, over restarts of it and of its worker: meter.json in its
 * folder.
 */
#ifndef WORKER_METER_H
#define WORKER_METER_H

#include "base/types.h"

#include <jansson.h>

#define METER_FILE "meter.json"

/* A look at all counters of one run of the VM: "run" (which names it), "cpu_ms", "memory", "disks": {ID: {"rd_bytes",
 * "wr_bytes", "rd_operations", "wr_operations"}}, "nics": {ID: {"in_bytes", "out_bytes"}} as the VM sees them. */

/* Adds to `sums` what has come since the last look, which it keeps, and `seconds` of time with that memory. Counters of
 * another run, and those that went back, count from 0. Pure. */
void meter_add(json_t *sums, const json_t *look, double seconds);
/* New sums, since now; the last look stays as it was in `before`, which may be NULL. */
json_t *meter_new(const json_t *before, s64 now);

#endif
