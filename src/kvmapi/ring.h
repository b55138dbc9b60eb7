/*
 * Dirty rings: see ring.c.
 */
#ifndef KVMAPI_RING_H
#define KVMAPI_RING_H

#include "kvmapi/api.h"

/* On the vCPU's thread, before it enters the guest: must the program take entries first? */
bool ring_full(struct api_vcpu *v);

extern const struct api_part ring_part;

#endif
