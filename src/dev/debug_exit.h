/*
 * The debug-exit port: a write of v reports v (the process then ends with status (v << 1) | 1).
 *
 * Window (ports): 0xf4, 4 bytes: debug_exit_ops
 */
#ifndef DEV_DEBUG_EXIT_H
#define DEV_DEBUG_EXIT_H

#include "bus/bus.h"
#include "bus/device.h"

struct debug_exit {
    void (*report)(void *opaque, u32 value);
    void *opaque;
};

extern const struct bus_ops debug_exit_ops;
extern const struct device_ops debug_exit_device;

void debug_exit_init(struct debug_exit *d, void (*report)(void *opaque, u32 value), void *opaque);

#endif
