/*
 * AMD's four legacy performance counters: cycles by the TSC, the interrupt of an overflow, what stands still. On
 * Intel's CPUs, whose CPUID shows no performance-monitoring unit, they are not there.
 */
#include "runtime.h"
#include "x86/apic.h"
#include "x86/msr.h"

#define SELECT(i) (MSR_K7_EVNTSEL0 + (i))
#define COUNTER(i) (MSR_K7_EVNTSEL0 + 4 + (i))
#define CYCLES 0x430076u /* not halted, in user and supervisor mode; enabled */
#define INSTRUCTIONS 0x4300c0u
#define INTERRUPTS BIT(20)
#define BITS48 0xffffffffffffull
#define VECTOR 0x51

static volatile u32 taken;
static volatile u64 left;

static void on_overflow(struct frame *f)
{
    taken++;
    left = rdmsr(COUNTER(1));
    wrmsr(SELECT(1), 0);
    if (f->vector == VECTOR)
        apic_write(APIC_EOI, 0);
}

static u64 rdpmc(u32 i)
{
    u32 low, high;
    __asm__ volatile("rdpmc" : "=a"(low), "=d"(high) : "c"(i));
    return (u64)high << 32 | low;
}

static void spin(u64 cycles)
{
    for (u64 end = rdtsc() + cycles; rdtsc() < end;)
        ;
}

/* clang-format off */
static void read_select(void *p) { rdmsr(SELECT(0)); }
static void read_extended(void *p) { rdmsr(0xc0010200); }
static void read_fifth(void *p) { rdpmc(4); }
static void write_counter(void *p) { wrmsr(COUNTER(3), 1); }
USER_TEXT static void user_rdpmc(void *p) { __asm__ volatile("rdpmc" : : "c"(0) : "rax", "rdx"); }
/* clang-format on */

static bool faults(void (*fn)(void *))
{
    struct fault f = catch_fault(fn, NULL);
    return f.raised && f.vector == EXC_GP && f.error == 0;
}

static void overflow(u32 lvt, u64 cycles, const char *name)
{
    taken = 0;
    apic_write(APIC_LVT_PERF, lvt);
    u64 begin = rdtsc();
    wrmsr(COUNTER(1), -cycles & BITS48);
    wrmsr(SELECT(1), CYCLES | INTERRUPTS);
    sti();
    while (!taken && rdtsc() - begin < cycles * 1000)
        ;
    cli();
    check(taken == 1 && rdtsc() - begin >= cycles && left < BIT64(47), name);
}

int main(void)
{
    apic_enable();
    if (is_intel()) {
        check(faults(read_select) && faults(write_counter), "no legacy counters on Intel's");
        return 0;
    }
    u64 ms = tsc_per_ms();
    bool keeps = true;
    for (u32 i = 0; i < 4; i++) {
        keeps &= rdmsr(SELECT(i)) == 0 && rdmsr(COUNTER(i)) == 0;
        wrmsr(COUNTER(i), 0xffff123456789abc + i);
        keeps &= rdmsr(COUNTER(i)) == 0x123456789abcull + i && rdpmc(i) == 0x123456789abcull + i;
    }
    check(keeps, "four counters of 48 bits keep what is written");
    wrmsr(SELECT(3), ~0ull & ~BIT64(22));
    check_eq(rdmsr(SELECT(3)), 0x30fff97ffff, "selects keep the bits that are not reserved");
    wrmsr(SELECT(3), 0);
    check(faults(read_extended) && faults(read_fifth), "no extended counters, and no fifth");
    struct fault f = catch_user(user_rdpmc, NULL);
    check(f.raised && f.vector == EXC_GP, "RDPMC at CPL 3");
    write_cr4(read_cr4() | BIT64(8));
    f = catch_user(user_rdpmc, NULL);
    check(!f.raised, "RDPMC at CPL 3 with CR4.PCE");

    wrmsr(COUNTER(0), 0);
    u64 begin = rdtsc();
    wrmsr(SELECT(0), CYCLES);
    u64 inside = rdtsc();
    spin(ms);
    u64 outside = rdtsc(), count = rdpmc(0), end = rdtsc();
    check(count >= outside - inside && count <= end - begin, "cycles by the TSC");
    wrmsr(SELECT(0), CYCLES & ~BIT(22));
    count = rdpmc(0);
    spin(ms / 10);
    check_eq(rdpmc(0), count, "a counter that is not enabled stands");
    wrmsr(COUNTER(2), 7);
    wrmsr(SELECT(2), INSTRUCTIONS);
    spin(ms / 10);
    check_eq(rdpmc(2), 7, "a counter of instructions stands");
    wrmsr(SELECT(2), 0x400076);
    check_eq(rdpmc(2), 7, "a counter that counts in neither mode stands");
    wrmsr(SELECT(2), 0);

    on_vector(VECTOR, on_overflow);
    on_vector(EXC_NMI, on_overflow);
    overflow(VECTOR, ms, "overflow interrupts by the local APIC");
    overflow(VECTOR, 100, "soon");
    overflow(DELIVER_NMI << APIC_MODE_SHIFT, ms, "overflow interrupts by an NMI");
    apic_write(APIC_LVT_PERF, LVT_MASKED | VECTOR);
    taken = 0;
    wrmsr(COUNTER(1), -1000ull & BITS48);
    wrmsr(SELECT(1), CYCLES | INTERRUPTS);
    sti();
    spin(ms);
    cli();
    check(!taken && rdmsr(COUNTER(1)) < BIT64(47), "a masked overflow only wraps");
    wrmsr(SELECT(1), 0);
    apic_write(APIC_LVT_PERF, VECTOR);
    wrmsr(COUNTER(1), -1000ull & BITS48);
    wrmsr(SELECT(1), CYCLES);
    sti();
    spin(ms);
    cli();
    check(!taken, "a counter without its interrupt bit does not interrupt");
    wrmsr(SELECT(1), 0);

    /* A timer ends the halt. */
    on_vector(0x50, apic_eoi);
    apic_write(APIC_DIVIDE, 0xb);
    apic_write(APIC_LVT_TIMER, 0x50);
    bool stands = false;
    for (u32 i = 0; i < 20 && !stands; i++) { /* on a busy host the timer may expire before the halt */
        wrmsr(COUNTER(0), 0);
        begin = rdtsc();
        wrmsr(SELECT(0), CYCLES);
        apic_write(APIC_INITIAL_COUNT, 20000000);
        __asm__ volatile("sti; hlt; cli" : : : "memory");
        count = rdpmc(0);
        stands = count < (rdtsc() - begin) / 2;
        wrmsr(SELECT(0), 0);
    }
    check(stands, "halted cycles do not count");
    return 0;
}
