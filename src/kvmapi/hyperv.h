/*
 * Hyper-V's interface for guests by the API: see hyperv.c.
 */
#ifndef KVMAPI_HYPERV_H
#define KVMAPI_HYPERV_H

#include "kvmapi/api.h"

/* CPU_EXIT_HYPERV: fills in kvm_run; 1: that was not needed, the vCPU goes on. */
long hyperv_exit(struct api_vcpu *v);

extern const struct api_part hyperv_part;

#endif
