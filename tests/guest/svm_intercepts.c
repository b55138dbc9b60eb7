/*
 * Intercepts of AMD-V: instructions, the I/O and MSR permission maps, control and debug registers.
 * Ends with the time of one CPUID exit.
 */
#include "svm.h"

L2(l2_cpuid, "xor %eax, %eax", "cpuid", "");
L2(l2_rdmsr, "mov $0xc0000082, %ecx", "rdmsr", "");
L2(l2_wrmsr, "mov $0xc0000082, %ecx; xor %eax, %eax; xor %edx, %edx", "wrmsr", "");
L2(l2_rdmsr_odd, "mov $0x3000, %ecx", "rdmsr", "");
L2(l2_out, "mov $0x5a, %eax", "out %al, $0x80", "");
L2(l2_in_word, "mov $0xe0, %edx", "in %dx, %ax", "");
L2(l2_out_last, "mov $0xffff, %edx", "outl %eax, %dx", "");
L2(l2_ins, "mov $0xe0, %edx; lea l2_buffer(%rip), %rdi; mov $2, %ecx", "rep insb", "");
L2(l2_read_cr3, "", "mov %cr3, %r9", "");
L2(l2_write_cr0_ts, "mov %cr0, %r10; or $8, %r10", "mov %r10, %cr0", "");
L2(l2_write_cr0_cd, "mov %cr0, %r10; bts $30, %r10", "mov %r10, %cr0", "");
L2(l2_clts, "", "clts", "");
L2(l2_lmsw, "mov $9, %eax", "lmsw %ax", "");
L2(l2_dr, "", "mov %db1, %rsi", "");
L2(l2_write_dr, "", "mov %rsi, %db7", "");
L2(l2_hlt, "", "hlt", "");
L2(l2_rdtsc, "", "rdtsc", "");
L2(l2_invlpg, "", "invlpg 0x12345000", "");
L2(l2_int, "", "int $0x20", "");
L2(l2_vmrun, "", "vmrun", "");
L2(l2_vmload, "", "vmload", "");
L2(l2_stgi, "", "stgi", "");
L2(l2_clgi, "", "clgi", "");
L2(l2_iret, "mov %rsp, %rax; push $0x10; push %rax; pushfq; push $8; lea 1f(%rip), %rax; push %rax", "iretq", "1:");
L2(l2_pushf, "", "pushfq", "");
L2(l2_lidt, "", "lidt idt_pointer(%rip)", "");
L2(l2_sgdt, "", "sgdt l2_buffer(%rip)", "");
L2(l2_pause, "", "pause", "jmp l2_pause");
L2(l2_wbinvd, "", "wbinvd", "");
__asm__(".data\nl2_buffer: .quad 0, 0\n.text\n");

