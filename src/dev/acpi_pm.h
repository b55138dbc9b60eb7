/*
 * ACPI fixed hardware: PM1a event and control blocks, the PM timer, GPE block 0, in the layout of the ICH9. The machine
 * is always in ACPI mode (SCI_EN reads 1, FADT.SMI_CMD is 0).
 *
 * Window (ports): any base (ICH9 uses 0x600), 128 bytes: acpi_pm_ops
 */
#ifndef DEV_ACPI_PM_H
#define DEV_ACPI_PM_H

#include "bus/bus.h"
#include "bus/device.h"

#define ACPI_PM_SIZE 128
/* Offsets for the FADT. */
#define ACPI_PM1_EVT 0x00 /* 4 bytes: status, enable */
#define ACPI_PM1_CNT 0x04 /* 2 bytes */
#define ACPI_PM_TMR 0x08  /* 4 bytes */
#define ACPI_GPE0 0x20    /* 16 bytes: 8 status, 8 enable */
#define ACPI_GPE0_LEN 16

/* Registers within the blocks, and their bits. An enable bit has the place of its status bit. */
#define ACPI_PM1_STS ACPI_PM1_EVT
#define ACPI_PM1_EN (ACPI_PM1_EVT + 2)
#define ACPI_GPE0_STS ACPI_GPE0
#define ACPI_GPE0_EN (ACPI_GPE0 + ACPI_GPE0_LEN / 2)
#define ACPI_STS_TMR BIT(0)
#define ACPI_STS_BM BIT(4)
#define ACPI_STS_GBL BIT(5)
#define ACPI_STS_PWRBTN BIT(8)
#define ACPI_STS_SLPBTN BIT(9)
#define ACPI_STS_RTC BIT(10)
#define ACPI_STS_WAK BIT(15)
#define ACPI_CNT_SCI_EN BIT(0)
#define ACPI_CNT_BM_RLD BIT(1)
#define ACPI_CNT_SLP_TYP(type) ((type) << 10)
#define ACPI_CNT_SLP_EN BIT(13)

#define ACPI_PM_HZ 3579545ull
#define ACPI_SLP_TYP_S5 5 /* what \_S5 in the DSDT must say */

struct acpi_pm_config {
    bool timer_32bit; /* FADT.TMR_VAL_EXT */
    struct irq sci;
    /* SLP_EN was written with SLP_TYP of S5; other types are ignored. */
    void (*power_off)(void *opaque);
    void *opaque;
};

struct acpi_pm {
    struct acpi_pm_config config;
    struct clock *clock;
    struct dev_timer overflow; /* TMR_STS */
    u16 pm1_status, pm1_enable, pm1_control;
    u64 gpe_status, gpe_enable;
    u64 overflow_seen; /* half-periods of the timer already reported */
};

extern const struct bus_ops acpi_pm_ops;
extern const struct device_ops acpi_pm_device;

void acpi_pm_init(struct acpi_pm *pm, struct clock *clock, const struct acpi_pm_config *config);
/* The user pressed the power button. */
void acpi_pm_power_button(struct acpi_pm *pm);
/* The RTC's alarm began to interrupt. */
void acpi_pm_rtc_alarm(struct acpi_pm *pm);
/* Sets a GPE status bit, 0..63. */
void acpi_pm_gpe(struct acpi_pm *pm, unsigned n);

#endif
