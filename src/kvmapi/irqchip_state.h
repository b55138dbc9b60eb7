/*
 * The controllers' state in KVM's structs: KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, KVM_GET_PIT2, KVM_SET_PIT2. Callers hold
 * the controllers' lock.
 */
#ifndef KVMAPI_IRQCHIP_STATE_H
#define KVMAPI_IRQCHIP_STATE_H

#include "kvmapi/irqchip.h"

/* k->chip_id says which controller. They return false if there is none of that number. */
bool MUST_CHECK irqchip_state_get(struct irqchip *chip, struct kvm_irqchip *k);
bool MUST_CHECK irqchip_state_set(struct irqchip *chip, const struct kvm_irqchip *k);
void pit_state_get(struct irqchip *chip, struct kvm_pit_state2 *k);
/* As with KVM, channel 0 begins to count now. Without `flags`, for the older struct, the flags stay. */
void pit_state_set(struct irqchip *chip, const struct kvm_pit_state2 *k, bool flags);

#endif
