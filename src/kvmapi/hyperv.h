/*
 * Hyper-V's interface for guests by the API: see hyperv.c.
 */
#ifndef KVMAPI_HYPERV_H
#define KVMAPI_HYPERV_H

#include "kvmapi/api.h"

/* Fills in kvm_run for CPU_EXIT_HYPERV and returns 0; returns 1 if that was not needed, and the vCPU goes on. */
long hyperv_exit(struct api_vcpu *v);

extern const struct api_part hyperv_part;

#endif
