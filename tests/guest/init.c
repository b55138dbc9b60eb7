/*
 * INIT of all CPUs by port 92h, the keyboard controller and CF9h = 04h: memory, vector registers and devices stay, the
 * boot CPU goes through firmware, the other waits for SIPI. And the resets of the whole machine, after each of which
 * this program starts anew: by CF9h = 06h and 0Eh, and by an INIT after which firmware finds no warm-boot vector. A
 * byte of CMOS says how far it is.
 */
#include "runtime.h"

#define CMOS_STAGE 0x60
#define HPET_CONFIG (*(volatile u64 *)0xfed00010)
#define PATTERN 0x123456789abcdef0

/* -- INIT -- */

/* clang-format off */
static void port92(void) { outb(PORT92, inb(PORT92) | 1); }
static void pulse(void) { outb(0x64, 0xfe); }
static void output_port(void) { outb(0x64, 0xd1); outb(0x60, 0xde); }
static void soft_reset(void) { outb(RESET_CONTROL, 4); }
/* clang-format on */

static const struct {
    void (*init)(void);
    u8 code;
    const char *name;
} ways[] = {{port92, WARM_JUMP, "INIT by port 92h"},
            {pulse, WARM_EOI_JUMP, "INIT by the keyboard controller's pulse"},
            {output_port, WARM_IRET, "INIT by its output port"},
            {soft_reset, WARM_RETF, "INIT by CF9h = 04h"}};

static unsigned way;
static volatile u64 beats;

static void beat(u32 id)
{
    for (;;)
        beats++;
}

static void stages(void);
static void reborn(u32 id);

static void next_way(void)
{
    if (way == ARRAY_LEN(ways)) {
        stages();
        return;
    }
    check(ap_start(1, beat), "the other CPU runs");
    HPET_CONFIG = 1;
    u64 before = PATTERN + way;
    __asm__ volatile("movq %0, %%xmm5" : : "r"(before));
    outb(PIC1_MASK, (u8)(0xa0 + way));

    warm_start(ways[way].code, reborn);
    ways[way].init();
    for (;;)
        ;
}

static void reborn(u32 id)
{
    u64 xmm5;
    __asm__ volatile("movq %%xmm5, %0" : "=r"(xmm5));
    check(id == 0 && rdmsr(0x1b) & BIT(8), ways[way].name);
    check_eq(xmm5, PATTERN + way, "INIT leaves vector registers");
    check(inb(PIC1_MASK) == 0xa0 + way && HPET_CONFIG == 1, "INIT leaves devices");
    unsigned still = 0; /* on a busy host the other CPU may see INIT late */
    for (unsigned i = 0; i < 1000 && still < 20; i++) {
        u64 last = beats;
        delay_us(1000);
        still = beats == last ? still + 1 : 0;
    }
    check(still == 20, "after INIT the other CPU waits for SIPI");
    outb(RESET_CONTROL, 0);
    outb(PORT92, 2);
    way++;
    next_way();
    finish();
}

/* -- RESET -- */

static void reset_by(u8 stage, void (*reset)(void))
{
    cmos_write(CMOS_STAGE, stage);
    HPET_CONFIG = 1;
    reset();
    for (;;)
        ;
}

/* clang-format off */
static void hard(void) { outb(RESET_CONTROL, 6); }
static void full(void) { outb(RESET_CONTROL, 0xe); }
/* clang-format on */

static void stages(void)
{
    static const struct {
        void (*reset)(void);
        const char *name;
    } resets[] = {{hard, "a reset by CF9h = 06h starts all anew"},
                  {full, "a reset by CF9h = 0Eh starts all anew"},
                  {pulse, "INIT without a warm-boot vector starts all anew"},
                  {port92, "so does INIT by port 92h"},
                  {soft_reset, "so does INIT by CF9h = 04h"}};
    u8 stage = cmos_read(CMOS_STAGE);
    if (stage)
        check(HPET_CONFIG == 0 && !way, resets[stage - 1].name);
    if (stage < ARRAY_LEN(resets))
        reset_by(stage + 1, resets[stage].reset);
}

int main(void)
{
    apic_enable();
    if (cmos_read(CMOS_STAGE))
        stages();
    else
        next_way();
    return 0;
}
