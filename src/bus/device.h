/*
 * What the owner of devices does with all of them alike. Each file of src/dev has one constant of this type, beside an
 * init function that takes what that kind of device needs: clock, interrupt lines, callbacks.
 *
 * All functions are called with the owner's lock held. A function that a kind has no use for is NULL.
 */
#ifndef BUS_DEVICE_H
#define BUS_DEVICE_H

#include "bus/state.h"

struct device_ops {
    size_t size;              /* of the device's own struct, which the owner allocates */
    void (*reset)(void *dev); /* after power-on, and when the machine is reset */
    /* Saves or loads the sections `name` and `name`.part. A load follows a reset and drives the device's lines anew. */
    void (*state)(void *dev, struct state *s, const char *name);
    void (*destroy)(void *dev); /* gives back what the device took from others, its timers above all */
};

#endif
