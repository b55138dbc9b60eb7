/*
 * More than one CPU: INIT-SIPI-SIPI, IPIs of each kind, atomics, memory order, TLB shootdown, code changed by another
 * CPU.
 */
#include "runtime.h"

#define MAX_CPUS 8
#define LA 0x8000000000ull

static u32 cpus = 1;
static volatile u32 started, command, done;
static volatile u64 counters[MAX_CPUS][8];
static volatile u64 shared __attribute__((aligned(64)));
static volatile u64 wide[2] __attribute__((aligned(64)));
static volatile u32 ipis[MAX_CPUS], nmis;
static u8 *code;

enum { IDLE, ADD, LOCK, EXCHANGE, WIDE, READ, CALL, HALT, ORDER, SEND_NMI, SHADOW };
#define ROUNDS 20000u
#define NMI_ROUNDS 500u

static volatile u32 spin, nmi_turn, nmi_sent, nmi_early, shadow_stop;
extern const u8 in_shadow[];
static volatile u64 plain;
static volatile u32 order_x, order_y, order_r[2], order_go, order_at[2];
static volatile bool order_over;

static void spin_lock(void)
{
    while (__atomic_exchange_n(&spin, 1, __ATOMIC_ACQUIRE))
        while (spin)
            cpu_pause();
}

static void spin_unlock(void)
{
    __atomic_store_n(&spin, 0, __ATOMIC_RELEASE);
}

static void wide_add(void)
{
    u64 lo = wide[0], hi = wide[1];
    bool ok;
    do
        __asm__ volatile("lock cmpxchg16b %1"
                         : "=@ccz"(ok), "+m"(wide), "+a"(lo), "+d"(hi)
                         : "b"(lo + 1), "c"(hi + 2)
                         : "memory");
    while (!ok);
}

/* Each of two CPUs stores to one variable and then reads the other: with MFENCE between, they never both read the old
 * value. The CPUs go in step, so a round takes time slices of both; on a busy host the test ends early. */
static void order(u32 me)
{
    for (u32 i = 1; i <= ROUNDS / 4; i++) {
        __atomic_fetch_add(&order_at[me], 1, __ATOMIC_SEQ_CST);
        while (order_go != i) {
            if (order_over)
                return;
            cpu_pause();
        }
        *(me ? &order_y : &order_x) = i;
        __asm__ volatile("mfence" : : : "memory");
        order_r[me] = *(me ? &order_x : &order_y);
    }
    __atomic_fetch_add(&order_at[me], 1, __ATOMIC_SEQ_CST);
}

