/*
 * ACPI fixed hardware. Called under the machine lock. The SCI is level-triggered: asserted while a status bit and its
 * enable bit are both set. The PM timer's status bit is brought up to date on access, and by a timer when it may
 * interrupt. Source: ACPI specification, "ACPI Hardware Specification", "Fixed Hardware Registers"; ICH9 data sheet for
 * the layout.
 */
#include "dev/acpi_pm.h"

#define EN_DEFINED (ACPI_STS_TMR | ACPI_STS_GBL | ACPI_STS_PWRBTN | ACPI_STS_SLPBTN | ACPI_STS_RTC)
#define STS_DEFINED (EN_DEFINED | ACPI_STS_BM | ACPI_STS_WAK)
#define CNT_SLP_TYP_ALL ACPI_CNT_SLP_TYP(7u)
#define CNT_KEPT (ACPI_CNT_BM_RLD | CNT_SLP_TYP_ALL)
#define NS 1000000000u
#define GPE0_BYTES (ACPI_GPE0_LEN / 2)

static u64 timer_ticks(const struct acpi_pm *pm)
{
    return (u64)((u128)pm->clock->now_ns(pm->clock->opaque) * ACPI_PM_HZ / NS);
}

static unsigned timer_top(const struct acpi_pm *pm)
{
    return pm->config.timer_32bit ? 31 : 23;
}

/* TMR_STS: "... set any time the last bit of the timer ... goes from 0 to 1 or from 1 to 0." */
static void status_update(struct acpi_pm *pm)
{
    u64 halves = timer_ticks(pm) >> timer_top(pm);
    if (halves != pm->overflow_seen)
        pm->pm1_status |= ACPI_STS_TMR;
    pm->overflow_seen = halves;
}

static void sci_update(struct acpi_pm *pm)
{
    bool level = (pm->pm1_status & pm->pm1_enable & EN_DEFINED) || (pm->gpe_status & pm->gpe_enable);
    irq_set(&pm->config.sci, level);
    u64 due = 0;
    if (pm->pm1_enable & ACPI_STS_TMR) {
        u128 ticks = (u128)(pm->overflow_seen + 1) << timer_top(pm);
        due = (u64)((ticks * NS + ACPI_PM_HZ - 1) / ACPI_PM_HZ);
    }
    timer_arm(&pm->overflow, due);
}

static void overflow_expired(void *dev)
{
    status_update(dev);
    sci_update(dev);
}

static void control_write(struct acpi_pm *pm, u16 value)
{
    pm->pm1_control = (value & CNT_KEPT) | ACPI_CNT_SCI_EN;
    if (value & ACPI_CNT_SLP_EN && (value & CNT_SLP_TYP_ALL) == ACPI_CNT_SLP_TYP(ACPI_SLP_TYP_S5))
        pm->config.power_off(pm->config.opaque);
}

static u64 pm_read(void *dev, u64 offset, unsigned size)
{
    struct acpi_pm *pm = dev;
    status_update(pm);
    unsigned shift = (unsigned)(offset & 3) * 8;
    switch (offset & ~3ull) {
    case ACPI_PM1_EVT: return (pm->pm1_status | (u32)pm->pm1_enable << 16) >> shift;
    case ACPI_PM1_CNT: return (u32)pm->pm1_control >> shift;
    case ACPI_PM_TMR: return (timer_ticks(pm) & (pm->config.timer_32bit ? 0xffffffffu : 0xffffffu)) >> shift;
    case ACPI_GPE0_STS: return (u32)pm->gpe_status >> shift;
    case ACPI_GPE0_STS + 4: return (u32)(pm->gpe_status >> 32) >> shift;
    case ACPI_GPE0_EN: return (u32)pm->gpe_enable >> shift;
    case ACPI_GPE0_EN + 4: return (u32)(pm->gpe_enable >> 32) >> shift;
    default: return 0;
    }
}

