/*
 * FERR#, IRQ 13 and IGNNE#. Called under the machine lock.
 * Source: ICH9 data sheet, "Coprocessor Interface", "COPROC_ERR - Coprocessor Error Register".
 */
#include "dev/ferr.h"

static void line_set(struct ferr *f, bool level)
{
    f->irq_on = level;
    irq_set(&f->irq, level);
}

static void ignne_set(struct ferr *f, bool level)
{
    f->ignoring = level;
    f->ignne(f->opaque, level);
}

void ferr_set(struct ferr *f, bool level)
{
    f->driven += level ? 1 : -1;
    if (level && f->driven == 1 && !f->ignoring)
        line_set(f, true);
    else if (!f->driven && f->ignoring)
        ignne_set(f, false);
}

static u64 port_read(void *dev, u64 offset, unsigned size)
{
    return 0xff; /* write-only */
}

/* "If FERR# does not generate an internal IRQ13, writes have no effect." */
static void port_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct ferr *f = dev;
    if (!f->irq_on)
        return;
    line_set(f, false);
    if (f->driven)
        ignne_set(f, true);
}

const struct bus_ops ferr_ops = {port_read, port_write, 1, 1};

/* The CPUs, which are reset too, drive FERR# no more. */
static void ferr_reset(void *dev)
{
    struct ferr *f = dev;
    f->driven = 0;
    line_set(f, false);
    ignne_set(f, false);
}

void ferr_init(struct ferr *f, const struct irq *irq, void (*ignne)(void *opaque, bool level), void *opaque)
{
    *f = (struct ferr){.irq = *irq, .ignne = ignne, .opaque = opaque};
}

/* CPUs are loaded with FERR# as they drive it. */
static const struct state_field fields[] = {
    STATE_FIELD("driven", u32, struct ferr, driven),
    STATE_FIELD("irq", bool, struct ferr, irq_on),
    STATE_FIELD("ignne", bool, struct ferr, ignoring),
};
static const struct state_layout layout = STATE_LAYOUT(1, fields);

static void ferr_state(void *dev, struct state *s, const char *name)
{
    struct ferr *f = dev;
    state_section(s, name, NULL, &layout, f);
    if (!state_saving(s)) {
        line_set(f, f->irq_on);
        ignne_set(f, f->ignoring);
    }
}

const struct device_ops ferr_device = {
    .size = sizeof(struct ferr),
    .reset = ferr_reset,
    .state = ferr_state,
};
