/*
 * Time: the PIT by polling and by interrupt, the APIC timer in its three modes, the TSC, and that they agree.
 */
#include "runtime.h"

#define MSR_TSC_DEADLINE 0x6e0u

static volatile u32 ticks;
static volatile u64 tick_tsc;

static void on_pit(struct frame *f)
{
    ticks++;
    outb(PIC1, PIC_EOI);
}

static void on_apic(struct frame *f)
{
    ticks++;
    tick_tsc = rdtsc();
    apic_write(APIC_EOI, 0);
}

static void halt_until(u32 count, u64 tsc_limit)
{
    u64 end = rdtsc() + tsc_limit;
    while (ticks < count && rdtsc() < end)
        __asm__ volatile("sti; hlt; cli" : : : "memory");
}

/* Returns true if a is at least nine tenths of b and at most twenty times b: a busy host makes events late, never
 * early. */
static bool about(u64 a, u64 b)
{
    bool good = a * 10 > b * 9 && a < b * 20;
    if (!good) {
        print("# ");
        print_hex(a);
        print(" for ");
        print_hex(b);
        print("\n");
    }
    return good;
}

/* Interrupts leave the registers of a loop alone, also R11, R14 and R15, which an engine may keep in other places. */
static void interrupted_loop(void)
{
    register u64 r11 __asm__("r11") = 1, r14 __asm__("r14") = 2, r15 __asm__("r15") = 3;
    u64 rounds = 100000000, x = 1, y = 2, z = 3;
    __asm__ volatile("1: lea (%0,%1,2), %0\n\t"
                     "xor %3, %1\n\t"
                     "add %0, %2\n\t"
                     "rol $7, %1\n\t"
                     "add %2, %1\n\t"
                     "dec %3\n\t"
                     "jnz 1b"
                     : "+r"(r11), "+r"(r14), "+r"(r15), "+r"(rounds)
                     :
                     : "cc");
    u64 a = r11, b = r14, c = r15;
    for (u64 i = 100000000; i; i--) {
        x += y * 2;
        y ^= i;
        z += x;
        y = y << 7 | y >> 57;
        y += z;
    }
    check(a == x && b == y && c == z, "a loop is interrupted");
}

