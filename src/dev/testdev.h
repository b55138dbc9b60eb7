/*
 * The PC test device of bare-metal hypervisor tests.
 *
 * Windows; dev = the struct testdev for all:
 *   ports 0xe0, 4 bytes:      testdev_port_ops  (32-bit scratch)
 *   ports 0xe4, 4 bytes:      testdev_flush_ops (unmap and remap the page of the written address)
 *   ports 0xe8, 4 bytes:      testdev_byte_ops  (the same scratch, byte by byte)
 *   ports 0x2000, 24 bytes:   testdev_irq_ops   (a write to 0x2000 + n drives line n)
 *   MMIO  0xff000000, 64 KiB: testdev_mmio_ops  (scratch memory)
 */
#ifndef DEV_TESTDEV_H
#define DEV_TESTDEV_H

#include "bus/bus.h"
#include "bus/device.h"

#define TESTDEV_MMIO_SIZE 0x10000
#define TESTDEV_LINES 24

struct testdev_config {
    struct irq irq;                            /* .set(opaque, n, level): line n (.line unused) */
    void (*flush_page)(void *opaque, u64 gpa); /* may be NULL */
    void *opaque;
};

struct testdev {
    struct testdev_config config;
    u32 scratch;
    u32 lines; /* levels as last driven */
    u8 memory[TESTDEV_MMIO_SIZE];
};

extern const struct bus_ops testdev_port_ops, testdev_byte_ops, testdev_flush_ops, testdev_irq_ops, testdev_mmio_ops;
extern const struct device_ops testdev_device;

void testdev_init(struct testdev *t, const struct testdev_config *config);

#endif
