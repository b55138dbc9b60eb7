/*
 * The two chipset ports that reset the machine or its CPUs.
 *
 * Windows (ports):
 *   0xcf9, 1 byte: reset_cf9_ops; for struct pci_bus (reset_ops, reset_dev), which has the port
 *   0x92,  1 byte: reset_port92_ops (fast A20 gate and fast reset)
 */
#ifndef DEV_RESET_H
#define DEV_RESET_H

#include "bus/bus.h"
#include "bus/device.h"

/* The reset control register: a reset begins when its bit RESET_CONTROL_RST_CPU goes from 0 to 1; of the whole machine
 * with RESET_CONTROL_SYS_RST, else INIT of the CPUs. */
#define RESET_CONTROL_SYS_RST BIT(1)
#define RESET_CONTROL_RST_CPU BIT(2)
#define RESET_CONTROL_FULL_RST BIT(3)
#define RESET_CONTROL_HARD (RESET_CONTROL_SYS_RST | RESET_CONTROL_RST_CPU)

#define RESET_PORT92_INIT BIT(0)
#define RESET_PORT92_A20 BIT(1)

struct reset_config {
    /* The guest asked for a reset. Called under the machine lock: take note, stop the vCPUs, and reset later. */
    void (*request)(void *opaque);
    void (*init)(void *opaque);              /* INIT# of all CPUs */
    void (*a20)(void *opaque, bool enabled); /* may be NULL */
    void *opaque;
};

struct reset {
    struct reset_config config;
    u8 cf9, port92;
};

extern const struct bus_ops reset_cf9_ops, reset_port92_ops;
extern const struct device_ops reset_device;

void reset_init(struct reset *r, const struct reset_config *config);

#endif