int main(void)
{
    apic_enable();
    apic_write(APIC_LVT_LINT0, LVT_EXTINT);
    u64 a = tsc_per_ms(), b = tsc_per_ms();
    check(a && about(a, b), "the TSC against the PIT, twice");
    u64 last = rdtsc();
    bool good = true;
    for (unsigned i = 0; i < 10000; i++) {
        u64 now = rdtsc();
        good &= now >= last;
        last = now;
    }
    check(good, "the TSC does not go back");
    u64 ms = a;

    /* PIT channel 0 at 100 Hz through the 8259. Interrupts are counted from its start on, since those that a busy host
     * missed come later, and faster. */
    on_vector(0x20, on_pit);
    u32 divisor = PIT_HZ / 100;
    u64 begin = rdtsc();
    outb(PIT_COMMAND, PIT_CHANNEL0(2));
    outb(PIT_COUNTER0, (u8)divisor);
    outb(PIT_COUNTER0, (u8)(divisor >> 8));
    outb(PIC1_MASK, 0xfe);
    ticks = 0;
    halt_until(11, ms * 3000);
    u64 took = rdtsc() - begin;
    u32 before = ticks;
    sti();
    interrupted_loop();
    cli();
    check(ticks > before, "the TSC against the PIT by interrupts");
    outb(PIC1_MASK, 0xff);
    check(before >= 11, "PIT interrupts");
    check(about(took, ms * before * 10), "PIT interrupts at 100 Hz");
    outb(PIT_COMMAND, PIT_LATCH0);
    u8 low = inb(PIT_COUNTER0);
    u32 first = low | (u32)inb(PIT_COUNTER0) << 8;
    outb(PIT_COMMAND, PIT_LATCH0);
    low = inb(PIT_COUNTER0);
    u32 second = low | (u32)inb(PIT_COUNTER0) << 8;
    check(first <= divisor && second <= divisor && first != second, "the latched PIT counter moves");
    /* An interrupt that came while masked waits in the 8259. */
    outb(PIC1, PIC_READ_IRR);
    delay_us(20000);
    check(inb(PIC1) & 1, "the 8259's IRR has the masked interrupt");

    /* APIC timer. */
    on_vector(0x50, on_apic);
    on_vector(0x51, on_apic);
    apic_write(APIC_DIVIDE, APIC_DIVIDE_BY_1);
    apic_write(APIC_LVT_TIMER, 0x10050);
    apic_write(APIC_INITIAL_COUNT, ~0u);
    delay_us(10000);
    u32 per_10ms = ~0u - apic_read(APIC_CURRENT_COUNT);
    check(per_10ms > 1000, "the APIC timer counts");
    apic_write(APIC_LVT_TIMER, 0x50);
    ticks = 0;
    begin = rdtsc();
    apic_write(APIC_INITIAL_COUNT, per_10ms * 2);
    halt_until(1, ms * 1000);
    took = tick_tsc - begin;
    check(ticks == 1 && about(took, ms * 20), "APIC timer, one shot");
    check_eq(apic_read(APIC_CURRENT_COUNT), 0, "after one shot the APIC timer stands at 0");
    ticks = 0;
    apic_write(APIC_LVT_TIMER, 0x20051);
    begin = rdtsc();
    apic_write(APIC_INITIAL_COUNT, per_10ms);
    halt_until(10, ms * 2000);
    took = rdtsc() - begin;
    check(ticks >= 10 && about(took, ms * 100), "APIC timer, periodic");
    apic_write(APIC_INITIAL_COUNT, 0);
    ticks = 0;
    sti();
    delay_us(30000);
    cli();
    check(ticks <= 1, "an initial count of 0 stops the APIC timer");

    /* TPR holds an interrupt back, then lets it in. */
    ticks = 0;
    write_cr8(15);
    apic_write(APIC_LVT_TIMER, 0x50);
    apic_write(APIC_INITIAL_COUNT, per_10ms / 10);
    sti();
    delay_us(10000);
    check_eq(ticks, 0, "CR8 = 15 holds an interrupt back");
    check(apic_read(APIC_IRR + 0x10 * (0x50 / 32)) & BIT(0x50 % 32), "an interrupt that CR8 holds back waits in IRR");
    check_eq(apic_read(APIC_TPR), 0xf0, "CR8 is the TPR");
    write_cr8(0);
    __asm__ volatile("nop" : : : "memory");
    check_eq(ticks, 1, "CR8 = 0 lets an interrupt in");
    cli();

    if (cpuid(1, 0).c & BIT(24)) {
        apic_write(APIC_LVT_TIMER, 0x40050);
        __asm__ volatile("mfence" : : : "memory");
        u64 target, read;
        unsigned tries = 10;
        do { /* a busy host may be late, and let the deadline pass before it is read back */
            ticks = 0;
            target = rdtsc() + ms * 15;
            wrmsr(MSR_TSC_DEADLINE, target);
            read = rdmsr(MSR_TSC_DEADLINE);
            halt_until(1, ms * 1000);
        } while ((read != target || !ticks || tick_tsc >= target + ms * 500) && --tries);
        check_eq(read, target, "TSC deadline reads back");
        check(ticks == 1 && tick_tsc >= target && tick_tsc < target + ms * 500, "TSC deadline");
        check_eq(rdmsr(MSR_TSC_DEADLINE), 0, "a TSC deadline that passed reads 0");
        ticks = 0;
        wrmsr(MSR_TSC_DEADLINE, rdtsc() - 1);
        halt_until(1, ms * 1000);
        check_eq(ticks, 1, "a TSC deadline in the past");
        ticks = 0;
        wrmsr(MSR_TSC_DEADLINE, rdtsc() + ms * 10);
        wrmsr(MSR_TSC_DEADLINE, 0);
        sti();
        delay_us(20000);
        cli();
        check_eq(ticks, 0, "a TSC deadline of 0 disarms the timer");
    } else {
        skip("TSC deadline", "no TSC deadline");
    }
    return 0;
}
