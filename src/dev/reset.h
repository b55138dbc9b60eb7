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

#define RESET_CONTROL_HARD 6 /* a value that resets the machine when it is written to cf9 */

struct reset {
    u8 cf9, port92;
    /* The guest asked for a reset. Called under the machine lock: take note, stop the vCPUs, and
     * reset later. */
    void (*request)(void *opaque);
    void (*a20)(void *opaque, bool enabled); /* may be NULL */
    void *opaque;
};

extern const struct bus_ops reset_cf9_ops, reset_port92_ops;
extern const struct device_ops reset_device;

void reset_init(struct reset *r, void (*request)(void *opaque), void (*a20)(void *opaque, bool enabled), void *opaque);

#endif
