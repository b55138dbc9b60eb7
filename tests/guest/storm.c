/*
 * Timers as fast as each clock can be set, and one-shot ones that their handler sets again at once: the program that
 * they interrupt goes on all the same. vmx_storm.c and svm_storm.c do the same to L2.
 */
#include "runtime.h"

#define MSR_TSC_DEADLINE 0x6e0u
#define LOOPS 30000000u
#define LIMIT 100000u /* with so many interrupts before the end of the loop, it stands still */

#define HPET 0xfed00000ull
#define HPET_CONFIG 0x10
#define HPET_STATUS 0x20
#define HPET_COUNTER 0xf0
#define HPET_T_LEVEL 2u
#define HPET_T_ENABLE 4u
#define HPET_T_PERIODIC 8u
#define HPET_T_SET 0x40u
#define HPET_T_FSB 0x4000u

static volatile u32 ticks;
static void (*volatile again)(void), (*volatile stop)(void);

static u64 hpet_read(u32 reg)
{
    return *(volatile u64 *)(HPET + reg);
}

static void hpet_write(u32 reg, u64 value)
{
    *(volatile u64 *)(HPET + reg) = value;
}

/* After LIMIT interrupts the timer is stopped, so that the loop ends and the test says what is wrong. */
static void tick(void)
{
    if (++ticks >= LIMIT)
        stop();
    else if (again)
        again();
}

static void on_apic(struct frame *f)
{
    tick();
    apic_write(APIC_EOI, 0);
}

/* As Linux does it: EOI first, then the work. */
static void on_apic_early(struct frame *f)
{
    apic_write(APIC_EOI, 0);
    tick();
}

static void on_pic(struct frame *f)
{
    tick();
    outb(PIC1, PIC_EOI);
}

static u64 loop(void)
{
    u64 rounds = LOOPS, begin = rdtsc();
    __asm__ volatile("1: dec %0; jnz 1b" : "+r"(rounds) : : "cc");
    return rdtsc() - begin;
}

static void storm(void (*start)(void), void (*rearm)(void), void (*end)(void), const char *name)
{
    ticks = 0;
    again = rearm;
    stop = end;
    start();
    sti();
    u64 begin = rdtsc();
    do /* a busy host may let a whole loop pass before the first interrupt */
        loop();
    while (!ticks && rdtsc() - begin < tsc_per_ms() * 3000);
    cli();
    end();
    sti(); /* the last interrupt may wait */
    cli();
    check(ticks && ticks < LIMIT, name);
    if (!ticks || ticks >= LIMIT) {
        print("# interrupts: ");
        print_hex(ticks);
        print("\n");
    }
}

/* -- APIC -- */

static u32 lvt, count;
static void apic_start(void)
{
    apic_write(APIC_DIVIDE, 0xb); /* by 1 */
    apic_write(APIC_LVT_TIMER, lvt);
    apic_write(APIC_INITIAL_COUNT, count);
}

static void apic_again(void)
{
    apic_write(APIC_INITIAL_COUNT, count);
}

static void apic_stop(void)
{
    apic_write(APIC_INITIAL_COUNT, 0);
}

static s64 distance;
static void deadline_again(void)
{
    wrmsr(MSR_TSC_DEADLINE, rdtsc() + (u64)distance);
}

static void deadline_start(void)
{
    apic_write(APIC_LVT_TIMER, 0x40050);
    __asm__ volatile("mfence" : : : "memory");
    deadline_again();
}

static void deadline_stop(void)
{
    wrmsr(MSR_TSC_DEADLINE, 0);
}

static void apic(void)
{
    lvt = 0x20050;
    count = 1000;
    storm(apic_start, NULL, apic_stop, "APIC timer, periodic, 1000 counts");
    count = 1;
    storm(apic_start, NULL, apic_stop, "APIC timer, periodic, 1 count");
    on_vector(0x50, on_apic_early);
    storm(apic_start, NULL, apic_stop, "APIC timer, periodic, 1 count, with an early EOI");
    on_vector(0x50, on_apic);
    lvt = 0x50;
    storm(apic_start, apic_again, apic_stop, "APIC timer, one shot, set again by its handler");
    if (cpuid(1, 0).c & BIT(24)) {
        distance = -1;
        storm(deadline_start, deadline_again, deadline_stop, "TSC deadlines in the past");
        on_vector(0x50, on_apic_early);
        storm(deadline_start, deadline_again, deadline_stop, "TSC deadlines in the past, after the EOI");
        on_vector(0x50, on_apic);
        distance = 100;
        storm(deadline_start, deadline_again, deadline_stop, "TSC deadlines in 100 cycles");
    } else {
        skip("TSC deadlines", "no TSC deadline");
    }

    /* The current count of a masked timer goes on. */
    lvt = 0x30050; /* masked */
    count = 1000000;
    apic_start();
    u64 ms = tsc_per_ms(), begin = rdtsc();
    while (rdtsc() - begin < ms * 3 / 2)
        ;
    u32 left = apic_read(APIC_CURRENT_COUNT);
    check(left && left <= 1000000, "the current count of a periodic timer is within the period");

    /* The timer interrupts, but interrupts are disabled. */
    apic_stop();
    u64 alone = loop();
    lvt = 0x20050;
    count = 1;
    apic_start();
    u64 with = loop();
    for (unsigned i = 0; i < 10; i++) { /* what a busy host takes is not the timer's */
        u64 again_with = loop();
        if (again_with < with)
            with = again_with;
    }
    apic_stop();
    sti();
    cli();
    check(with < alone * 20 + ms * 20, "a loop with interrupts disabled is not held up");
}

