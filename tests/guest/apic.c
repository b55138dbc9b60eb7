/*
 * The local APIC's modes and priorities: disabled, moved, x2APIC and the transitions between them, TPR and PPR, nesting
 * of interrupts, destinations of IPIs to oneself, NMIs while one is handled.
 */
#include "runtime.h"

#define MSR_APIC_BASE 0x1bu
#define BASE_EN BIT64(11)
#define BASE_EXTD BIT64(10)
#define APIC_PPR 0xa0
#define APIC_LDR 0xd0
#define APIC_DFR 0xe0
#define APIC_ESR 0x280

static u64 base;

static void write_base(void *value)
{
    wrmsr(MSR_APIC_BASE, *(u64 *)value);
}

static bool base_faults(u64 value)
{
    struct fault f = catch_fault(write_base, &value);
    return f.raised && f.vector == EXC_GP && f.error == 0;
}

static u32 msr_number;
static u64 msr_value;

static void msr_write(void *p)
{
    wrmsr(msr_number, msr_value);
}

static void msr_read(void *p)
{
    msr_value = rdmsr(msr_number);
}

static bool x2apic_write_faults(u32 msr, u64 value)
{
    msr_number = msr;
    msr_value = value;
    return catch_fault(msr_write, NULL).raised;
}

static bool x2apic_read_faults(u32 msr)
{
    msr_number = msr;
    return catch_fault(msr_read, NULL).raised;
}

static void bases(void)
{
    base = rdmsr(MSR_APIC_BASE);
    check_eq(base, 0xfee00000 | BASE_EN | BIT64(8), "the base after reset");
    check(base_faults(base | 1), "a reserved low bit is #GP");
    check(base_faults(base | 1ull << 52), "an address bit beyond MAXPHYADDR is #GP");
    check(base_faults((base & ~BASE_EN) | BASE_EXTD), "EXTD without EN is #GP");
    u32 version = apic_read(APIC_VERSION);
    u64 moved = 0xfeed0000 | (base & 0xfff);
    write_base(&moved);
    check_eq(*(volatile u32 *)0xfeed0030, version, "the APIC moves");
    write_base(&base);
    u64 off = base & ~BASE_EN;
    write_base(&off);
    check(!(cpuid(1, 0).d & BIT(9)), "CPUID does not show a disabled APIC");
    check_eq(apic_read(APIC_VERSION), 0xffffffff, "a disabled APIC is not in memory");
    write_cr8(5);
    check_eq(read_cr8(), 5, "CR8 still works");
    write_cr8(0);
    check(base_faults(base | BASE_EXTD), "disabled to x2APIC is #GP");
    write_base(&base);
    check(cpuid(1, 0).d & BIT(9), "CPUID shows an APIC that is enabled again");
}

#define MSR_MCG_CAP 0x179u
#define MSR_MC0_CTL2 0x280u
#define MCG_CAP_CMCI BIT64(10)
#define APIC_LVT_CMCI 0x2f0
#define LVT_CMCI_INDEX 6

/* The entry for corrected machine-check errors, MCG_CAP and the banks' thresholds say the same. */
static void machine_checks(void)
{
    bool shown = rdmsr(MSR_MCG_CAP) & MCG_CAP_CMCI;
    check_eq((apic_read(APIC_VERSION) >> 16 & 0xff) >= LVT_CMCI_INDEX, shown, "LVT entries and MCG_CAP agree on CMCI");
    check_eq(!x2apic_read_faults(MSR_MC0_CTL2), shown, "CTL2 of machine-check banks and MCG_CAP agree on CMCI");
    apic_enable();
    apic_write(APIC_LVT_CMCI, 0x10077);
    check_eq(apic_read(APIC_LVT_CMCI), shown ? 0x10077 : 0, "the LVT entry of CMCI is there if MCG_CAP shows it");
}

/* -- priorities -- */

static volatile unsigned order[8];
static volatile unsigned count;
static volatile u32 isr_seen, ppr_seen;

static void on_interrupt(struct frame *f)
{
    order[count++ & 7] = (unsigned)f->vector;
    if (f->vector == 0x40) {
        ppr_seen = apic_read(APIC_PPR);
        isr_seen = apic_read(APIC_ISR + 0x20);
        apic_write(APIC_ICR, ICR_FIXED | ICR_SELF | 0x45); /* same class: waits */
        apic_write(APIC_ICR, ICR_FIXED | ICR_SELF | 0x50); /* higher: nests */
        sti();
        __asm__ volatile("nop; nop; cli");
        order[count++ & 7] = 1;
    }
    apic_write(APIC_EOI, 0);
}

static void window(void)
{
    sti();
    __asm__ volatile("nop; nop; nop; cli" : : : "memory");
}

