/*
 * Names of translated code for `perf`, which looks for them in /tmp/perf-PID.map when it makes its report.
 */
#ifndef ACCEL_PERF_MAP_H
#define ACCEL_PERF_MAP_H

#include "base/error.h"
#include "cpu/cpu.h"

struct symbols;

/* Writes the file of this process anew, or appends to it. symbols: of L1's kernel, or NULL. No vCPU runs. Returns 0 or
 * -errno. */
int MUST_CHECK perf_map_write(struct vm *vm, const struct symbols *symbols, bool append, struct error *error);

#endif
