/*
 * The PC test device. Called under the machine lock. One 32-bit scratch register shows in two port
 * windows, one that takes accesses as they are and one that is always split into bytes: tests of
 * string and split port I/O.
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

static void irq_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct testdev *t = dev;
    if (t->config.irq.set)
        t->config.irq.set(t->config.irq.opaque, (unsigned)offset, value != 0);
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

void testdev_init(struct testdev *t, const struct testdev_config *config)
{
    *t = (struct testdev){.config = *config};
}

void testdev_reset(struct testdev *t)
{
    t->scratch = 0;
    memset(t->memory, 0, sizeof(t->memory));
}

void testdev_state(struct testdev *t, struct state *s)
{
    state_section(s, "testdev", 1);
    STATE_FIELD(s, t, scratch);
    STATE_FIELD(s, t, memory);
}