/* -- PIT, by the 8259 -- */

static u8 pit_mode;
static u16 pit_count;
static void pit_again(void)
{
    outb(PIT_COUNTER0, (u8)pit_count);
    outb(PIT_COUNTER0, (u8)(pit_count >> 8));
}

static void pit_start(void)
{
    outb(PIT_COMMAND, PIT_CHANNEL0(pit_mode));
    pit_again();
    outb(PIC1_MASK, 0xfe);
}

static void pit_stop(void)
{
    outb(PIT_COMMAND, PIT_CHANNEL0(0)); /* mode 0, no count */
    outb(PIC1_MASK, 0xff);
}

static void pit(void)
{
    apic_write(APIC_LVT_LINT0, LVT_EXTINT);
    on_vector(0x20, on_pic);
    static const struct {
        u8 mode;
        u16 count;
        void (*again)(void);
        const char *name;
    } cases[] = {{2, 2, NULL, "PIT, mode 2, count 2"},       {2, 60, NULL, "PIT, mode 2, 20 kHz"},
                 {3, 2, NULL, "PIT, mode 3, count 2"},       {3, 3, NULL, "PIT, mode 3, count 3"},
                 {3, 60, NULL, "PIT, mode 3, 20 kHz"},       {0, 1, pit_again, "PIT, mode 0, set again by its handler"},
                 {4, 1, pit_again, "PIT, mode 4, set again"}};
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        pit_mode = cases[i].mode;
        pit_count = cases[i].count;
        storm(pit_start, cases[i].again, pit_stop, cases[i].name);
    }
}

/* -- HPET, timer 0, by message -- */

static u32 hpet_flags;
static u64 hpet_distance;
static void hpet_again(void)
{
    hpet_write(HPET_STATUS, 1);
    u64 at = hpet_read(HPET_COUNTER), by = hpet_distance;
    do
        hpet_write(0x108, at += by *= 2);
    while (hpet_read(HPET_COUNTER) >= at); /* set too late: the interrupt would come when the counter wraps */
}

static void hpet_start(void)
{
    hpet_write(HPET_CONFIG, 0);
    hpet_write(HPET_COUNTER, 0);
    hpet_write(0x110, 0xfee00000ull << 32 | 0x50);
    hpet_write(0x100, hpet_flags | HPET_T_FSB | HPET_T_ENABLE | HPET_T_SET);
    hpet_write(0x108, hpet_distance);
    if (hpet_flags & HPET_T_PERIODIC)
        hpet_write(0x108, hpet_distance);
    hpet_write(HPET_CONFIG, 1);
}

static void hpet_stop(void)
{
    hpet_write(HPET_CONFIG, 0);
    hpet_write(0x100, 0);
}

static void hpet(void)
{
    on_vector(0x50, on_apic);
    hpet_flags = HPET_T_PERIODIC;
    hpet_distance = 1;
    storm(hpet_start, NULL, hpet_stop, "HPET, periodic, 1 tick");
    hpet_flags = 0;
    hpet_distance = 1000;
    storm(hpet_start, hpet_again, hpet_stop, "HPET, one shot, 20 us, set again by its handler");
}

/* -- RTC, at 8192 Hz, its highest rate -- */

static void rtc_again(void)
{
    cmos_read(0xc);
    outb(PIC2, PIC_EOI);
}

static void rtc_start(void)
{
    cmos_write(0xa, 0x23);
    cmos_write(0xb, cmos_read(0xb) | 0x40);
    cmos_read(0xc);
    outb(PIC1_MASK, 0xfb);
    outb(PIC2_MASK, 0xfe);
}

static void rtc_stop(void)
{
    cmos_write(0xb, cmos_read(0xb) & ~0x40);
    rtc_again();
    outb(PIC1_MASK, 0xff);
    outb(PIC2_MASK, 0xff);
}

int main(void)
{
    apic_enable();
    on_vector(0x50, on_apic);
    apic();
    pit();
    hpet();
    on_vector(0x28, on_pic);
    storm(rtc_start, rtc_again, rtc_stop, "RTC, 8192 Hz");
    return 0;
}
