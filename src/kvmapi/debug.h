/*
 * Guest debugging by the API: see debug.c.
 */
#ifndef KVMAPI_DEBUG_H
#define KVMAPI_DEBUG_H

#include "kvmapi/api.h"

/* Fills in kvm_run for CPU_EXIT_DEBUG. Returns 0. */
long debug_exit(struct api_vcpu *v);

extern const struct api_part debug_part;

#endif