static void priorities(void)
{
    apic_enable();
    for (unsigned vector = 0x40; vector < 0x60; vector++)
        on_vector((u8)vector, on_interrupt);
    apic_write(APIC_TPR, 0x40);
    check_eq(apic_read(APIC_PPR), 0x40, "PPR follows TPR");
    check_eq(read_cr8(), 4, "CR8 follows TPR");
    apic_write(APIC_ICR, ICR_FIXED | ICR_SELF | 0x45);
    window();
    check_eq(count, 0, "TPR holds an interrupt of its class back");
    check(apic_read(APIC_IRR + 0x20) & BIT(5), "an interrupt that TPR holds back waits in IRR");
    apic_write(APIC_TPR, 0);
    window();
    check_eq(count, 1, "it comes when TPR falls");
    count = 0;
    apic_write(APIC_ICR, ICR_FIXED | ICR_SELF | 0x40);
    window();
    check_eq(ppr_seen, 0x40, "PPR is the class in service");
    check_eq(isr_seen, 1, "ISR");
    check(count == 4 && order[0] == 0x40 && order[1] == 0x50 && order[2] == 1 && order[3] == 0x45,
          "a higher class nests, the same one waits for EOI");
    count = 0;
    apic_write(APIC_ESR, 0);
    apic_write(APIC_ICR, ICR_FIXED | ICR_SELF | 0x05);
    apic_write(APIC_ESR, 0);
    check_eq(apic_read(APIC_ESR), BIT(5), "a vector below 16 is an error");
    apic_write(APIC_ESR, 0);
    apic_write(APIC_LDR, 0x04000000);
    apic_write(APIC_ICR2, 0x06000000);
    apic_write(APIC_ICR, ICR_FIXED | BIT(11) | 0x48);
    window();
    check_eq(count, 1, "a logical destination, flat");
    apic_write(APIC_ICR2, 0x0a000000);
    apic_write(APIC_ICR, ICR_FIXED | BIT(11) | 0x48);
    window();
    check_eq(count, 1, "the logical ID of another CPU is not ours");
    apic_write(APIC_DFR, 0x0fffffff);
    apic_write(APIC_LDR, 0x12000000);
    apic_write(APIC_ICR2, 0x13000000);
    apic_write(APIC_ICR, ICR_FIXED | BIT(11) | 0x48);
    window();
    check_eq(count, 2, "a logical destination, cluster");
    apic_write(APIC_DFR, 0xffffffff);
    apic_write(APIC_ICR2, 0xff000000);
    apic_write(APIC_ICR, ICR_FIXED | 0x48);
    window();
    check_eq(count, 3, "a broadcast");
}

/* -- interrupts that an instruction causes come before the next one -- */

static void at_once(void)
{
    count = 0;
    __asm__ volatile("sti; nop; mov %0, (%1); cli" : : "r"(ICR_FIXED | ICR_SELF | 0x48), "r"(0xfee00300ull) : "memory");
    check_eq(count, 1, "an IPI to oneself is taken behind the store that sends it");
    apic_write(APIC_TPR, 0x40);
    apic_write(APIC_ICR, ICR_FIXED | ICR_SELF | 0x48);
    __asm__ volatile("sti; nop; mov %0, (%1); cli" : : "r"(0), "r"(0xfee00080ull) : "memory");
    check_eq(count, 2, "an interrupt that TPR held back is taken behind the store that lowers TPR");
    apic_write(APIC_TPR, 0x40);
    apic_write(APIC_ICR, ICR_FIXED | ICR_SELF | 0x48);
    __asm__ volatile("sti; nop; mov %0, %%cr8; cli" : : "r"(0ull) : "memory");
    check_eq(count, 3, "an interrupt that TPR held back is taken behind the MOV to CR8 that lowers TPR");
    apic_write(APIC_ICR, ICR_FIXED | ICR_SELF | 0x48);
    __asm__ volatile("sti; cli" : : : "memory");
    check_eq(count, 3, "STI and CLI let none in");
    __asm__ volatile("pushfq; btsl $9, (%%rsp); popfq; cli" : : : "memory", "cc");
    check_eq(count, 4, "POPF that sets IF lets an interrupt in at once");
}

/* -- NMIs -- */

static volatile unsigned nmis, nested;

static void on_nmi(struct frame *f)
{
    if (nmis++ == 0) {
        for (unsigned i = 0; i < 3; i++)
            apic_write(APIC_ICR, ICR_NMI);
        for (unsigned i = 0; i < 100; i++)
            cpu_pause();
        nested = nmis;
    }
}

