/*
 * The chipset's part in x87 errors of CPUs with CR0.NE = 0: FERR# becomes IRQ 13, and a write to the port, which is
 * that interrupt's acknowledge, asserts IGNNE# until FERR# falls.
 *
 * Window (ports): 0xf0, 1 byte: ferr_ops
 */
#ifndef DEV_FERR_H
#define DEV_FERR_H

#include "bus/bus.h"
#include "bus/device.h"

struct ferr {
    struct irq irq;
    void (*ignne)(void *opaque, bool level);
    void *opaque;
    u32 driven;    /* CPUs that drive FERR# */
    bool irq_on;   /* since FERR# rose, until the port is written */
    bool ignoring; /* IGNNE# */
};

extern const struct bus_ops ferr_ops;
extern const struct device_ops ferr_device;

void ferr_init(struct ferr *f, const struct irq *irq, void (*ignne)(void *opaque, bool level), void *opaque);
/* One more CPU, or one less, drives FERR#. */
void ferr_set(struct ferr *f, bool level);

#endif
