/*
 * The two chipset ports that reset the machine.
 *
 * Windows (ports):
 *   0xcf9, 1 byte: reset_cf9_ops; for struct pci_bus (reset_ops, reset_dev), which has the port
 *   0x92,  1 byte: reset_port92_ops (fast A20 gate and fast reset)
 */
#ifndef DEV_RESET_H
#define DEV_RESET_H

#include "bus/bus.h"
#include "bus/device.h"

/* The reset control register: a reset begins when its bit RESET_CONTROL_RST_CPU goes from 0 to 1. */
#define RESET_CONTROL_SYS_RST BIT(1)
#define RESET_CONTROL_RST_CPU BIT(2)
#define RESET_CONTROL_FULL_RST BIT(3)
#define RESET_CONTROL_HARD (RESET_CONTROL_SYS_RST | RESET_CONTROL_RST_CPU)

#define RESET_PORT92_INIT BIT(0)
#define RESET_PORT92_A20 BIT(1)

struct reset {
    u8 cf9, port92;
    /* The guest asked for a reset. Called under the machine lock: take note, stop the vCPUs, and reset later. */
    void (*request)(void *opaque);
    void (*a20)(void *opaque, bool enabled); /* may be NULL */
    void *opaque;
};

extern const struct bus_ops reset_cf9_ops, reset_port92_ops;
extern const struct device_ops reset_device;

void reset_init(struct reset *r, void (*request)(void *opaque), void (*a20)(void *opaque, bool enabled), void *opaque);

#endif
