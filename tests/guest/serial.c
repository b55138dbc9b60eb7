/*
 * The serial port with a reader that stalls, for tests/cli/slow_reader.sh: numbered lines, polled and then by
 * interrupt, while the PIT's interrupts go on and another device answers. The verdicts come last.
 */
#include "runtime.h"

#define COM1 0x3f8
#define IER (COM1 + 1)
#define IIR (COM1 + 2)
#define FCR (COM1 + 2)
#define MCR (COM1 + 4)
#define LSR (COM1 + 5)
#define IER_THR_EMPTY 0x02
#define LSR_THRE 0x20
#define LSR_TEMT 0x40
#define FIFO 16

#define TICK_MS 10
#define STALL_MS 500  /* the reader stalls for 4000 ms; at least this much is left when all buffers are full */
#define DELAY_MS 2000 /* at most, on a busy host */
#define LINE 8
#define LINES 32768u /* polled, and as many by interrupt: twice what console, pipe and FIFO hold */

static u64 ms; /* in TSC ticks */
static volatile u32 ticks;
static volatile u64 last_tick, longest_gap, longest_busy, busy_since, longest_access;
static volatile u32 next, end; /* positions in the bytes of all lines */

static void on_pit(struct frame *f)
{
    u64 now = rdtsc();
    if (ticks && now - last_tick > longest_gap)
        longest_gap = now - last_tick;
    last_tick = now;
    ticks++;
    outb(PIC1, PIC_EOI);
}

/* Returns byte n of the numbered lines. */
static u8 stream(u32 n)
{
    u32 digit = n % LINE;
    return digit == LINE - 1 ? '\n' : (u8) "0123456789abcdef"[n / LINE >> (4 * (LINE - 2 - digit)) & 15];
}

static void note_busy(void)
{
    u64 took = rdtsc() - busy_since;
    if (took > longest_busy)
        longest_busy = took;
}

static void ask_other_device(void)
{
    cli();
    u64 begin = rdtsc();
    outb(CMOS_INDEX, 0);
    inb(CMOS_DATA);
    u64 took = rdtsc() - begin;
    sti();
    if (took > longest_access)
        longest_access = took;
}

static void send_polled(void)
{
    for (; next < end; next++) {
        busy_since = rdtsc();
        while (!(inb(LSR) & LSR_THRE))
            ask_other_device();
        note_busy();
        outb(COM1, stream(next));
    }
}

static void on_serial(struct frame *f)
{
    if ((inb(IIR) & 0x0f) == 0x02) {
        note_busy();
        for (u32 i = 0; i < FIFO && next < end; i++)
            outb(COM1, stream(next++));
        if (next == end)
            outb(IER, 0);
        busy_since = rdtsc();
    }
    outb(PIC1, PIC_EOI);
}

static void send_by_interrupt(void)
{
    busy_since = rdtsc();
    outb(IER, IER_THR_EMPTY);
    while (next < end)
        ask_other_device();
    while (!(inb(LSR) & LSR_TEMT))
        ;
}

struct verdict {
    bool stalled, ticked, answered;
};

static struct verdict measure(void (*send)(void))
{
    ticks = 0;
    longest_gap = longest_busy = longest_access = 0;
    end = next + LINES * LINE;
    u64 begin = rdtsc();
    send();
    u64 took = rdtsc() - begin;
    return (struct verdict){
        .stalled = longest_busy > ms * STALL_MS,
        .ticked = ticks > took / ms / TICK_MS / 4 && longest_gap < ms * DELAY_MS,
        .answered = longest_access < ms * DELAY_MS,
    };
}

static void judge(const struct verdict *v, const char *stalled, const char *ticked, const char *answered)
{
    check(v->stalled, stalled);
    check(v->ticked, ticked);
    check(v->answered, answered);
}

int main(void)
{
    apic_enable();
    apic_write(APIC_LVT_LINT0, LVT_EXTINT);
    ms = tsc_per_ms();
    u32 divisor = PIT_HZ * TICK_MS / 1000;
    on_vector(0x20, on_pit);
    on_vector(0x24, on_serial);
    outb(PIT_COMMAND, PIT_CHANNEL0(2));
    outb(PIT_COUNTER0, (u8)divisor);
    outb(PIT_COUNTER0, (u8)(divisor >> 8));
    outb(FCR, 0x07);
    outb(MCR, 0x0b);
    outb(PIC1_MASK, 0xee);
    sti();
    struct verdict polled = measure(send_polled), interrupts = measure(send_by_interrupt);
    cli();
    judge(&polled, "polled: the transmitter is busy while the reader stalls", "polled: the timer goes on",
          "polled: other devices answer");
    judge(&interrupts, "by interrupt: the transmitter is busy while the reader stalls",
          "by interrupt: the timer goes on", "by interrupt: other devices answer");
    finish();
}
