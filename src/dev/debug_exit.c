/*
 * The debug-exit port. Called under the machine lock on the thread of the vCPU that writes.
 */
#include "dev/debug_exit.h"

static u64 exit_read(void *dev, u64 offset, unsigned size)
{
    return 0;
}

static void exit_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct debug_exit *d = dev;
    d->report(d->opaque, (u32)value);
}

const struct bus_ops debug_exit_ops = {exit_read, exit_write, 1, 4};

void debug_exit_init(struct debug_exit *d, void (*report)(void *opaque, u32 value), void *opaque)
{
    *d = (struct debug_exit){report, opaque};
}

const struct device_ops debug_exit_device = {.size = sizeof(struct debug_exit)};
