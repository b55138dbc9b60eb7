/*
 * The real-time clock's interrupts: updates, periodic ones and alarms by IRQ 8, the alarm also as an ACPI event by the
 * SCI; and what becomes of them when the HPET's legacy replacement takes IRQ 0 and IRQ 8 for its timers 0 and 1.
 */
#include "dev/acpi_pm.h"
#include "dev/hpet.h"
#include "dev/mc146818.h"
#include "runtime.h"

#define HPET_BASE 0xfed00000ull
#define PM_BASE 0x600
#define HPET_HZ 100000000u
#define IRQ_PIT 0
#define IRQ_RTC 8
#define IRQ_SCI 9
#define IRQS 16

static volatile u32 taken[IRQS];
static volatile u8 flags; /* of register C, gathered since the test cleared them */
static volatile u16 pm1_status;

static void on_pit(struct frame *f)
{
    taken[IRQ_PIT]++;
    outb(PIC1, PIC_EOI);
}

static void on_rtc(struct frame *f)
{
    taken[IRQ_RTC]++;
    flags |= cmos_read(RTC_C);
    outb(PIC2, PIC_EOI);
    outb(PIC1, PIC_EOI);
}

static void on_sci(struct frame *f)
{
    taken[IRQ_SCI]++;
    pm1_status |= (u16)inl(PM_BASE + ACPI_PM1_EVT);
    outw(PM_BASE + ACPI_PM1_STS, ACPI_STS_RTC);
    outb(PIC2, PIC_EOI);
    outb(PIC1, PIC_EOI);
}

/* Enables these interrupts of register B from the next event on: one that is under way is taken before, and not
 * counted. */
static void rtc_enable(u8 enables)
{
    cmos_write(RTC_B, RTC_B_24H);
    cmos_read(RTC_C);
    sti();
    cpu_pause();
    cli();
    outw(PM_BASE + ACPI_PM1_STS, ACPI_STS_RTC);
    for (unsigned i = 0; i < IRQS; i++)
        taken[i] = 0;
    flags = 0;
    pm1_status = 0;
    cmos_write(RTC_B, RTC_B_24H | enables);
}

/* Takes interrupts until there were `count` of `irq`, but for at most `ms` milliseconds by the PIT. */
static void wait(unsigned irq, u32 count, u32 ms)
{
    while (taken[irq] < count && ms--) {
        sti();
        delay_us(1000);
        cli();
    }
}

static void alarm_every_second(void)
{
    for (u8 at = RTC_SECONDS_ALARM; at <= RTC_HOURS_ALARM; at += 2)
        cmos_write(at, RTC_ANY_TIME);
    cmos_write(RTC_D, 0);
}

static void by_irq8(void)
{
    rtc_enable(RTC_B_UIE);
    wait(IRQ_RTC, 2, 5000);
    check_eq(taken[IRQ_RTC], 2, "updates interrupt by IRQ 8");
    check_eq(flags & (RTC_C_IRQF | RTC_C_AF | RTC_C_UF), RTC_C_IRQF | RTC_C_UF, "register C reports the update");

    rtc_enable(RTC_B_PIE);
    wait(IRQ_RTC, 20, 5000);
    check(taken[IRQ_RTC] >= 20 && flags & RTC_C_PF, "periodic interrupts");
    rtc_enable(0);
    wait(IRQ_RTC, 1, 50);
    check_eq(taken[IRQ_RTC], 0, "no interrupt when none is enabled");

    alarm_every_second();
    rtc_enable(RTC_B_AIE);
    wait(IRQ_RTC, 1, 5000);
    check(taken[IRQ_RTC] == 1 && flags & RTC_C_AF, "an alarm interrupts");
    check(inl(PM_BASE + ACPI_PM1_EVT) & ACPI_STS_RTC, "an alarm is an ACPI event, too");
    check_eq(taken[IRQ_SCI], 0, "an ACPI event that is not enabled does not interrupt");
    rtc_enable(RTC_B_AIE);
    outw(PM_BASE + ACPI_PM1_EN, ACPI_STS_RTC);
    wait(IRQ_SCI, 1, 5000);
    check(taken[IRQ_SCI] == 1 && pm1_status & ACPI_STS_RTC, "an ACPI event that is enabled interrupts by the SCI");
    outw(PM_BASE + ACPI_PM1_EN, 0);
    cmos_write(RTC_D, 0x3e);
    rtc_enable(RTC_B_AIE);
    wait(IRQ_RTC, 1, 1500);
    check_eq(taken[IRQ_RTC], 0, "no alarm on a day that never comes");
    cmos_write(RTC_D, 0);
}

