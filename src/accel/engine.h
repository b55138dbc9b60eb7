/*
 * What tests need of the engine beyond struct accel_ops.
 */
#ifndef ACCEL_ENGINE_H
#define ACCEL_ENGINE_H

struct accel_vm;
struct vm;

/* The core's VM, for tests that set registers directly. */
struct vm *engine_vm(struct accel_vm *a);

#endif
