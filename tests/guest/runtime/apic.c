/*
 * The local APIC by MMIO, starting other CPUs, and time by the PIT.
 */
#include "runtime.h"

#define APIC_BASE 0xfee00000ull
#define TRAMPOLINE 0x8000ull
#define WARM_VECTOR 0x467ull
#define WARM_STACK 0x7f00u

extern const u8 ap_trampoline[], ap_trampoline_end[];
u64 ap_stack; /* the stack of the CPU that is being started */
static void (*volatile ap_fn)(u32 id);
static volatile u32 ap_count;

u32 apic_read(u32 reg)
{
    return *(volatile u32 *)(APIC_BASE + reg);
}

void apic_write(u32 reg, u32 value)
{
    *(volatile u32 *)(APIC_BASE + reg) = value;
}

void apic_enable(void)
{
    apic_write(APIC_SVR, 0x1ff);
}

void apic_ipi(u32 id, u32 icr_low)
{
    apic_write(APIC_ICR2, id << 24);
    apic_write(APIC_ICR, icr_low);
    while (apic_read(APIC_ICR) & 0x1000)
        cpu_pause();
}

void apic_eoi(struct frame *f)
{
    apic_write(APIC_EOI, 0);
}

/* Channel 2 of the PIT counts down once, and port 61h shows its output. */
void delay_us(u32 us)
{
    while (us) {
        u32 now = us > 50000 ? 50000 : us;
        u32 ticks = (u32)((u64)now * PIT_HZ / 1000000) + 1;
        outb(PORT61, (inb(PORT61) & 0xfc) | 1);
        outb(PIT_COMMAND, 0xb0);
        outb(PIT_COUNTER2, (u8)ticks);
        outb(PIT_COUNTER2, (u8)(ticks >> 8));
        while (!(inb(PORT61) & 0x20))
            ;
        us -= now;
    }
}

/* Returns the least of many measurements: a busy host only makes them longer. */
u64 tsc_per_ms(void)
{
    u64 least = ~0ull;
    for (unsigned i = 0; i < 50; i++) { /* so many that a busy host leaves one of them alone */
        u64 start = rdtsc();
        delay_us(1000);
        u64 took = rdtsc() - start;
        if (took < least)
            least = took;
    }
    return least;
}

void ap_main(void)
{
    u32 id = cpuid(1, 0).b >> 24;
    void (*fn)(u32) = ap_fn;
    apic_enable();
    __atomic_fetch_add(&ap_count, 1, __ATOMIC_SEQ_CST);
    fn(id);
}

static void trampoline(void (*fn)(u32 id))
{
    copy((void *)TRAMPOLINE, ap_trampoline, (size_t)(ap_trampoline_end - ap_trampoline));
    u8 *stack = page_alloc();
    page_alloc();
    ap_stack = (u64)stack + 8192;
    ap_fn = fn;
}

void warm_start(u8 code, void (*fn)(u32 id))
{
    static const u16 frame[3] = {0, TRAMPOLINE >> 4, FLAG_ONE}, stack[2] = {WARM_STACK, 0};
    trampoline(fn);
    copy((void *)WARM_STACK, frame, sizeof(frame));
    copy((void *)WARM_VECTOR, code < WARM_IRET ? frame : stack, 4);
    outb(CMOS_INDEX, 0x8f);
    outb(CMOS_DATA, code);
}

bool ap_start(u32 id, void (*fn)(u32 id))
{
    u32 before = ap_count;
    trampoline(fn);
    apic_ipi(id, ICR_INIT);
    delay_us(10000);
    apic_ipi(id, ICR_SIPI | TRAMPOLINE >> 12);
    delay_us(200);
    if (ap_count == before)
        apic_ipi(id, ICR_SIPI | TRAMPOLINE >> 12);
    for (unsigned i = 0; i < 1000 && ap_count == before; i++)
        delay_us(1000);
    return ap_count != before;
}
