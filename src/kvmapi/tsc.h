/*
 * The TSCs of a VM's CPUs by the API: see tsc.c.
 */
#ifndef KVMAPI_TSC_H
#define KVMAPI_TSC_H

#include "kvmapi/api.h"

/* The program writes the TSC of a vCPU. */
void tsc_write(struct api_vcpu *v, u64 value);

extern const struct api_part tsc_part;

#endif
