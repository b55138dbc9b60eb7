/*
 * Reset control register and port 0x92. Called under the machine lock.
 * Source: ICH9 data sheet, "RST_CNT - Reset Control Register", "PORT92 - Fast A20 and Init Register".
 */
#include "dev/reset.h"

#define CF9_KEPT (RESET_CONTROL_SYS_RST | RESET_CONTROL_RST_CPU | RESET_CONTROL_FULL_RST)

static u64 cf9_read(void *dev, u64 offset, unsigned size)
{
    return ((struct reset *)dev)->cf9;
}

/* "When this bit transitions from a 0 to a 1, it initiates a hard or soft reset", as RESET_CONTROL_SYS_RST says;
 * RESET_CONTROL_FULL_RST is about hard ones only. */
static void cf9_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct reset *r = dev;
    bool rises = value & RESET_CONTROL_RST_CPU && !(r->cf9 & RESET_CONTROL_RST_CPU);
    r->cf9 = value & CF9_KEPT;
    if (rises && value & RESET_CONTROL_SYS_RST)
        r->config.request(r->config.opaque);
    else if (rises)
        r->config.init(r->config.opaque);
}

static u64 port92_read(void *dev, u64 offset, unsigned size)
{
    return ((struct reset *)dev)->port92;
}

static void port92_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct reset *r = dev;
    u8 rises = (u8)value & (u8)~r->port92, changed = (u8)value ^ r->port92;
    r->port92 = (u8)value;
    if (changed & RESET_PORT92_A20 && r->config.a20)
        r->config.a20(r->config.opaque, value & RESET_PORT92_A20);
    if (rises & RESET_PORT92_INIT)
        r->config.init(r->config.opaque);
}

const struct bus_ops reset_cf9_ops = {cf9_read, cf9_write, 1, 1};
const struct bus_ops reset_port92_ops = {port92_read, port92_write, 1, 1};

/* A20 is on, as firmware leaves it. */
static void reset_reset(void *dev)
{
    struct reset *r = dev;
    r->cf9 = 0;
    r->port92 = RESET_PORT92_A20;
}

void reset_init(struct reset *r, const struct reset_config *config)
{
    *r = (struct reset){.config = *config};
    reset_reset(r);
}

static const struct state_field fields[] = {
    STATE_FIELD("cf9", u8, struct reset, cf9),
    STATE_FIELD("port92", u8, struct reset, port92),
};
static const struct state_layout layout = STATE_LAYOUT(1, fields);

static void reset_state(void *dev, struct state *s, const char *name)
{
    state_section(s, name, NULL, &layout, dev);
}

const struct device_ops reset_device = {
    .size = sizeof(struct reset),
    .reset = reset_reset,
    .state = reset_state,
};