static void non_maskable(void)
{
    on_vector(EXC_NMI, on_nmi);
    apic_write(APIC_ICR2, 0);
    apic_write(APIC_ICR, ICR_NMI);
    for (unsigned i = 0; i < 1000; i++)
        cpu_pause();
    check_eq(nested, 1, "an NMI is not interrupted by others");
    check_eq(nmis, 2, "NMIs that come during an NMI become one after IRET");
    apic_write(APIC_ICR, ICR_NMI | ICR_SELF);
    for (unsigned i = 0; i < 1000; i++)
        cpu_pause();
    check_eq(nmis, 2, "there is no NMI to oneself by the shorthand");
    on_vector(EXC_NMI, NULL);
}

static void x2apic_eoi(struct frame *f)
{
    count++;
    wrmsr(0x80b, 0);
}

static void x2apic(void)
{
    if (!(cpuid(1, 0).c & BIT(21))) {
        skip("x2APIC", "no x2APIC");
        return;
    }
    check(x2apic_read_faults(0x802), "x2APIC registers are #GP in xAPIC mode");
    u32 version = apic_read(APIC_VERSION);
    u64 on = base | BASE_EXTD;
    write_base(&on);
    check_eq(rdmsr(0x803), version, "the x2APIC version register");
    check_eq(rdmsr(0x802), 0, "the x2APIC ID is that of CPUID");
    check_eq(apic_read(APIC_VERSION), 0xffffffff, "in x2APIC mode there are no memory-mapped registers");
    check(base_faults(base), "x2APIC to xAPIC is #GP");
    check(x2apic_write_faults(0x80b, 1), "EOI takes 0 only");
    check(x2apic_write_faults(0x808, 0x100), "TPR has eight bits");
    check(x2apic_write_faults(0x803, 0), "the version register is read-only");
    check(x2apic_read_faults(0x80e), "there is no DFR");
    check(x2apic_read_faults(0x80b), "EOI is write-only");
    check(x2apic_write_faults(0x83f, 0x100), "self IPI has eight bits");
    check_eq(rdmsr(0x80d), 1, "the logical ID comes from the ID");
    count = 0;
    on_vector(0x48, x2apic_eoi);
    wrmsr(0x83f, 0x48);
    window();
    check_eq(count, 1, "self IPI");
    wrmsr(0x830, 0xffffffffull << 32 | ICR_FIXED | 0x48);
    window();
    check_eq(count, 2, "a broadcast");
    wrmsr(0x830, 1ull << 32 | ICR_FIXED | BIT(11) | 0x48);
    window();
    check_eq(count, 3, "a logical destination");
    wrmsr(0x808, 0x30);
    check_eq(read_cr8(), 3, "TPR is CR8");
    wrmsr(0x808, 0);
    u64 off = base & ~BASE_EN;
    write_base(&off);
    check(x2apic_read_faults(0x802), "a disabled x2APIC has no registers");
    write_base(&base);
    check_eq(apic_read(APIC_VERSION), version, "xAPIC by way of disabled");
}

/* -- VMCALL and VMMCALL, which `--debug-exit` makes hypercalls -- */

static s64 call(u64 number, u64 low, u64 high, u64 first, u64 icr)
{
    if (is_intel())
        __asm__ volatile("vmcall" : "+a"(number) : "b"(low), "c"(high), "d"(first), "S"(icr) : "memory");
    else
        __asm__ volatile("vmmcall" : "+a"(number) : "b"(low), "c"(high), "d"(first), "S"(icr) : "memory");
    return (s64)number;
}

USER_TEXT static void other_vendors(void *p)
{
    if (p)
        __asm__ volatile("vmmcall" : : "a"(99) : "memory");
    else
        __asm__ volatile("vmcall" : : "a"(99) : "memory");
}

static void hypercalls(void)
{
    apic_enable();
    check_eq((u64)call(99, 0, 0, 0, 0), (u64)-1000ll, "an unknown hypercall");
    on_vector(0x48, on_interrupt);
    count = 0;
    check_eq((u64)call(10, 1, 0, 0, 0x48), 1, "a hypercall that sends an IPI to oneself");
    window();
    check_eq(count, 1, "the IPI that a hypercall sends comes");
    check_eq((u64)call(10, ~0ull, ~0ull, 0, 0x48), 1, "destinations that are not there do not count");
    window();
    check_eq((u64)call(10, ~0ull, 0, 0xffffffff, 0x48), 0, "an ID that no CPU has");
    check_eq((u64)call(10, 1, 0, 0, 0x40048), (u64)-22ll, "a hypercall takes no shorthands");
    check_eq(catch_fault(other_vendors, is_intel() ? idt : NULL).vector, EXC_UD, "the other vendor's: #UD");
}

int main(void)
{
    bases();
    machine_checks();
    priorities();
    at_once();
    non_maskable();
    x2apic();
    hypercalls();
    return 0;
}
