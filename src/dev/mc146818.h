/*
 * The MC146818 real-time clock with 128 bytes of CMOS.
 *
 * Window (ports): 0x70, 2 bytes: mc146818_ops
 */
#ifndef DEV_MC146818_H
#define DEV_MC146818_H

#include "bus/bus.h"
#include "bus/device.h"

#define RTC_INDEX 0 /* offsets of the ports */
#define RTC_DATA 1
#define RTC_INDEX_NMI BIT(7) /* written with the index: the PC's NMI gate, which the chip does not see */

/* Registers. Those behind RTC_D are plain memory, but for the century. */
enum {
    RTC_SECONDS,
    RTC_SECONDS_ALARM,
    RTC_MINUTES,
    RTC_MINUTES_ALARM,
    RTC_HOURS,
    RTC_HOURS_ALARM,
    RTC_WEEKDAY,
    RTC_DAY,
    RTC_MONTH,
    RTC_YEAR,
    RTC_A,
    RTC_B,
    RTC_C,
    RTC_D,
    RTC_EQUIPMENT = 0x14,
    RTC_BASE_KIB = 0x15,      /* 2 bytes: memory below 640 KiB */
    RTC_EXTENDED_KIB = 0x17,  /* 2 bytes: memory from 1 MiB on */
    RTC_CHECKSUM = 0x2e,      /* 2 bytes, the high one first: the sum of 0x10 to 0x2d */
    RTC_EXTENDED_KIB2 = 0x30, /* as RTC_EXTENDED_KIB */
    RTC_CENTURY = 0x32,       /* as the FADT says */
    RTC_ABOVE_16M = 0x34,     /* 2 bytes: memory from 16 MiB to 4 GiB in units of 64 KiB */
    RTC_ABOVE_4G = 0x5b,      /* 3 bytes: memory from 4 GiB on in units of 64 KiB */
    RTC_CPUS = 0x5f,          /* CPUs less one */
    RTC_BYTES = 128,
};
#define RTC_A_UIP BIT(7)
#define RTC_A_DIVIDER_RUNS 0x20  /* at 32768 Hz */
#define RTC_A_DIVIDER_RESET 0x60 /* when both bits are set */
#define RTC_A_RATE 0x0f
#define RTC_A_RATE_1024HZ 6
#define RTC_B_SET BIT(7)
#define RTC_B_PIE BIT(6)
#define RTC_B_AIE BIT(5)
#define RTC_B_UIE BIT(4)
#define RTC_B_BINARY BIT(2)
#define RTC_B_24H BIT(1)
#define RTC_C_IRQF BIT(7)
#define RTC_C_PF BIT(6)
#define RTC_C_AF BIT(5)
#define RTC_C_UF BIT(4)
#define RTC_D_VRT BIT(7)
#define RTC_D_DAY_ALARM 0x3f /* the alarm's day of the month; 0 and all ones match any */
#define RTC_PM 0x80          /* in the hours, when they are 12 */
#define RTC_ANY_TIME 0xc0    /* an alarm with these bits set matches any value */

struct mc146818_config {
    s64 unix_ns;      /* wall-clock time (UTC, since 1970) when the VM's clock reads now */
    u64 ram_below_4g; /* bytes */
    u64 ram_above_4g; /* bytes */
    u32 vcpus;
    void (*alarm)(void *opaque); /* the alarm began to interrupt; may be NULL */
    void *opaque;
};

struct mc146818 {
    u8 cmos[RTC_BYTES]; /* registers and memory */
    u8 index;
    struct clock *clock;
    struct irq irq;
    struct mc146818_config config;
    bool irq_disabled;                 /* HPET legacy replacement took the line */
    bool alarm_seen;                   /* config.alarm was called for the pending alarm */
    s64 offset_ns;                     /* wall-clock time less VM time */
    bool held;                         /* SET or a divider in reset: the time registers in cmos[] stand still */
    s64 seen_s;                        /* last second whose update and alarm are in register C */
    u64 seen_period;                   /* last periodic interrupt period accounted for */
    struct dev_timer second, periodic; /* armed only while their interrupts are enabled */
};

extern const struct bus_ops mc146818_ops;
extern const struct device_ops mc146818_device;

void mc146818_init(struct mc146818 *rtc, struct clock *clock, const struct irq *irq,
                   const struct mc146818_config *config);
/* HPET legacy replacement: the RTC no longer drives its line. */
void mc146818_irq_disable(struct mc146818 *rtc, bool disable);

#endif
