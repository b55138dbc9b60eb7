/*
 * The MC146818 real-time clock with 128 bytes of CMOS.
 *
 * Window (ports): 0x70, 2 bytes: mc146818_ops
 */
#ifndef DEV_MC146818_H
#define DEV_MC146818_H

#include "bus/bus.h"
#include "bus/device.h"

#define MC146818_CENTURY 0x32 /* the register of the century, which the data sheet leaves to the machine */

struct mc146818_config {
    s64 unix_ns;      /* wall-clock time (UTC, since 1970) when the VM's clock reads now */
    u64 ram_below_4g; /* bytes: CMOS 0x15-0x18, 0x30-0x31, 0x34-0x35 */
    u64 ram_above_4g; /* bytes: CMOS 0x5b-0x5d */
    u32 vcpus;        /* CMOS 0x5f: CPUs less one */
};

struct mc146818 {
    u8 cmos[128];
    u8 index;
    struct clock *clock;
    struct irq irq;
    bool irq_disabled;                 /* HPET legacy replacement took the line */
    s64 offset_ns;                     /* wall-clock time less VM time */
    bool held;                         /* SET or a divider in reset: the time registers in cmos[] stand still */
    s64 seen_s;                        /* last second whose update flag and alarm were looked at */
    u64 seen_period;                   /* last periodic interrupt period accounted for */
    struct dev_timer second, periodic; /* armed only while their interrupts are enabled */
};

extern const struct bus_ops mc146818_ops;
extern const struct device_ops mc146818_device;

void mc146818_init(struct mc146818 *rtc, struct clock *clock, const struct irq *irq,
                   const struct mc146818_config *config);
/* Keeps time and CMOS contents; clears interrupt enables and flags as RESET# does. */
/* A CMOS byte 0x0e..0x7f for the machine to fill (boot order and the like). */
void mc146818_cmos_set(struct mc146818 *rtc, unsigned index, u8 value);
/* HPET legacy replacement: the RTC no longer drives its line. */
void mc146818_irq_disable(struct mc146818 *rtc, bool disable);

#endif
