/*
 * CPUID by the API: see cpuid.c.
 */
#ifndef KVMAPI_CPUID_H
#define KVMAPI_CPUID_H

#include "kvmapi/api.h"

/* Fills in what CPUs can have at most by the settings, which every VM starts from. Returns 0; or -errno, with a line on
 * standard error. */
int MUST_CHECK cpuid_offered(struct cpu_features *f);

extern const struct api_part cpuid_part;

#endif
