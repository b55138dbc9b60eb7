/*
 * What the KVM API has of interrupts, as a part: see interrupts.c.
 */
#ifndef KVMAPI_INTERRUPTS_H
#define KVMAPI_INTERRUPTS_H

#include "kvmapi/api.h"

extern const struct api_part interrupts_part; /* interrupts.c */
extern const struct api_part lapic_part;      /* lapic.c */

/*
 * A vector of KVM_INTERRUPT that waits: KVM's state has it as injected where the program has all controllers, and not
 * at all where it has some. lapic_events_shown is called before events go to the program, lapic_events_given for what
 * the program gave, in place of `was`.
 */
void lapic_events_shown(const struct api_vcpu *v, struct cpu_events *e);
void lapic_events_given(const struct api_vcpu *v, const struct cpu_events *was, struct cpu_events *e);

#endif
