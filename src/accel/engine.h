/*
 * What tests and doctor need of the engine beyond struct accel_ops.
 */
#ifndef ACCEL_ENGINE_H
#define ACCEL_ENGINE_H

struct accel_vm;
struct vm;

/* NULL, or one line that says which host feature the engine lacks and what to do. */
const char *engine_host_missing(void);
/* The core's VM, for tests that set registers directly. */
struct vm *engine_vm(struct accel_vm *a);

#endif
