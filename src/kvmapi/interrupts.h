/*
 * What the KVM API has of interrupts, as a part: see interrupts.c.
 */
#ifndef KVMAPI_INTERRUPTS_H
#define KVMAPI_INTERRUPTS_H

#include "kvmapi/api.h"

extern const struct api_part interrupts_part; /* interrupts.c */
extern const struct api_part lapic_part;      /* lapic.c */

#endif