static void plain(void)
{
    static const struct {
        void (*fn)(void);
        const u8 *at;
        u16 code;
        const char *name;
    } table[] = {
        {l2_hlt, l2_hlt_at, SVM_EXIT_HLT, "HLT intercept"},
        {l2_rdtsc, l2_rdtsc_at, SVM_EXIT_RDTSC, "RDTSC intercept"},
        {l2_iret, l2_iret_at, SVM_EXIT_IRET, "IRET intercept"},
        {l2_pushf, l2_pushf_at, SVM_EXIT_PUSHF, "PUSHF intercept"},
        {l2_lidt, l2_lidt_at, SVM_EXIT_IDTR_WRITE, "LIDT intercept"},
        {l2_sgdt, l2_sgdt_at, SVM_EXIT_GDTR_READ, "SGDT intercept"},
        {l2_wbinvd, l2_wbinvd_at, SVM_EXIT_WBINVD, "WBINVD intercept"},
        {l2_pause, l2_pause_at, SVM_EXIT_PAUSE, "PAUSE intercept"},
        {l2_vmrun, l2_vmrun_at, SVM_EXIT_VMRUN, "VMRUN intercept"},
        {l2_vmload, l2_vmload_at, SVM_EXIT_VMLOAD, "VMLOAD intercept"},
        {l2_stgi, l2_stgi_at, SVM_EXIT_STGI, "STGI intercept"},
        {l2_clgi, l2_clgi_at, SVM_EXIT_CLGI, "CLGI intercept"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(table); i++) {
        start_with(table[i].fn, table[i].code);
        exits(table[i].code, table[i].at, 0, table[i].name);
    }
    start_with(l2_invlpg, SVM_EXIT_INVLPG);
    exits(SVM_EXIT_INVLPG, l2_invlpg_at, features & HAS_DECODE_ASSISTS ? 0x12345000 : C.exit_info1, "INVLPG intercept");
    start_with(l2_int, SVM_EXIT_SWINT);
    exits(SVM_EXIT_SWINT, l2_int_at, features & HAS_DECODE_ASSISTS ? 0x20 : C.exit_info1, "INTn intercept");
}

/* The MSR map has two bits for each MSR, one for reads and one for writes. The part for MSRs from C0000000h on begins
 * at offset 800h. */
static void maps(void)
{
    u8 *lstar = &msrpm[0x800 + (MSR_LSTAR & 0x1fff) / 4];
    prepare(l2_rdmsr);
    intercept(SVM_EXIT_MSR, true);
    fill(msrpm, 0, sizeof msrpm);
    *lstar = 1 << MSR_LSTAR % 4 * 2;
    resume();
    exits(SVM_EXIT_MSR, l2_rdmsr_at, 0, "RDMSR intercept");
    nrip(l2_rdmsr_after, "nRIP of RDMSR");
    start_with(l2_wrmsr, SVM_EXIT_MSR);
    exits(SVM_EXIT_VMMCALL, l2_wrmsr_after, 0, "WRMSR has a bit of its own");
    *lstar <<= 1;
    start_with(l2_wrmsr, SVM_EXIT_MSR);
    exits(SVM_EXIT_MSR, l2_wrmsr_at, 1, "WRMSR intercept");
    start_with(l2_rdmsr_odd, SVM_EXIT_MSR);
    exits(SVM_EXIT_MSR, l2_rdmsr_odd_at, 0, "an MSR outside the map");

    prepare(l2_out);
    intercept(SVM_EXIT_IOIO, true);
    fill(iopm, 0, sizeof iopm);
    resume();
    exits(SVM_EXIT_VMMCALL, l2_out_after, 0, "OUT of a port that is not intercepted");
    iopm[0x80 / 8] = 1;
    start_with(l2_out, SVM_EXIT_IOIO);
    /* The address size is defined for string instructions only; some processors always give it. */
    C.exit_info1 &= ~(u64)IO_INFO_ASIZE_MASK;
    exits(SVM_EXIT_IOIO, l2_out_at, IO_INFO_PORT(0x80) | IO_INFO_SIZE(1), "OUT");
    check_eq(C.exit_info2, (u64)l2_out_after, "EXITINFO2 is the next RIP");
    fill(iopm, 0, sizeof iopm);
    iopm[0xe1 / 8] = 2;
    start_with(l2_in_word, SVM_EXIT_IOIO);
    C.exit_info1 &= ~(u64)IO_INFO_ASIZE_MASK;
    exits(SVM_EXIT_IOIO, l2_in_word_at, IO_INFO_PORT(0xe0) | IO_INFO_SIZE(2) | IO_INFO_IN,
          "IN of a word whose second port is intercepted");
    fill(iopm, 0, sizeof iopm);
    iopm[0x10000 / 8] = 1;
    start_with(l2_out_last, SVM_EXIT_IOIO);
    C.exit_info1 &= ~(u64)IO_INFO_ASIZE_MASK;
    exits(SVM_EXIT_IOIO, l2_out_last_at, IO_INFO_PORT(0xffff) | IO_INFO_SIZE(4), "OUT beyond the last port");
    fill(iopm, 0xff, sizeof iopm);
    start_with(l2_ins, SVM_EXIT_IOIO);
    C.exit_info1 &= ~(u64)IO_INFO_SEG_MASK;
    exits(SVM_EXIT_IOIO, l2_ins_at,
          IO_INFO_PORT(0xe0) | IO_INFO_ASIZE(8) | IO_INFO_SIZE(1) | IO_INFO_REP | IO_INFO_STRING | IO_INFO_IN,
          "REP INSB");
}

static void registers(void)
{
    u64 mov = features & HAS_DECODE_ASSISTS ? SVM_CR_INFO_MOV : 0;
    u64 gpr = features & HAS_DECODE_ASSISTS ? ~0ull : 0;
    start_with(l2_read_cr3, SVM_EXIT_READ_CR0 + 3);
    exits(SVM_EXIT_READ_CR0 + 3, l2_read_cr3_at, mov | (R9 & gpr), "MOV from CR3");
    prepare(l2_write_cr0_ts);
    intercept(SVM_EXIT_WRITE_CR0, true);
    intercept(SVM_EXIT_CR0_SEL_WRITE, true);
    resume();
    exits(SVM_EXIT_WRITE_CR0, l2_write_cr0_ts_at, mov | (R10 & gpr), "MOV to CR0");
    start_with(l2_write_cr0_ts, SVM_EXIT_CR0_SEL_WRITE);
    exits(SVM_EXIT_VMMCALL, l2_write_cr0_ts_after, 0, "selective CR0 write lets TS pass");
    check(G.cr0 & CR0_TS, "a CR0 write that sets TS only is done");
    start_with(l2_write_cr0_cd, SVM_EXIT_CR0_SEL_WRITE);
    check(C.exit_code == SVM_EXIT_CR0_SEL_WRITE && !(G.cr0 & CR0_CD), "selective CR0 write of CD");
    start_with(l2_lmsw, SVM_EXIT_CR0_SEL_WRITE);
    check_eq(C.exit_code, SVM_EXIT_CR0_SEL_WRITE, "LMSW and the selective intercept");
    start_with(l2_clts, SVM_EXIT_WRITE_CR0);
    exits(SVM_EXIT_WRITE_CR0, l2_clts_at, 0, "CLTS is a write to CR0 and no MOV");
    start_with(l2_dr, SVM_EXIT_READ_DR0 + 1);
    exits(SVM_EXIT_READ_DR0 + 1, l2_dr_at, RSI & gpr, "MOV from DR1");
    start_with(l2_write_dr, SVM_EXIT_WRITE_DR0 + 7);
    exits(SVM_EXIT_WRITE_DR0 + 7, l2_write_dr_at, RSI & gpr, "MOV to DR7");
    prepare(l2_write_dr);
    regs.rsi = 1ull << 32;
    intercept(SVM_EXIT_WRITE_DR0 + 7, true);
    intercept(SVM_EXIT_EXCP + EXC_GP, true);
    resume();
    exits(SVM_EXIT_EXCP + EXC_GP, l2_write_dr_at, 0,
          "MOV to DR7 of a value that it cannot hold is #GP before the intercept");
    prepare(l2_dr);
    G.dr7 = DR7_FIXED | DR7_GD;
    intercept(SVM_EXIT_READ_DR0 + 1, true);
    intercept(SVM_EXIT_EXCP + EXC_DB, true);
    resume();
    exits(SVM_EXIT_EXCP + EXC_DB, l2_dr_at, 0, "general detect comes before the intercept");
    check_eq(G.dr6 & DR6_BD, DR6_BD, "general detect is in DR6");
}

static void bench(void)
{
    u64 per_ms = tsc_per_ms();
    prepare(l2_cpuid);
    intercept(SVM_EXIT_CPUID, true);
    C.tlb_control = TLB_CONTROL_NOTHING;
    const u64 rounds = 20000;
    u64 begin = rdtsc();
    clgi();
    for (u64 i = 0; i < rounds; i++) {
        G.rip = (u64)l2_cpuid;
        run_guest(&vmcb, &regs);
    }
    stgi();
    u64 ns = (rdtsc() - begin) * 1000000 / per_ms / rounds;
    print("# VMRUN and exit on CPUID, ns: ");
    print_hex(ns);
    print("\n");
}

int main(void)
{
    if (!svm_begin())
        return 0;
    plain();
    maps();
    registers();
    bench();
    return 0;
}
