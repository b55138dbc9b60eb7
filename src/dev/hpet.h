/*
 * High precision event timer: a 64-bit counter of 100 MHz and three comparators (IA-PC HPET
 * specification 1.0a).
 *
 * Window (MMIO): 0xfed00000, 1024 bytes: hpet_ops
 */
#ifndef DEV_HPET_H
#define DEV_HPET_H

#include "bus/bus.h"
#include "bus/device.h"

#define HPET_TIMERS 3
#define HPET_SIZE 0x400          /* bytes of registers */
#define HPET_PERIOD_FS 10000000u /* 10 ns a tick */
#define HPET_ID 0x8086a201u      /* low half of the capabilities register, also for the ACPI table */

struct hpet;

struct hpet_timer {
    struct hpet *hpet;
    u64 config, compare, period, fsb;
    struct dev_timer timer;
    bool value_set; /* Tn_VAL_SET_CNF was written */
    bool level;     /* a level-triggered output as last driven */
};

struct hpet_config {
    struct irq gsi;       /* .set(opaque, n, level): I/O APIC input n, 0..23 (.line unused) */
    u32 gsi_mask;         /* lines that the timers may be routed to; 0: 20..23 */
    struct irq legacy[2]; /* legacy replacement: timer 0 as IRQ 0, timer 1 as IRQ 8 */
    /* FSB (MSI) delivery; NULL: not offered. */
    void (*msi)(void *opaque, u64 address, u32 data);
    /* Legacy replacement was switched: the machine disables or enables PIT channel 0's and the
     * RTC's lines. */
    void (*legacy_switched)(void *opaque, bool on);
    void *opaque;
};

struct hpet {
    struct clock *clock;
    struct hpet_config wiring;
    u64 config, status;
    u64 held;     /* main counter while halted */
    u64 start_ns; /* running: counter = held + (now - start) / 10 ns */
    struct hpet_timer timer[HPET_TIMERS];
};

extern const struct bus_ops hpet_ops;
extern const struct device_ops hpet_device;

void hpet_init(struct hpet *hpet, struct clock *clock, const struct hpet_config *config);

#endif
