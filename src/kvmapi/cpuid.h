/*
 * CPUID by the API: see cpuid.c.
 */
#ifndef KVMAPI_CPUID_H
#define KVMAPI_CPUID_H

#include "kvmapi/api.h"

/* What the CPUs can have at most, by the settings: the base of every VM's. 0 or -errno, with a line on standard error.
 */
int MUST_CHECK cpuid_offered(struct cpu_features *f);

extern const struct api_part cpuid_part;

#endif
