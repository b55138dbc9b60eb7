/*
 * The PC test device. Called under the machine lock. One 32-bit scratch register is seen in two windows of ports, one
 * that takes accesses as they are and one that splits them into bytes, for tests of string and split port I/O.
 */
#include "dev/testdev.h"

#include <string.h>

static u64 scratch_read(void *dev, u64 offset, unsigned size)
{
    return ((struct testdev *)dev)->scratch >> offset * 8;
}

static void scratch_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct testdev *t = dev;
    memcpy((u8 *)&t->scratch + offset, &value, size);
}

static u64 none_read(void *dev, u64 offset, unsigned size)
{
    return ~0ull;
}

static void flush_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct testdev *t = dev;
    if (t->config.flush_page)
        t->config.flush_page(t->config.opaque, value & ~PAGE_MASK);
}

static void line_drive(struct testdev *t, unsigned line, bool level)
{
    t->lines = level ? t->lines | BIT(line) : t->lines & ~BIT(line);
    if (t->config.irq.set)
        t->config.irq.set(t->config.irq.opaque, line, level);
}

static void irq_write(void *dev, u64 offset, u64 value, unsigned size)
{
    line_drive(dev, (unsigned)offset, value != 0);
}

static u64 memory_read(void *dev, u64 offset, unsigned size)
{
    struct testdev *t = dev;
    u64 value = 0;
    memcpy(&value, t->memory + offset, size);
    return value;
}

static void memory_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct testdev *t = dev;
    memcpy(t->memory + offset, &value, size);
}

const struct bus_ops testdev_port_ops = {scratch_read, scratch_write, 1, 4};
const struct bus_ops testdev_byte_ops = {scratch_read, scratch_write, 1, 1};
const struct bus_ops testdev_flush_ops = {none_read, flush_write, 4, 4};
const struct bus_ops testdev_irq_ops = {none_read, irq_write, 1, 1};
const struct bus_ops testdev_mmio_ops = {memory_read, memory_write, 1, 8};

static void testdev_reset(void *dev)
{
    struct testdev *t = dev;
    t->scratch = 0;
    for (unsigned i = 0; i < TESTDEV_LINES; i++)
        line_drive(t, i, false);
    memset(t->memory, 0, sizeof(t->memory));
}

void testdev_init(struct testdev *t, const struct testdev_config *config)
{
    *t = (struct testdev){.config = *config};
}

static const struct state_field fields[] = {
    STATE_FIELD("scratch", u32, struct testdev, scratch),
    STATE_FIELD("lines", u32, struct testdev, lines),
    STATE_FIELD("memory", u8[65536], struct testdev, memory),
};
static const struct state_layout layout = STATE_LAYOUT(1, fields);

static void testdev_state(void *dev, struct state *s, const char *name)
{
    struct testdev *t = dev;
    state_section(s, name, NULL, &layout, t);
    for (unsigned i = 0; !state_saving(s) && i < TESTDEV_LINES; i++)
        line_drive(t, i, t->lines >> i & 1);
}

const struct device_ops testdev_device = {
    .size = sizeof(struct testdev),
    .reset = testdev_reset,
    .state = testdev_state,
};
