/*
 * For the tests of the KVM API's interrupts: the controllers of one kind, and vCPUs whose local APICs are enabled.
 */
#ifndef TESTS_UNIT_KVMAPI_CHIP_H
#define TESTS_UNIT_KVMAPI_CHIP_H

#include "kvmapi/irqchip_state.h"
#include "unit/core.h"
#include "unit/test.h"

static struct irqchip chip;

static inline void chip_create(enum irqchip_kind kind, u32 cpus)
{
    core_create(VENDOR_INTEL, false, cpus, NULL);
    vm.vcpu_count = 0; /* The API refuses to create the controllers after a vCPU. */
    irqchip_init(&chip, &vm);
    if (kind == IRQCHIP_FULL)
        CHECK_EQ(irqchip_create(&chip), 0);
    if (kind == IRQCHIP_SPLIT)
        CHECK_EQ(irqchip_split(&chip, 24), 0);
    vm.vcpu_count = cpus;
    for (u32 i = 0; i < cpus; i++) {
        lapic_mmio_write(vm.vcpu[i], APIC_SVR, SVR_RESET | SVR_ENABLED);
        lapic_mmio_write(vm.vcpu[i], APIC_LVT_LINT0, LVT_MASKED);
    }
}

#endif