/* -- the HPET -- */

static u64 hpet_get(u64 reg)
{
    return *(volatile u64 *)(HPET_BASE + reg);
}

static void hpet_put(u64 reg, u64 value)
{
    *(volatile u64 *)(HPET_BASE + reg) = value;
}

/* Timer n interrupts in 5 ms, and with HPET_TN_PERIODIC every 5 ms from then on. */
static void hpet_start(unsigned n, u64 mode)
{
    u64 period = HPET_HZ / 1000 * 5;
    u64 at;
    do { /* a busy host may let the time pass before it is set, or until it is looked at */
        hpet_put(HPET_TIMER(n) + HPET_TIMER_CONFIG, 0);
        sti();
        cpu_pause();
        cli();
        taken[IRQ_PIT] = taken[IRQ_RTC] = 0;
        hpet_put(HPET_TIMER(n) + HPET_TIMER_CONFIG, HPET_TN_ENABLE | mode | (mode ? HPET_TN_VALUE_SET : 0));
        at = hpet_get(HPET_COUNTER) + period;
        hpet_put(HPET_TIMER(n) + HPET_TIMER_COMPARATOR, at);
    } while (hpet_get(HPET_COUNTER) >= at);
    if (mode)
        hpet_put(HPET_TIMER(n) + HPET_TIMER_COMPARATOR, period);
}

static void legacy_replacement(void)
{
    check(hpet_get(HPET_CAPABILITIES) & BIT(15), "the HPET can take the legacy lines");
    hpet_put(HPET_CONFIG, HPET_ENABLE | HPET_LEGACY);
    rtc_enable(RTC_B_PIE | RTC_B_AIE | RTC_B_UIE);
    outw(PM_BASE + ACPI_PM1_EN, ACPI_STS_RTC);
    wait(IRQ_SCI, 1, 5000);
    check_eq(taken[IRQ_SCI], 1, "with legacy replacement an alarm is still an ACPI event");
    check_eq(taken[IRQ_RTC], 0, "with legacy replacement the clock has no line");
    outw(PM_BASE + ACPI_PM1_EN, 0);
    rtc_enable(0);
    hpet_start(1, 0);
    wait(IRQ_RTC, 1, 5000);
    wait(IRQ_RTC, 2, 20);
    check_eq(taken[IRQ_RTC], 1, "timer 1 interrupts by IRQ 8, once");
    rtc_enable(0);
    hpet_start(1, HPET_TN_PERIODIC);
    wait(IRQ_RTC, 10, 5000);
    check(taken[IRQ_RTC] >= 10, "timer 1 interrupts periodically");
    hpet_put(HPET_TIMER(1) + HPET_TIMER_CONFIG, 0);
    rtc_enable(0);
    hpet_start(0, HPET_TN_PERIODIC);
    wait(IRQ_PIT, 10, 5000);
    check(taken[IRQ_PIT] >= 10 && !taken[IRQ_RTC], "timer 0 interrupts by IRQ 0");
    hpet_put(HPET_TIMER(0) + HPET_TIMER_CONFIG, 0);

    rtc_enable(RTC_B_UIE);
    hpet_put(HPET_CONFIG, HPET_ENABLE);
    wait(IRQ_RTC, 1, 5000);
    check_eq(taken[IRQ_RTC], 1, "without replacement the clock has its line again");
    rtc_enable(0);
}

int main(void)
{
    apic_enable();
    apic_write(APIC_LVT_LINT0, LVT_EXTINT);
    on_vector(0x20, on_pit);
    on_vector(0x28, on_rtc);
    on_vector(0x29, on_sci);
    outb(PIC2_LEVELS, BIT(IRQ_SCI - 8)); /* the SCI is a level */
    outb(PIC1_MASK, (u8) ~(BIT(IRQ_PIT) | BIT(2)));
    outb(PIC2_MASK, (u8) ~(BIT(IRQ_RTC - 8) | BIT(IRQ_SCI - 8)));
    outb(PIT_COMMAND, PIT_CHANNEL0(0)); /* the PIT's channel 0 interrupts at most once */
    by_irq8();
    legacy_replacement();
    return 0;
}
