/*
 * x87 errors with CR0.NE = 0: FERR# and IRQ 13, the stop before the next waiting instruction, IGNNE# by port F0h.
 * Source: SDM volume 1, "Handling x87 FPU Exceptions in Software" and the appendix "Guidelines for Writing SIMD
 * Floating-Point Exception Handlers" beside it, "MS-DOS Compatibility Sub-mode"; ICH9 data sheet, "COPROC_ERR".
 */
#include "runtime.h"

#define PORT_FERR 0xf0
#define IRQ13 0x2d /* the vector of IRQ 13 */
#define TIMER 0x50
#define NMI_MESSAGE 0x400
#define STATUS_ES BIT(7)

static volatile u32 irqs, timers, nmis;
static volatile u64 irq_rip;
static volatile bool answers, clears;

static void fnclex(void)
{
    __asm__ volatile("fnclex");
}

static u16 fnstsw(void)
{
    u16 status;
    __asm__ volatile("fnstsw %0" : "=a"(status));
    return status;
}

static void on_irq13(struct frame *f)
{
    irqs++;
    irq_rip = f->rip;
    if (answers)
        outb(PORT_FERR, 0);
    if (clears)
        fnclex();
    outb(PIC2, PIC_EOI);
    outb(PIC1, PIC_EOI);
}

/* Timer 0 of the HPET sends message `data` in a millisecond, so that a stop has an end. */
static void later(u32 data)
{
    volatile u64 *hpet = (u64 *)0xfed00000;
    hpet[0x10 / 8] = 1;
    hpet[0x110 / 8] = 0xfee00000ull << 32 | data;
    hpet[0x100 / 8] = 0x4004;
    hpet[0x108 / 8] = hpet[0xf0 / 8] + 100000;
}

extern const u8 do_fwait_at[];

/* Returns true if the interrupt came at the stop. On a busy host it may be too early; then it is sent again. */
static bool ends_stop(struct frame *f, u32 data)
{
    irq_rip = f->rip;
    if (f->rip == (u64)do_fwait_at)
        fnclex();
    else
        later(data);
    return f->rip == (u64)do_fwait_at;
}

static void on_timer(struct frame *f)
{
    timers += ends_stop(f, TIMER);
    apic_write(APIC_EOI, 0);
}

static void on_nmi(struct frame *f)
{
    nmis += ends_stop(f, NMI_MESSAGE);
}

static void error(void)
{
    u16 control = 0x37b; /* division by zero is not masked */
    __asm__ volatile("fninit; fldcw %0; fld1; fldz; fdivrp" : : "m"(control));
}

static void begin(bool answer, bool clear)
{
    irqs = timers = nmis = 0;
    irq_rip = 0;
    answers = answer;
    clears = clear;
    error();
}

#define WAITING(name, insn)                                                                                            \
    extern const u8 name##_at[], name##_after[];                                                                       \
    __attribute__((noinline)) static void name(void)                                                                   \
    {                                                                                                                  \
        __asm__ volatile(#name "_at: " insn "; " #name "_after:" : : : "memory", "rax");                               \
    }
WAITING(do_fwait, "fwait")
WAITING(do_fld, "fld1")
WAITING(do_load, "fldl ferr_value")
WAITING(do_mmx, "emms")
WAITING(do_fldenv, "fldenv ferr_image")
WAITING(do_frstor, "frstor ferr_image")
WAITING(do_store, "fstpl ferr_value")
__asm__(".data\nferr_value: .double 1.5\nferr_image: .word 0x37f, 0, 0, 0, -1, -1; .skip 108\n.text\n");

static void stops(void)
{
    static const struct {
        void (*fn)(void);
        const u8 *at;
        const char *name;
    } waiting[] = {{do_fwait, do_fwait_at, "FWAIT"},   {do_fld, do_fld_at, "FLD1"}, {do_load, do_load_at, "FLD"},
                   {do_store, do_store_at, "FSTP"},    {do_mmx, do_mmx_at, "EMMS"}, {do_fldenv, do_fldenv_at, "FLDENV"},
                   {do_frstor, do_frstor_at, "FRSTOR"}};
    for (unsigned i = 0; i < ARRAY_LEN(waiting); i++) {
        begin(true, true);
        sti();
        waiting[i].fn();
        cli();
        check(irqs == 1 && irq_rip == (u64)waiting[i].at, waiting[i].name);
    }
}

int main(void)
{
    apic_enable();
    apic_write(APIC_LVT_LINT0, LVT_EXTINT);
    on_vector(IRQ13, on_irq13);
    on_vector(TIMER, on_timer);
    on_vector(EXC_NMI, on_nmi);
    outb(PIC1_MASK, 0xfb);
    outb(PIC2_MASK, 0xdf);
    write_cr0(read_cr0() & ~CR0_NE);
    stops();

    begin(true, true);
    u16 status = fnstsw();
    sti();
    __asm__ volatile("nop");
    cli();
    check((status & STATUS_ES) && !irqs, "an error does nothing before a waiting instruction");
    fnclex();

    begin(true, false);
    sti();
    do_fwait();
    check_eq(irqs, 1, "port F0h lets the program go on with the error pending");
    double one = 0;
    __asm__ volatile("fld1; fstpl %0" : "=m"(one));
    u64 bits;
    copy(&bits, &one, 8);
    check_eq(bits, 0x3ff0000000000000, "with the error ignored the program computes");
    u16 control = 0x37b, read;
    __asm__ volatile("fnstcw %0" : "=m"(read));
    check_eq(read, control, "with the error ignored the control word is as it was");
    control = 0x27b;
    __asm__ volatile("fldcw %1; fnstcw %0" : "=m"(read) : "m"(control));
    check_eq(read, control, "with the error ignored FLDCW loads the control word");
    check((fnstsw() & STATUS_ES) && irqs == 1, "the error that was ignored is still pending");
    fnclex();
    check(!(fnstsw() & STATUS_ES), "FNCLEX clears the error");
    error();
    clears = true;
    do_fwait();
    check_eq(irqs, 2, "the next error interrupts again");
    cli();

    /* IRQ 13 is masked, so another interrupt has to end the stop. */
    outb(PIC2_MASK, 0xff);
    begin(true, true);
    later(TIMER);
    sti();
    do_fwait();
    cli();
    check(timers == 1 && !irqs && irq_rip == (u64)do_fwait_at, "with IRQ 13 masked any interrupt ends the stop");
    outb(PIC2_MASK, 0xdf);
    sti();
    __asm__ volatile("nop");
    cli();
    check_eq(irqs, 1, "a masked IRQ 13 waits until it is unmasked");

    begin(true, true);
    later(NMI_MESSAGE);
    do_fwait();
    check(nmis == 1 && !irqs && irq_rip == (u64)do_fwait_at, "with IF = 0 only an NMI ends the stop");
    sti();
    __asm__ volatile("nop");
    cli();
    check_eq(irqs, 1, "an IRQ 13 that waits comes with IF = 1");

    begin(false, false);
    later(TIMER);
    sti();
    do_fwait();
    cli();
    check(irqs == 1 && timers == 1, "without port F0h the program stops again, and IRQ 13 does not come again");
    outb(PORT_FERR, 0);

    write_cr0(read_cr0() | CR0_NE);
    begin(true, true);
    sti();
    struct fault f = catch_fault((void (*)(void *))do_fwait, NULL);
    cli();
    fnclex();
    check(f.raised && f.vector == EXC_MF && f.rip == (u64)do_fwait_at && !irqs, "with CR0.NE = 1 the error is #MF");
    return 0;
}