static void work(u32 id, u32 what)
{
    switch (what) {
    case ADD:
        for (u32 i = 0; i < ROUNDS; i++)
            __atomic_fetch_add(&shared, 1, __ATOMIC_SEQ_CST);
        break;
    case LOCK:
        for (u32 i = 0; i < ROUNDS / 4; i++) {
            spin_lock();
            plain = plain + 1;
            spin_unlock();
        }
        break;
    case EXCHANGE:
        for (u32 i = 0; i < ROUNDS; i++) {
            u64 old = shared;
            while (!__atomic_compare_exchange_n(&shared, &old, old + 3, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
                ;
        }
        break;
    case WIDE:
        for (u32 i = 0; i < ROUNDS / 4; i++)
            wide_add();
        break;
    case READ: counters[id][0] = *(volatile u64 *)LA; break;
    case CALL: counters[id][1] = ((u32(*)(void))code)(); break;
    case HALT: __asm__ volatile("sti; hlt; cli" : : : "memory"); break;
    case SEND_NMI:
        for (u32 i = 1; id == 1 && i <= NMI_ROUNDS; i++) {
            while (nmi_turn != i)
                cpu_pause();
            apic_ipi(0, ICR_NMI);
            nmi_sent = i;
        }
        break;
    case SHADOW:
        while (id == 1 && !shadow_stop)
            __asm__ volatile("sti\nin_shadow: nop\ncli" : : : "memory");
        break;
    case ORDER:
        if (id == 1)
            order(1);
        break;
    }
}

/* The other CPUs wait for the next command, obey it, and report. */
static void ap(u32 id)
{
    u32 seen = 0;
    __atomic_fetch_add(&started, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        u32 c = command;
        if (c == seen) {
            __asm__ volatile("sti; nop; cli" : : : "memory");
            cpu_pause();
            continue;
        }
        seen = c;
        work(id, c & 0xff);
        __atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
    }
}

static void post(u32 what)
{
    static u32 serial;
    done = 0;
    __atomic_store_n(&command, ++serial << 8 | what, __ATOMIC_SEQ_CST);
}

static bool wait_for(volatile u32 *value, u32 wanted)
{
    for (unsigned i = 0; i < 5000 && *value != wanted; i++)
        delay_us(1000);
    return *value == wanted;
}

/* All CPUs, this one among them, do that work. Returns true if all have finished. */
static bool together(u32 what)
{
    post(what);
    work(0, what);
    return wait_for(&done, cpus - 1);
}

static void on_ipi(struct frame *f)
{
    __atomic_fetch_add(&ipis[cpuid(1, 0).b >> 24 & (MAX_CPUS - 1)], 1, __ATOMIC_SEQ_CST);
    apic_write(APIC_EOI, 0);
}

static void on_flush(struct frame *f)
{
    write_cr3(read_cr3());
    __atomic_fetch_add(&done, 1, __ATOMIC_SEQ_CST);
    apic_write(APIC_EOI, 0);
}

static void on_nmi(struct frame *f)
{
    nmi_early += f->rip == (u64)in_shadow;
    __atomic_fetch_add(&nmis, 1, __ATOMIC_SEQ_CST);
}

static void atomics(void)
{
    shared = 0;
    together(ADD);
    check_eq(shared, (u64)cpus * ROUNDS, "LOCK XADD");
    plain = 0;
    together(LOCK);
    check_eq(plain, (u64)cpus * (ROUNDS / 4), "a spin lock by XCHG");
    shared = 0;
    together(EXCHANGE);
    check_eq(shared, 3ull * cpus * ROUNDS, "LOCK CMPXCHG");
    wide[0] = wide[1] = 0;
    together(WIDE);
    check(wide[0] == (u64)cpus * (ROUNDS / 4) && wide[1] == 2 * wide[0], "LOCK CMPXCHG16B");

    bool good = true;
    post(ORDER);
    order_over = false;
    u64 begin = rdtsc();
    for (u32 i = 1; i <= ROUNDS / 4 && (i < 100 || rdtsc() - begin < 10000000000); i++) {
        while (order_at[1] != i)
            cpu_pause();
        order_go = i;
        order_x = i;
        __asm__ volatile("mfence" : : : "memory");
        u32 r = order_y;
        while (order_at[1] != i + 1)
            cpu_pause();
        good &= r == i || order_r[1] == i;
    }
    order_over = true;
    wait_for(&done, cpus - 1);
    check(good, "MFENCE orders a store before a later load");
}

static void messages(void)
{
    on_vector(0x40, on_ipi);
    on_vector(EXC_NMI, on_nmi);
    apic_ipi(1, ICR_FIXED | 0x40);
    check(wait_for(&ipis[1], 1), "a fixed IPI to one CPU");
    check_eq(ipis[0], 0, "a fixed IPI to one CPU comes to no other");
    apic_write(APIC_ICR, ICR_FIXED | ICR_ALL_OTHERS | 0x40);
    bool all = wait_for(&ipis[1], 2);
    for (u32 i = 2; i < cpus; i++)
        all &= wait_for(&ipis[i], 1);
    check(all && !ipis[0], "an IPI to all others");
    apic_write(APIC_ICR, ICR_FIXED | ICR_SELF | 0x40);
    sti();
    check(wait_for(&ipis[0], 1), "an IPI to itself");
    cli();
    apic_ipi(1, ICR_NMI);
    check(wait_for(&nmis, 1), "an NMI");
    /* One NMI is handled while the other waits, so two never become one. */
    u32 lost = 0;
    post(SEND_NMI);
    for (u32 i = 1; i <= NMI_ROUNDS; i++) {
        nmis = 0;
        nmi_turn = i;
        apic_ipi(0, ICR_NMI);
        while (nmi_sent != i)
            cpu_pause();
        lost += !wait_for(&nmis, 2);
    }
    wait_for(&done, cpus - 1);
    check_eq(lost, 0, "an NMI from each of two CPUs is two NMIs");
    post(SHADOW);
    lost = nmis = nmi_early = 0;
    for (u32 i = 1; i <= 4 * NMI_ROUNDS && !lost; i++) {
        apic_ipi(1, ICR_NMI);
        for (u64 start = rdtsc(); nmis != i && !lost;)
            lost = rdtsc() - start > 10000000000;
    }
    shadow_stop = 1;
    wait_for(&done, cpus - 1);
    check_eq(nmi_early, 0, "STI keeps NMIs off the next instruction");
    check_eq(lost, 0, "NMIs come after the instruction behind STI");
    post(HALT);
    delay_us(20000);
    /* On a busy host an IPI may come before the HLT that it is to end, so more follow. */
    for (u32 i = 0; i < 500 && done != cpus - 1; i++) {
        apic_write(APIC_ICR, ICR_FIXED | ICR_ALL_OTHERS | 0x40);
        delay_us(10000);
    }
    check(wait_for(&done, cpus - 1), "IPIs wake halted CPUs");
}

static void shootdown(void)
{
    u64 *a = page_alloc(), *b = page_alloc();
    a[0] = 0xa;
    b[0] = 0xb;
    map_page(LA, (u64)a, PTE_P | PTE_W);
    together(READ);
    bool good = true;
    for (u32 i = 0; i < cpus; i++)
        good &= counters[i][0] == 0xa;
    check(good, "all CPUs read the first mapping");
    on_vector(0x41, on_flush);
    good = true;
    for (u32 round = 0; round < 50; round++) {
        map_page(LA, round & 1 ? (u64)a : (u64)b, PTE_P | PTE_W);
        done = 0;
        apic_write(APIC_ICR, ICR_FIXED | ICR_ALL_OTHERS | 0x41);
        good &= wait_for(&done, cpus - 1);
        good &= together(READ);
        for (u32 i = 0; i < cpus; i++)
            good &= counters[i][0] == (round & 1 ? 0xa : 0xb);
    }
    check(good, "all CPUs read each later mapping after a shootdown");
}

static void cross_modification(void)
{
    bool good = true;
    code = page_alloc();
    for (u32 round = 0; round < 50; round++) {
        code[0] = 0xb8;
        copy(code + 1, &round, 4);
        code[5] = 0xc3;
        good &= together(CALL);
        for (u32 i = 0; i < cpus; i++)
            good &= counters[i][1] == round;
    }
    check(good, "code that another CPU wrote");
}

int main(void)
{
    apic_enable();
    check_eq(apic_read(APIC_ID) >> 24, cpuid(1, 0).b >> 24, "the APIC ID is that of CPUID");
    check(ap_start(1, ap), "INIT-SIPI-SIPI starts CPU 1");
    if (!wait_for(&started, 1))
        finish();
    cpus = 2;
    while (cpus < MAX_CPUS && cpuid(1, 0).b >> 16 && cpus < (cpuid(1, 0).b >> 16 & 0xff) && ap_start(cpus, ap))
        wait_for(&started, cpus++);
    check_eq(started, cpus - 1, "all CPUs that CPUID counts");
    atomics();
    messages();
    shootdown();
    cross_modification();
    return 0;
}
