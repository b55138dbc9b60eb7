/*
 * High precision event timer: a 64-bit counter of 100 MHz and three comparators (IA-PC HPET specification 1.0a).
 *
 * Window (MMIO): 0xfed00000, 1024 bytes: hpet_ops
 */
#ifndef DEV_HPET_H
#define DEV_HPET_H

#include "bus/bus.h"
#include "bus/device.h"

#define HPET_TIMERS 3
#define HPET_SIZE 0x400          /* bytes of registers */
#define HPET_PERIOD_FS 10000000u /* 10 ns per tick */
#define HPET_TICK_NS (HPET_PERIOD_FS / 1000000)
/* Low half of the capabilities register, also for the ACPI table: vendor, legacy replacement, a 64-bit counter, number
 * of the last timer, revision. */
#define HPET_ID (0x8086u << 16 | BIT(15) | BIT(13) | (HPET_TIMERS - 1) << 8 | 1)

/* Registers, and those of each timer behind HPET_TIMER(n). */
#define HPET_CAPABILITIES 0x000
#define HPET_CONFIG 0x010
#define HPET_STATUS 0x020
#define HPET_COUNTER 0x0f0
#define HPET_TIMER(n) (0x100 + HPET_TIMER_SIZE * (n))
#define HPET_TIMER_SIZE 0x20
#define HPET_TIMER_CONFIG 0x00
#define HPET_TIMER_COMPARATOR 0x08
#define HPET_TIMER_FSB 0x10

/* Bits of HPET_CONFIG. */
#define HPET_ENABLE BIT64(0)
#define HPET_LEGACY BIT64(1)

/* Bits of a timer's configuration. */
#define HPET_TN_LEVEL BIT64(1)
#define HPET_TN_ENABLE BIT64(2)
#define HPET_TN_PERIODIC BIT64(3)
#define HPET_TN_PERIODIC_CAP BIT64(4)
#define HPET_TN_SIZE64_CAP BIT64(5)
#define HPET_TN_VALUE_SET BIT64(6)
#define HPET_TN_MODE32 BIT64(8)
#define HPET_TN_ROUTE(line) ((u64)(line) << 9)
#define HPET_TN_FSB BIT64(14)
#define HPET_TN_FSB_CAP BIT64(15)
#define HPET_TN_ROUTE_CAP_SHIFT 32

struct hpet;

struct hpet_timer {
    struct hpet *hpet;
    u64 config, compare, period, fsb;
    struct dev_timer timer;
    bool value_set; /* HPET_TN_VALUE_SET was written */
    bool level;     /* a level-triggered output as last driven */
    u32 missed;     /* interrupts that are still to be made up for */
};

struct hpet_config {
    struct irq gsi;       /* .set(opaque, n, level): I/O APIC input n, 0..23 (.line unused) */
    u32 gsi_mask;         /* lines that the timers may be routed to; 0: 20..23 */
    struct irq legacy[2]; /* legacy replacement: timer 0 as IRQ 0, timer 1 as IRQ 8 */
    /* FSB (MSI) delivery; NULL: not offered. */
    void (*msi)(void *opaque, u64 address, u32 data);
    /* Legacy replacement was switched: the machine disables or enables the lines of PIT channel 0 and of the RTC. */
    void (*legacy_switched)(void *opaque, bool on);
    void *opaque;
};

struct hpet {
    struct clock *clock;
    struct hpet_config wiring;
    u64 config, status; /* the registers */
    u64 held;           /* main counter while halted */
    u64 start_ns;       /* running: counter = held + (now - start) / 10 ns */
    struct hpet_timer timer[HPET_TIMERS];
};

extern const struct bus_ops hpet_ops;
extern const struct device_ops hpet_device;

void hpet_init(struct hpet *hpet, struct clock *clock, const struct hpet_config *config);

#endif