/* Status bits are cleared by ones; registers take bytes, so each write is cut into them. */
static void byte_write(struct acpi_pm *pm, u64 offset, u8 value)
{
    unsigned half = (unsigned)(offset % sizeof(u16)) * 8, shift = (unsigned)(offset % GPE0_BYTES) * 8;
    switch (offset) {
    case ACPI_PM1_STS:
    case ACPI_PM1_STS + 1: pm->pm1_status &= (u16) ~((u32)value << half & STS_DEFINED); break;
    case ACPI_PM1_EN:
    case ACPI_PM1_EN + 1:
        pm->pm1_enable = (u16)(((pm->pm1_enable & ~(0xffu << half)) | (u32)value << half) & EN_DEFINED);
        break;
    case ACPI_PM1_CNT: control_write(pm, (u16)((pm->pm1_control & 0xff00) | value)); break;
    case ACPI_PM1_CNT + 1: control_write(pm, (u16)((pm->pm1_control & 0xff) | value << 8)); break;
    default:
        if (offset >= ACPI_GPE0_STS && offset < ACPI_GPE0_STS + GPE0_BYTES)
            pm->gpe_status &= ~((u64)value << shift);
        else if (offset >= ACPI_GPE0_EN && offset < ACPI_GPE0_EN + GPE0_BYTES)
            pm->gpe_enable = (pm->gpe_enable & ~(0xffull << shift)) | (u64)value << shift;
    }
}

static void pm_write(void *dev, u64 offset, u64 value, unsigned size)
{
    struct acpi_pm *pm = dev;
    status_update(pm);
    if (offset == ACPI_PM1_CNT && size >= 2) {
        control_write(pm, (u16)value);
    } else {
        for (unsigned i = 0; i < size; i++)
            byte_write(pm, offset + i, (u8)(value >> (i * 8)));
    }
    sci_update(pm);
}

const struct bus_ops acpi_pm_ops = {pm_read, pm_write, 1, 4};

static void acpi_pm_reset(void *dev)
{
    struct acpi_pm *pm = dev;
    pm->pm1_status = pm->pm1_enable = 0;
    pm->pm1_control = ACPI_CNT_SCI_EN;
    pm->gpe_status = pm->gpe_enable = 0;
    pm->overflow_seen = timer_ticks(pm) >> timer_top(pm);
    sci_update(pm);
}

void acpi_pm_init(struct acpi_pm *pm, struct clock *clock, const struct acpi_pm_config *config)
{
    *pm = (struct acpi_pm){.clock = clock, .config = *config};
    timer_init(&pm->overflow, clock, overflow_expired, pm);
    acpi_pm_reset(pm);
}

void acpi_pm_power_button(struct acpi_pm *pm)
{
    pm->pm1_status |= ACPI_STS_PWRBTN;
    sci_update(pm);
}

void acpi_pm_rtc_alarm(struct acpi_pm *pm)
{
    pm->pm1_status |= ACPI_STS_RTC;
    sci_update(pm);
}

void acpi_pm_gpe(struct acpi_pm *pm, unsigned n)
{
    pm->gpe_status |= BIT64(n % 64);
    sci_update(pm);
}

static const struct state_field fields[] = {
    STATE_FIELD("pm1_status", u16, struct acpi_pm, pm1_status),
    STATE_FIELD("pm1_enable", u16, struct acpi_pm, pm1_enable),
    STATE_FIELD("pm1_control", u16, struct acpi_pm, pm1_control),
    STATE_FIELD("gpe_status", u64, struct acpi_pm, gpe_status),
    STATE_FIELD("gpe_enable", u64, struct acpi_pm, gpe_enable),
    STATE_FIELD("overflow_seen", u64, struct acpi_pm, overflow_seen),
};
static const struct state_layout layout = STATE_LAYOUT(1, fields);

static void acpi_pm_state(void *dev, struct state *s, const char *name)
{
    struct acpi_pm *pm = dev;
    state_section(s, name, NULL, &layout, pm);
    if (!state_saving(s))
        sci_update(pm);
}

static void acpi_pm_destroy(void *dev)
{
    timer_arm(&((struct acpi_pm *)dev)->overflow, 0);
}

const struct device_ops acpi_pm_device = {
    .size = sizeof(struct acpi_pm),
    .reset = acpi_pm_reset,
    .state = acpi_pm_state,
    .destroy = acpi_pm_destroy,
};
