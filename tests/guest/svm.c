/*
 * A minimal AMD-V hypervisor: L2 is a function of this image at CPL 0, with L1's page tables, GDT and IDT, under nested
 * paging. Exits of each kind with their codes and information, event injection, virtual interrupts, GIF, nested page
 * faults, consistency checks. Ends with the time of one CPUID exit.
 */
#include "runtime.h"
#include "x86/svm_exit.h"
#include "x86/vmcb.h"

#define MSR_EFER 0xc0000080
#define MSR_VM_CR 0xc0010114
#define MSR_VM_HSAVE_PA 0xc0010117
#define MSR_TSC_RATIO 0xc0000104
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_FS_BASE 0xc0000100
#define MSR_STAR 0xc0000081
#define MSR_PAT 0x277
#define MSR_SYSENTER_CS 0x174

#define HAS_NRIPS BIT(3)
#define HAS_TSC_RATE BIT(4)
#define HAS_FLUSH_BY_ASID BIT(6)
#define HAS_DECODE_ASSISTS BIT(7)
#define HAS_PAUSE_FILTER BIT(10)
#define HAS_VGIF BIT(16)
#define HAS_VNMI BIT(25)

#define PAGED __attribute__((aligned(4096)))
static struct vmcb vmcb PAGED, host_vmcb PAGED, saved_vmcb PAGED;
static u8 hsave[4096] PAGED, iopm[IOPM_SIZE] PAGED, msrpm[MSRPM_SIZE] PAGED, l2_stack[16384] PAGED;
static u64 *npt;
static u32 features;
static u64 asids;

struct registers {
    u64 rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
};
static struct registers regs;

/* run_guest(vmcb, regs): RAX and RSP are in the VMCB. GIF is 0 on return from VMRUN; interrupts are off. */
void run_guest(struct vmcb *m, struct registers *r);
extern const u8 vmrun_after[];
__asm__(".text\n"
        "run_guest:\n"
        "  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "  push %rsi\n"
        "  mov %rdi, %rax\n"
        "  mov 0(%rsi), %rbx; mov 8(%rsi), %rcx; mov 16(%rsi), %rdx; mov 32(%rsi), %rdi; mov 40(%rsi), %rbp\n"
        "  mov 48(%rsi), %r8; mov 56(%rsi), %r9; mov 64(%rsi), %r10; mov 72(%rsi), %r11\n"
        "  mov 80(%rsi), %r12; mov 88(%rsi), %r13; mov 96(%rsi), %r14; mov 104(%rsi), %r15\n"
        "  mov 24(%rsi), %rsi\n"
        "  vmrun\n"
        "vmrun_after:\n"
        "  push %rsi\n"
        "  mov 8(%rsp), %rsi\n"
        "  mov %rbx, 0(%rsi); mov %rcx, 8(%rsi); mov %rdx, 16(%rsi); mov %rdi, 32(%rsi); mov %rbp, 40(%rsi)\n"
        "  mov %r8, 48(%rsi); mov %r9, 56(%rsi); mov %r10, 64(%rsi); mov %r11, 72(%rsi)\n"
        "  mov %r12, 80(%rsi); mov %r13, 88(%rsi); mov %r14, 96(%rsi); mov %r15, 104(%rsi)\n"
        "  pop %rax; mov %rax, 24(%rsi)\n"
        "  pop %rsi; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "  ret\n");

/* clang-format off */
static void vmload(struct vmcb *m) { __asm__ volatile("vmload" : : "a"(m) : "memory"); }
static void vmsave(struct vmcb *m) { __asm__ volatile("vmsave" : : "a"(m) : "memory"); }
static void stgi(void) { __asm__ volatile("stgi" : : : "memory"); }
static void clgi(void) { __asm__ volatile("clgi" : : : "memory"); }
static void vmmcall(void) { __asm__ volatile("vmmcall" : : : "memory"); }
/* clang-format on */

#define C (vmcb.control)
#define G (vmcb.save)

static void intercept(unsigned code, bool on)
{
    u32 *word = &C.intercept[code / 32];
    *word = on ? *word | BIT(code % 32) : *word & ~BIT(code % 32);
}

static u64 resume(void)
{
    clgi();
    vmload(&vmcb);
    run_guest(&vmcb, &regs);
    vmsave(&vmcb);
    vmload(&host_vmcb);
    stgi();
    return C.exit_code;
}

static void segment(struct vmcb_segment *s, u16 sel)
{
    u64 d = gdt[sel / 8];
    *s = (struct vmcb_segment){.sel = sel, .attr = (u16)((d >> 40 & 0xff) | (d >> 52 & 0xf) << 8), .limit = ~0u};
}

/* A VMCB whose guest is like this CPU and starts at fn. */
static void prepare(void (*fn)(void))
{
    fill(&vmcb, 0, sizeof vmcb);
    vmsave(&vmcb);
    intercept(SVM_EXIT_VMRUN, true);
    intercept(SVM_EXIT_VMMCALL, true);
    intercept(SVM_EXIT_SHUTDOWN, true);
    C.asid = 1;
    C.tlb_control = TLB_CONTROL_FLUSH_ALL;
    C.iopm = (u64)iopm;
    C.msrpm = (u64)msrpm;
    C.nested = NESTED_NP_ENABLE;
    C.ncr3 = (u64)npt;
    segment(&G.es, SEL_DATA);
    segment(&G.cs, SEL_CODE64);
    segment(&G.ss, SEL_DATA);
    segment(&G.ds, SEL_DATA);
    G.gdtr.base = (u64)gdt;
    G.gdtr.limit = (u32)((u64)gdt_end - (u64)gdt - 1);
    G.idtr.base = (u64)idt;
    G.idtr.limit = 4095;
    G.efer = rdmsr(MSR_EFER);
    G.cr0 = read_cr0();
    G.cr3 = read_cr3();
    G.cr4 = read_cr4();
    G.dr6 = DR6_FIXED;
    G.dr7 = DR7_FIXED;
    G.rflags = FLAG_ONE;
    G.rip = (u64)fn;
    G.rsp = (u64)(l2_stack + sizeof l2_stack - 8);
    G.g_pat = rdmsr(MSR_PAT);
    fill(&regs, 0, sizeof regs);
}

static u64 start(void (*fn)(void))
{
    prepare(fn);
    return resume();
}

static u64 guest_rip(void)
{
    return G.rip;
}

/* L2 code with a label at the instruction that exits. */
#define L2(name, before, insn, after)                                                                                  \
    void name(void);                                                                                                   \
    extern const u8 name##_at[], name##_after[];                                                                       \
    __asm__(".text\n" #name ": " before "\n" #name "_at: " insn "\n" #name "_after: " after "\nvmmcall\nud2\n")

L2(l2_nothing, "", "vmmcall", "");
L2(l2_registers, "mov $0x11, %ecx; mov $0x22, %ebx; inc %r15; mov $0x55, %eax", "vmmcall", "");
L2(l2_branch, "jmp l2_branch_at; nop", "vmmcall", "");
L2(l2_cpuid, "xor %eax, %eax", "cpuid", "");
L2(l2_rdmsr, "mov $0xc0000082, %ecx", "rdmsr", "");
L2(l2_wrmsr, "mov $0xc0000082, %ecx; xor %eax, %eax; xor %edx, %edx", "wrmsr", "");
L2(l2_rdmsr_odd, "mov $0x3000, %ecx", "rdmsr", "");
L2(l2_out, "mov $0x5a, %eax", "out %al, $0x80", "");
L2(l2_in_word, "mov $0xe0, %edx", "in %dx, %ax", "");
L2(l2_out_last, "mov $0xffff, %edx", "outl %eax, %dx", "");
L2(l2_ins, "mov $0xe0, %edx; lea l2_buffer(%rip), %rdi; mov $2, %ecx", "rep insb", "");
__asm__(".data\nl2_buffer: .quad 0, 0\n.text\n");
L2(l2_read_cr3, "", "mov %cr3, %r9", "");
L2(l2_write_cr0_ts, "mov %cr0, %r10; or $8, %r10", "mov %r10, %cr0", "");
L2(l2_write_cr0_cd, "mov %cr0, %r10; bts $30, %r10", "mov %r10, %cr0", "");
L2(l2_clts, "", "clts", "");
L2(l2_lmsw, "mov $9, %eax", "lmsw %ax", "");
L2(l2_dr, "", "mov %db1, %rsi", "");
L2(l2_write_dr, "", "mov %rsi, %db7", "");
L2(l2_hlt, "", "hlt", "");
L2(l2_sti_hlt, "sti", "hlt", "");
L2(l2_rdtsc, "", "rdtsc", "");
L2(l2_invlpg, "", "invlpg 0x12345000", "");
L2(l2_ud, "", "ud2", "");
L2(l2_bp, "", "int3", "");
L2(l2_int, "", "int $0x20", "");
L2(l2_gp, "mov $0x1000, %eax", "mov %eax, %ds", "");
L2(l2_de, "xor %ecx, %ecx", "div %ecx", "");
L2(l2_pf, "movabs $0x8000000000, %rax", "mov 8(%rax), %rax", "");
L2(l2_vmrun, "", "vmrun", "");
L2(l2_vmload, "", "vmload", "");
L2(l2_stgi, "", "stgi", "");
L2(l2_clgi, "", "clgi", "");
L2(l2_sti, "", "sti", "nop; nop; cli");
L2(l2_pop, "", "popq (%rdi)", "");
L2(l2_iret, "mov %rsp, %rax; push $0x10; push %rax; pushfq; push $8; lea 1f(%rip), %rax; push %rax", "iretq", "1:");
L2(l2_pushf, "", "pushfq", "");
L2(l2_lidt, "", "lidt idt_pointer(%rip)", "");
L2(l2_sgdt, "", "sgdt l2_buffer(%rip)", "");
L2(l2_pause, "", "pause", "jmp l2_pause");
L2(l2_wbinvd, "", "wbinvd", "");
L2(l2_shutdown, "lidt l2_no_idt(%rip)", "ud2", "");
__asm__(".data\nl2_no_idt: .word 0; .quad 0\n.text\n");
L2(l2_spin, "", "jmp l2_spin", "");
L2(l2_spin_if, "sti", "1: jmp 1b", "");
L2(l2_read, "", "mov (%rdi), %rax", "");
L2(l2_write, "", "movq $1, (%rdi)", "");
L2(l2_call, "", "call *%rdi", "");
L2(l2_shadow, "", "nop", "nop");
L2(l2_step, "", "nop", "nop");

static void exits(u64 code, const u8 *at, u64 info1, const char *name)
{
    bool good = C.exit_code == code && guest_rip() == (u64)at && C.exit_info1 == info1;
    check(good, name);
    if (!good) {
        print("# code ");
        print_hex(C.exit_code);
        print(" info1 ");
        print_hex(C.exit_info1);
        print(" info2 ");
        print_hex(C.exit_info2);
        print(" rip ");
        print_hex(G.rip);
        print(" not ");
        print_hex((u64)at);
        print("\n");
    }
}

static void nrip(const u8 *after, const char *name)
{
    if (features & HAS_NRIPS)
        check_eq(C.nrip, (u64)after, name);
    else
        skip(name, "no NRIPS");
}

static void basics(void)
{
    start(l2_nothing);
    exits(SVM_EXIT_VMMCALL, l2_nothing_at, 0, "VMRUN and VMMCALL");
    nrip(l2_nothing_after, "nRIP of VMMCALL");
    check(!(C.exit_int_info & SVM_EVENT_V), "no event was being delivered");
    prepare(l2_registers);
    regs.r15 = 7;
    G.rax = 9;
    resume();
    check(regs.rcx == 0x11 && regs.rbx == 0x22 && regs.r15 == 8 && G.rax == 0x55, "general registers");
    check(read_cr3() == (u64)pml4 && !(read_rflags() & FLAG_IF), "L1's state is back");
    check_eq(read_dr7(), DR7_FIXED, "#VMEXIT disables breakpoints");
    check_eq(G.cpl, 0, "CPL is saved");
    check_eq(G.cs.attr, 0xa9b, "CS attributes are saved");

    prepare(l2_cpuid);
    intercept(SVM_EXIT_CPUID, true);
    resume();
    exits(SVM_EXIT_CPUID, l2_cpuid_at, 0, "CPUID intercept");
    nrip(l2_cpuid_after, "nRIP of CPUID");
    G.rip += 2;
    resume();
    exits(SVM_EXIT_VMMCALL, l2_cpuid_after, 0, "and on behind it");
    start(l2_cpuid);
    exits(SVM_EXIT_VMMCALL, l2_cpuid_after, 0, "CPUID without intercept");

    static const struct {
        void (*fn)(void);
        const u8 *at;
        u16 code;
        const char *name;
    } plain[] = {
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
    for (unsigned i = 0; i < ARRAY_LEN(plain); i++) {
        prepare(plain[i].fn);
        intercept(plain[i].code, true);
        resume();
        exits(plain[i].code, plain[i].at, 0, plain[i].name);
    }
    prepare(l2_invlpg);
    intercept(SVM_EXIT_INVLPG, true);
    resume();
    exits(SVM_EXIT_INVLPG, l2_invlpg_at, features & HAS_DECODE_ASSISTS ? 0x12345000 : C.exit_info1, "INVLPG intercept");
    prepare(l2_int);
    intercept(SVM_EXIT_SWINT, true);
    resume();
    exits(SVM_EXIT_SWINT, l2_int_at, features & HAS_DECODE_ASSISTS ? 0x20 : C.exit_info1, "INTn intercept");
    start(l2_shutdown);
    check_eq(C.exit_code, SVM_EXIT_SHUTDOWN, "shutdown intercept");
}

static void maps(void)
{
    prepare(l2_rdmsr);
    intercept(SVM_EXIT_MSR, true);
    fill(msrpm, 0, sizeof msrpm);
    msrpm[0x800 + 0x82 / 4] = 1 << (0x82 % 4 * 2);
    resume();
    exits(SVM_EXIT_MSR, l2_rdmsr_at, 0, "RDMSR intercept");
    nrip(l2_rdmsr_after, "nRIP of RDMSR");
    prepare(l2_wrmsr);
    intercept(SVM_EXIT_MSR, true);
    resume();
    exits(SVM_EXIT_VMMCALL, l2_wrmsr_after, 0, "WRMSR has a bit of its own");
    msrpm[0x800 + 0x82 / 4] <<= 1;
    prepare(l2_wrmsr);
    intercept(SVM_EXIT_MSR, true);
    resume();
    exits(SVM_EXIT_MSR, l2_wrmsr_at, 1, "WRMSR intercept");
    prepare(l2_rdmsr_odd);
    intercept(SVM_EXIT_MSR, true);
    resume();
    exits(SVM_EXIT_MSR, l2_rdmsr_odd_at, 0, "an MSR outside the map");

    prepare(l2_out);
    intercept(SVM_EXIT_IOIO, true);
    fill(iopm, 0, sizeof iopm);
    resume();
    exits(SVM_EXIT_VMMCALL, l2_out_after, 0, "OUT of a port that is not intercepted");
    iopm[0x80 / 8] = 1;
    prepare(l2_out);
    intercept(SVM_EXIT_IOIO, true);
    resume();
    /* Address-size bits are given for string instructions; some processors give them always. */
    C.exit_info1 &= ~0x380ull;
    exits(SVM_EXIT_IOIO, l2_out_at, 0x800010, "OUT");
    check_eq(C.exit_info2, (u64)l2_out_after, "EXITINFO2 is the next RIP");
    fill(iopm, 0, sizeof iopm);
    iopm[0xe1 / 8] = 2;
    prepare(l2_in_word);
    intercept(SVM_EXIT_IOIO, true);
    resume();
    C.exit_info1 &= ~0x380ull;
    exits(SVM_EXIT_IOIO, l2_in_word_at, 0xe00021, "IN of a word whose second port is intercepted");
    fill(iopm, 0, sizeof iopm);
    iopm[0x10000 / 8] = 1;
    prepare(l2_out_last);
    intercept(SVM_EXIT_IOIO, true);
    resume();
    C.exit_info1 &= ~0x380ull;
    exits(SVM_EXIT_IOIO, l2_out_last_at, 0xffff0040, "OUT beyond the last port");
    fill(iopm, 0xff, sizeof iopm);
    prepare(l2_ins);
    intercept(SVM_EXIT_IOIO, true);
    resume();
    C.exit_info1 &= ~0x1c00ull;
    exits(SVM_EXIT_IOIO, l2_ins_at, 0xe0021d, "REP INSB");
}

static void registers(void)
{
    u64 mov = features & HAS_DECODE_ASSISTS ? SVM_CR_INFO_MOV : 0;
    u64 gpr = features & HAS_DECODE_ASSISTS ? ~0ull : 0;
    prepare(l2_read_cr3);
    intercept(SVM_EXIT_READ_CR0 + 3, true);
    resume();
    exits(SVM_EXIT_READ_CR0 + 3, l2_read_cr3_at, mov | (9 & gpr), "MOV from CR3");
    prepare(l2_write_cr0_ts);
    intercept(SVM_EXIT_WRITE_CR0, true);
    intercept(SVM_EXIT_CR0_SEL_WRITE, true);
    resume();
    exits(SVM_EXIT_WRITE_CR0, l2_write_cr0_ts_at, mov | (10 & gpr), "MOV to CR0");
    prepare(l2_write_cr0_ts);
    intercept(SVM_EXIT_CR0_SEL_WRITE, true);
    resume();
    exits(SVM_EXIT_VMMCALL, l2_write_cr0_ts_after, 0, "selective CR0 write lets TS pass");
    check(G.cr0 & CR0_TS, "and it is set");
    prepare(l2_write_cr0_cd);
    intercept(SVM_EXIT_CR0_SEL_WRITE, true);
    resume();
    check(C.exit_code == SVM_EXIT_CR0_SEL_WRITE && !(G.cr0 & CR0_CD), "selective CR0 write of CD");
    prepare(l2_lmsw);
    intercept(SVM_EXIT_CR0_SEL_WRITE, true);
    resume();
    check_eq(C.exit_code, SVM_EXIT_CR0_SEL_WRITE, "LMSW and the selective intercept");
    prepare(l2_clts);
    intercept(SVM_EXIT_WRITE_CR0, true);
    resume();
    exits(SVM_EXIT_WRITE_CR0, l2_clts_at, 0, "CLTS is a write to CR0 and no MOV");
    prepare(l2_dr);
    intercept(SVM_EXIT_READ_DR0 + 1, true);
    resume();
    exits(SVM_EXIT_READ_DR0 + 1, l2_dr_at, RSI & gpr, "MOV from DR1");
    prepare(l2_write_dr);
    intercept(SVM_EXIT_WRITE_DR0 + 7, true);
    resume();
    exits(SVM_EXIT_WRITE_DR0 + 7, l2_write_dr_at, RSI & gpr, "MOV to DR7");
    prepare(l2_write_dr);
    regs.rsi = 1ull << 32;
    intercept(SVM_EXIT_WRITE_DR0 + 7, true);
    intercept(SVM_EXIT_EXCP + EXC_GP, true);
    resume();
    exits(SVM_EXIT_EXCP + EXC_GP, l2_write_dr_at, 0, "but not of what it cannot hold");
    prepare(l2_dr);
    vmcb.save.dr7 = DR7_FIXED | DR7_GD;
    intercept(SVM_EXIT_READ_DR0 + 1, true);
    intercept(SVM_EXIT_EXCP + EXC_DB, true);
    resume();
    exits(SVM_EXIT_EXCP + EXC_DB, l2_dr_at, 0, "general detect comes before the intercept");
    check_eq(vmcb.save.dr6 & DR6_BD, DR6_BD, "and is in DR6");
}

/* Handlers that run in L2. */
static volatile u64 taken, taken_error, taken_rip, taken_vector;
static void on_event(struct frame *f)
{
    taken++;
    taken_vector = f->vector;
    taken_error = f->error;
    taken_rip = f->rip;
}

static void exceptions(void)
{
    on_vector(EXC_BP, on_event);
    on_vector(EXC_DB, on_event);
    prepare(l2_ud);
    intercept(SVM_EXIT_EXCP + EXC_UD, true);
    resume();
    exits(SVM_EXIT_EXCP + EXC_UD, l2_ud_at, 0, "#UD intercept");
    prepare(l2_de);
    intercept(SVM_EXIT_EXCP + EXC_DE, true);
    resume();
    exits(SVM_EXIT_EXCP + EXC_DE, l2_de_at, 0, "#DE intercept");
    prepare(l2_gp);
    intercept(SVM_EXIT_EXCP + EXC_GP, true);
    resume();
    exits(SVM_EXIT_EXCP + EXC_GP, l2_gp_at, 0x1000, "#GP intercept has the error code");
    prepare(l2_bp);
    intercept(SVM_EXIT_EXCP + EXC_BP, true);
    resume();
    exits(SVM_EXIT_EXCP + EXC_BP, l2_bp_at, 0, "#BP intercept has RIP at INT3");
    nrip(l2_bp_after, "nRIP of INT3");
    prepare(l2_pf);
    intercept(SVM_EXIT_EXCP + EXC_PF, true);
    G.cr2 = 0x77;
    resume();
    exits(SVM_EXIT_EXCP + EXC_PF, l2_pf_at, 0, "#PF intercept");
    check(C.exit_info2 == 0x8000000008 && G.cr2 == 0x77, "has the address in EXITINFO2 and leaves CR2");
    if (features & HAS_DECODE_ASSISTS)
        check(C.insn_len >= 4 && same(C.insn_bytes, l2_pf_at, 4), "and has the instruction's bytes");
    else
        skip("instruction bytes of #PF", "no decode assists");
    prepare(l2_step);
    intercept(SVM_EXIT_EXCP + EXC_DB, true);
    G.rflags |= FLAG_TF;
    resume();
    exits(SVM_EXIT_EXCP + EXC_DB, l2_step_after, 0, "TF in the VMCB traps after one instruction");
    check(G.dr6 & DR6_BS, "DR6 is saved as the handler would see it");
    on_vector(EXC_DB, NULL);
}

static void inject(u64 event, u64 next)
{
    prepare(l2_nothing);
    taken = 0;
    C.event_inject = event;
    C.nrip = next;
    resume();
}

static void injection(void)
{
    on_vector(EXC_GP, on_event);
    on_vector(EXC_NMI, on_event);
    on_vector(0x20, on_event);
    on_vector(0x21, on_event);
    inject(SVM_EVENT_V | SVM_EVENT_EV | SVM_EVENT_EXCEPTION << 8 | EXC_GP | 0x1234ull << 32, 0);
    check(C.exit_code == SVM_EXIT_VMMCALL && taken == 1 && taken_error == 0x1234, "inject #GP with an error code");
    check_eq(taken_rip, (u64)l2_nothing, "at RIP");
    check(!(C.event_inject & SVM_EVENT_V), "EVENTINJ.V is cleared");
    inject(SVM_EVENT_V | SVM_EVENT_INTR << 8 | 0x21, 0);
    check(taken == 1 && taken_vector == 0x21 && taken_rip == (u64)l2_nothing, "inject an interrupt while IF is 0");
    inject(SVM_EVENT_V | SVM_EVENT_NMI << 8 | EXC_NMI, 0);
    check(taken == 1 && taken_vector == EXC_NMI, "inject an NMI");
    if (features & HAS_NRIPS) {
        inject(SVM_EVENT_V | SVM_EVENT_SOFT_INT << 8 | 0x20, (u64)l2_nothing_after);
        check(taken == 1 && taken_rip == (u64)l2_nothing_after, "inject INT n with nRIP");
        inject(SVM_EVENT_V | SVM_EVENT_EXCEPTION << 8 | EXC_BP, (u64)l2_nothing_after);
        check(taken == 1 && taken_rip == (u64)l2_nothing_after, "inject #BP with nRIP");
    } else {
        skip("inject INT n with nRIP", "no NRIPS");
        skip("inject #BP with nRIP", "no NRIPS");
    }

    /* Delivery that faults: the IDT lies in a page that is missing. */
    prepare(l2_nothing);
    G.idtr.base = 0x8000000000;
    intercept(SVM_EXIT_EXCP + EXC_PF, true);
    u64 event = SVM_EVENT_V | SVM_EVENT_INTR << 8 | 0x21;
    C.event_inject = event;
    resume();
    check(C.exit_code == SVM_EXIT_EXCP + EXC_PF && C.exit_int_info == event, "EXITINTINFO of an injected interrupt");
    check(C.exit_info2 == 0x8000000210 && guest_rip() == (u64)l2_nothing, "and the IDT entry's address");
    prepare(l2_int);
    G.idtr.base = 0x8000000000;
    intercept(SVM_EXIT_EXCP + EXC_PF, true);
    resume();
    event = SVM_EVENT_V | SVM_EVENT_SOFT_INT << 8 | 0x20;
    check(C.exit_code == SVM_EXIT_EXCP + EXC_PF && C.exit_int_info == event && guest_rip() == (u64)l2_int_at,
          "EXITINTINFO of INT n");
    prepare(l2_pf);
    G.idtr.base = 0x8000000000;
    intercept(SVM_EXIT_EXCP + EXC_DF, true);
    resume();
    exits(SVM_EXIT_EXCP + EXC_DF, l2_pf_at, 0, "#PF whose gate faults is an intercepted #DF");
    on_vector(EXC_GP, NULL);
    on_vector(EXC_BP, NULL);
}

static void interrupts(void)
{
    apic_enable();
    on_vector(0x40, apic_eoi);
    /* A physical interrupt with INTR intercepted. */
    prepare(l2_spin);
    intercept(SVM_EXIT_INTR, true);
    C.vintr = VINTR_MASKING;
    apic_write(APIC_ICR, ICR_FIXED | ICR_SELF | 0x40);
    __asm__ volatile("clgi; sti" : : : "memory");
    resume();
    cli();
    check_eq(C.exit_code, SVM_EXIT_INTR, "INTR intercept, L1's IF counts with V_INTR_MASKING");
    check_eq(guest_rip(), (u64)l2_spin, "before L2's first instruction");
    taken = 0;
    on_vector(0x41, on_event);
    clgi();
    apic_write(APIC_ICR, ICR_FIXED | ICR_SELF | 0x41);
    sti();
    check_eq(taken, 0, "GIF 0 holds interrupts back");
    stgi();
    __asm__ volatile("nop" : : : "memory");
    check_eq(taken, 1, "STGI lets them in");
    cli();
    apic_write(APIC_EOI, 0);

    /* Virtual interrupts. */
    on_vector(0x42, on_event);
    taken = 0;
    prepare(l2_sti);
    C.vintr = VINTR_IRQ | VINTR_MASKING | 0x0full << VINTR_PRIO_SHIFT | 0x42ull << VINTR_VECTOR_SHIFT;
    resume();
    check(taken == 1 && taken_vector == 0x42 && !(C.vintr & VINTR_IRQ), "V_IRQ is taken when L2 sets IF");
    check_eq(taken_rip, (u64)l2_sti_after + 1, "after STI's shadow");
    taken = 0;
    prepare(l2_nothing);
    C.vintr = VINTR_IRQ | VINTR_MASKING | 0x0full << VINTR_PRIO_SHIFT | 0x42ull << VINTR_VECTOR_SHIFT;
    resume();
    check(!taken && (C.vintr & VINTR_IRQ), "V_IRQ waits while L2's IF is 0");
    prepare(l2_sti);
    C.vintr = 8 | VINTR_IRQ | VINTR_MASKING | 0x08ull << VINTR_PRIO_SHIFT | 0x42ull << VINTR_VECTOR_SHIFT;
    resume();
    check(!taken && (C.vintr & VINTR_IRQ), "V_TPR holds V_IRQ back");
    taken = 0;
    prepare(l2_sti);
    C.vintr =
        8 | VINTR_IRQ | VINTR_MASKING | VINTR_IGN_TPR | 0x08ull << VINTR_PRIO_SHIFT | 0x42ull << VINTR_VECTOR_SHIFT;
    resume();
    check(taken == 1, "V_IGN_TPR");
    taken = 0;
    prepare(l2_sti);
    intercept(SVM_EXIT_VINTR, true);
    C.vintr = VINTR_IRQ | VINTR_MASKING | 0x0full << VINTR_PRIO_SHIFT | 0x42ull << VINTR_VECTOR_SHIFT;
    resume();
    exits(SVM_EXIT_VINTR, l2_sti_after + 1, 0, "VINTR intercept");
    prepare(l2_shadow);
    C.vintr = VINTR_IRQ | VINTR_MASKING | 0x0full << VINTR_PRIO_SHIFT | 0x42ull << VINTR_VECTOR_SHIFT;
    C.interrupt_shadow = 1;
    G.rflags |= FLAG_IF;
    taken = 0;
    resume();
    check(taken == 1 && taken_rip == (u64)l2_shadow_after, "interrupt shadow in the VMCB lasts one instruction");
    prepare(l2_sti_hlt);
    intercept(SVM_EXIT_HLT, true);
    resume();
    check(C.interrupt_shadow & 1, "interrupt shadow is saved");

    /* NMI. */
    taken = 0;
    prepare(l2_spin);
    intercept(SVM_EXIT_NMI, true);
    clgi();
    apic_write(APIC_ICR, ICR_NMI | ICR_SELF);
    resume();
    check(C.exit_code == SVM_EXIT_NMI, "NMI intercept");
    check(taken == 1 && taken_vector == EXC_NMI, "the NMI is taken by L1 after STGI");
}

static void virtual_gif(void)
{
    if (!(features & HAS_VGIF)) {
        skip("virtual GIF", "no VGIF");
        return;
    }
    prepare(l2_stgi);
    C.vintr = VINTR_GIF_ENABLE;
    resume();
    check(C.exit_code == SVM_EXIT_VMMCALL && (C.vintr & VINTR_GIF), "STGI sets V_GIF");
    prepare(l2_clgi);
    C.vintr = VINTR_GIF_ENABLE | VINTR_GIF;
    resume();
    check(C.exit_code == SVM_EXIT_VMMCALL && !(C.vintr & VINTR_GIF), "CLGI clears V_GIF");
    taken = 0;
    prepare(l2_sti);
    C.vintr =
        VINTR_GIF_ENABLE | VINTR_IRQ | VINTR_MASKING | 0x0full << VINTR_PRIO_SHIFT | 0x42ull << VINTR_VECTOR_SHIFT;
    resume();
    check(!taken && (C.vintr & VINTR_IRQ), "V_GIF 0 holds V_IRQ back");
}

static void virtual_nmi(void)
{
    if (!(features & HAS_VNMI)) {
        skip("virtual NMI", "no VNMI");
        return;
    }
    taken = 0;
    prepare(l2_nothing);
    intercept(SVM_EXIT_NMI, true);
    C.vintr = VINTR_NMI_ENABLE | VINTR_NMI;
    resume();
    check(taken == 1 && taken_vector == EXC_NMI && !(C.vintr & (VINTR_NMI | VINTR_NMI_MASK)),
          "V_NMI is taken, IRET unmasks");
    taken = 0;
    prepare(l2_nothing);
    intercept(SVM_EXIT_NMI, true);
    C.vintr = VINTR_NMI_ENABLE | VINTR_NMI | VINTR_NMI_MASK;
    resume();
    check(!taken && (C.vintr & VINTR_NMI) && (C.vintr & VINTR_NMI_MASK), "V_NMI_MASK holds it back");
}

static u64 *scratch; /* a page of its own */

static u64 npf(void (*fn)(void), u64 set, u64 clear)
{
    u64 *e = pte_of(npt, (u64)scratch, 1), old = *e;
    *e = (*e | set) & ~clear;
    prepare(fn);
    regs.rdi = (u64)scratch;
    resume();
    *e = old;
    return C.exit_code == SVM_EXIT_NPF ? C.exit_info1 : ~0ull;
}

static void nested_paging(void)
{
    u64 page = (u64)scratch;
    *(u8 *)scratch = 0xc3;
    check_eq(npf(l2_read, 0, PTE_P), SVM_NPF_FINAL | PFERR_U, "#NPF of a missing page");
    check_eq(C.exit_info2, page, "EXITINFO2 is its address");
    if (features & HAS_DECODE_ASSISTS)
        check(C.insn_len >= 3 && same(C.insn_bytes, l2_read_at, 3), "and the instruction's bytes are there");
    else
        skip("instruction bytes of #NPF", "no decode assists");
    check_eq(npf(l2_write, 0, PTE_W), SVM_NPF_FINAL | PFERR_U | PFERR_P | PFERR_W,
             "#NPF of a write to a read-only page");
    check_eq(npf(l2_pop, 0, PTE_W), SVM_NPF_FINAL | PFERR_U | PFERR_P | PFERR_W, "#NPF of the write of a POP");
    check_eq(G.rsp, (u64)(l2_stack + sizeof l2_stack - 8), "leaves RSP as it was");
    check_eq(npf(l2_read, 0, PTE_U), SVM_NPF_FINAL | PFERR_U | PFERR_P, "#NPF: accesses are user accesses");
    if (rdmsr(MSR_EFER) & EFER_NXE)
        check_eq(npf(l2_call, PTE_NX, 0), SVM_NPF_FINAL | PFERR_U | PFERR_P | PFERR_I,
                 "#NPF of a fetch from an NX page");
    else
        skip("#NPF of a fetch", "no NX");
    if ((cpuid(0x80000008, 0).a & 0xff) < 52)
        check_eq(npf(l2_read, BIT64(51), 0), SVM_NPF_FINAL | PFERR_U | PFERR_P | PFERR_RSVD, "#NPF of a reserved bit");
    else
        skip("#NPF of a reserved bit", "52 address bits");
    check_eq(npf(l2_read, 0, 0), ~0ull, "no #NPF without reason");

    /* L2's own page tables. */
    u64 *e = pte_of(npt, (u64)pml4, 1), old = *e;
    *e &= ~PTE_P;
    start(l2_nothing);
    check(C.exit_code == SVM_EXIT_NPF && C.exit_info1 == (SVM_NPF_TABLE | PFERR_U | PFERR_W),
          "#NPF of a guest page table");
    check_eq(C.exit_info2 & ~0xfffull, (u64)pml4, "has the table's address");
    *e = old & ~PTE_W;
    start(l2_nothing);
    check(C.exit_code == SVM_EXIT_NPF && C.exit_info1 == (SVM_NPF_TABLE | PFERR_U | PFERR_W | PFERR_P),
          "walks of guest page tables are writes");
    *e = old;

    e = pte_of(npt, page, 1);
    old = *e;
    *e &= ~(PTE_A | PTE_D);
    prepare(l2_read);
    regs.rdi = page;
    resume();
    __asm__ volatile("" : : : "memory");
    check((*e & (PTE_A | PTE_D)) == PTE_A, "a read sets the accessed bit of the nested entry");
    prepare(l2_write);
    regs.rdi = page;
    resume();
    __asm__ volatile("" : : : "memory");
    check((*e & (PTE_A | PTE_D)) == (PTE_A | PTE_D), "a write sets the dirty bit");

    /* Another frame behind the same L2-physical page; then by TLB_CONTROL and by another ASID. */
    u64 *other = page_alloc();
    scratch[0] = 0xaaa;
    other[0] = 0xbbb;
    prepare(l2_read);
    regs.rdi = page;
    resume();
    check_eq(G.rax, 0xaaa, "first frame");
    *e = (u64)other | PTE_P | PTE_W | PTE_U;
    prepare(l2_read);
    regs.rdi = page;
    resume();
    check_eq(G.rax, 0xbbb, "second frame after a flush of everything");
    *e = old;
    if (features & HAS_FLUSH_BY_ASID) {
        prepare(l2_read);
        regs.rdi = page;
        C.tlb_control = TLB_CONTROL_FLUSH_ASID;
        resume();
        check_eq(G.rax, 0xaaa, "first frame after a flush of the ASID");
    } else {
        skip("flush by ASID", "no flush by ASID");
    }
    *e = (u64)other | PTE_P | PTE_W | PTE_U;
    prepare(l2_read);
    regs.rdi = page;
    C.tlb_control = TLB_CONTROL_NOTHING;
    C.asid = 2;
    resume();
    check_eq(G.rax, 0xbbb, "second frame with a new ASID");
    *e = old;

    /* Without nested paging L2 walks L1-physical memory. */
    prepare(l2_registers);
    C.nested = 0;
    C.asid = 3;
    resume();
    exits(SVM_EXIT_VMMCALL, l2_registers_at, 0, "a guest without nested paging");
}

static void invalid(const char *name)
{
    resume();
    check_eq(C.exit_code, SVM_EXIT_INVALID, name);
}

static void consistency(void)
{
    prepare(l2_nothing);
    intercept(SVM_EXIT_VMRUN, false);
    invalid("VMRUN intercept clear");
    prepare(l2_nothing);
    C.asid = 0;
    invalid("ASID 0");
    prepare(l2_nothing);
    G.efer &= ~EFER_SVME;
    invalid("EFER.SVME clear");
    prepare(l2_nothing);
    G.efer |= BIT64(9);
    invalid("EFER reserved bit");
    prepare(l2_nothing);
    G.cr0 = (G.cr0 | CR0_NW) & ~CR0_CD;
    invalid("CR0.NW without CD");
    prepare(l2_nothing);
    G.cr0 |= BIT64(32);
    invalid("CR0 bit 32");
    prepare(l2_nothing);
    G.cr3 |= BIT64(52);
    invalid("CR3 bit 52");
    prepare(l2_nothing);
    G.cr4 |= BIT64(32);
    invalid("CR4 bit 32");
    prepare(l2_nothing);
    G.dr6 |= BIT64(32);
    invalid("DR6 bit 32");
    prepare(l2_nothing);
    G.dr7 |= BIT64(32);
    invalid("DR7 bit 32");
    prepare(l2_nothing);
    G.cr4 &= ~CR4_PAE;
    invalid("long mode without PAE");
    prepare(l2_nothing);
    G.cr0 &= ~CR0_PE;
    invalid("long mode without PE");
    prepare(l2_nothing);
    G.cs.attr |= VMCB_ATTR_DB;
    invalid("CS.L and CS.D");
    prepare(l2_nothing);
    C.event_inject = SVM_EVENT_V | 1 << 8;
    invalid("EVENTINJ of type 1");
    prepare(l2_nothing);
    C.event_inject = SVM_EVENT_V | SVM_EVENT_EXCEPTION << 8 | EXC_NMI;
    invalid("EVENTINJ of exception 2");
    prepare(l2_nothing);
    C.iopm = BIT64(cpuid(0x80000008, 0).a & 0xff);
    intercept(SVM_EXIT_IOIO, true);
    invalid("I/O map beyond physical memory");
    start(l2_nothing);
    exits(SVM_EXIT_VMMCALL, l2_nothing_at, 0, "and a good VMCB runs");
}

/* clang-format off */
static void vmrun_odd(void *p) { __asm__ volatile("vmrun" : : "a"(p) : "memory"); }
static void do_vmmcall(void *p) { vmmcall(); }
static void do_stgi(void *p) { stgi(); }
USER_TEXT static void user_clgi(void *p) { __asm__ volatile("clgi"); }
USER_TEXT static void user_vmmcall(void *p) { __asm__ volatile("vmmcall"); }
/* clang-format on */

static void instructions(void)
{
    struct fault f = catch_fault(vmrun_odd, (u8 *)&vmcb + 8);
    check(f.raised && f.vector == EXC_GP && f.error == 0, "VMRUN of an address within a page");
    f = catch_fault(do_vmmcall, NULL);
    check(f.raised && f.vector == EXC_UD, "VMMCALL in L1");
    f = catch_user(user_clgi, NULL);
    check(f.raised && f.vector == EXC_GP, "CLGI at CPL 3");
    f = catch_user(user_vmmcall, NULL);
    check(f.raised && f.vector == EXC_UD, "VMMCALL at CPL 3");
    u64 efer = rdmsr(MSR_EFER);
    wrmsr(MSR_EFER, efer & ~EFER_SVME);
    f = catch_fault(do_stgi, NULL);
    check(f.raised && f.vector == EXC_UD, "STGI without EFER.SVME");
    wrmsr(MSR_EFER, efer);

    u64 star = rdmsr(MSR_STAR);
    vmsave(&saved_vmcb);
    wrmsr(MSR_FS_BASE, 0x1234000);
    wrmsr(MSR_KERNEL_GS_BASE, 0xffff800012345678);
    wrmsr(MSR_STAR, 0x1122334455667788);
    wrmsr(MSR_SYSENTER_CS, 0x77);
    vmsave(&vmcb);
    check(G.fs.base == 0x1234000 && G.kernel_gs_base == 0xffff800012345678 && G.star == 0x1122334455667788 &&
              G.sysenter_cs == 0x77 && G.tr.sel == SEL_TSS,
          "VMSAVE");
    vmload(&saved_vmcb);
    check(rdmsr(MSR_FS_BASE) == 0 && rdmsr(MSR_STAR) == star && rdmsr(MSR_SYSENTER_CS) != 0x77, "VMLOAD");
    G.fs.base = 0x0000800000000000;
    vmload(&vmcb);
    check_eq(rdmsr(MSR_FS_BASE), 0xffff800000000000, "VMLOAD makes bases canonical");
    vmload(&saved_vmcb);
}

static void time(void)
{
    prepare(l2_rdtsc);
    C.tsc_offset = 1ull << 50;
    u64 before = rdtsc();
    resume();
    u64 seen = (regs.rdx << 32 | (u32)G.rax) - (1ull << 50), after = rdtsc();
    check(seen >= before && seen <= after, "TSC_OFFSET");
    if (features & HAS_TSC_RATE) {
        wrmsr(MSR_TSC_RATIO, 1ull << 33);
        prepare(l2_rdtsc);
        before = rdtsc();
        resume();
        seen = regs.rdx << 32 | (u32)G.rax;
        after = rdtsc();
        wrmsr(MSR_TSC_RATIO, 1ull << 32);
        check(seen >= before * 2 && seen <= after * 2, "TSC ratio 2");
    } else {
        skip("TSC ratio", "no TSC rate MSR");
    }
    if (features & HAS_PAUSE_FILTER) {
        prepare(l2_pause);
        intercept(SVM_EXIT_PAUSE, true);
        C.pause_count = 1000;
        resume();
        check_eq(C.exit_code, SVM_EXIT_PAUSE, "the pause filter runs out");
    } else {
        skip("pause filter", "no pause filter");
    }
}

static void last_branch(void)
{
    if (!(cpuid(0x8000000a, 0).d & BIT(1))) {
        skip("LBR virtualization", "no LBRV");
        return;
    }
    prepare(l2_branch);
    C.virt_ext = VIRT_EXT_LBR;
    G.dbgctl = 1;
    resume();
    check(G.lbr[0] == (u64)l2_branch && G.lbr[1] == (u64)l2_branch_at, "L2's last branch is in the VMCB");
    check_eq(G.dbgctl, 1, "and its DEBUGCTL");
    check_eq(rdmsr(0x1d9), 0, "L1 has its own");
}

static u64 step_rips[8];
static unsigned steps;
static void on_step(struct frame *f)
{
    if (steps < 8)
        step_rips[steps++] = f->rip;
    write_dr6(DR6_FIXED);
}

/* POPF sets TF, so VMRUN is the first instruction that traps: once, when L2 is left. */
extern const u8 host_step_after[];
static void host_step(void)
{
    prepare(l2_registers);
    on_vector(EXC_DB, on_step);
    clgi();
    __asm__ volatile("pushfq; btsl $8, (%%rsp); popfq\n\t"
                     "vmrun\n\t"
                     "host_step_after: pushfq; btrl $8, (%%rsp); popfq\n\t"
                     :
                     : "a"(&vmcb)
                     : "memory", "cc", "rbx", "rcx", "r15");
    stgi();
    on_vector(EXC_DB, NULL);
    check(C.exit_code == SVM_EXIT_VMMCALL && steps == 4 && step_rips[0] == (u64)host_step_after,
          "TF at VMRUN traps after the #VMEXIT");
}

static void on_breakpoint(struct frame *f)
{
    on_step(f);
    f->rflags |= FLAG_RF;
}

/* A breakpoint on VMRUN is met although GIF is 0. */
extern const u8 host_breakpoint_at[];
static void host_breakpoint(void)
{
    prepare(l2_registers);
    on_vector(EXC_DB, on_breakpoint);
    steps = 0;
    write_dr0((u64)host_breakpoint_at);
    write_dr7(DR7_FIXED | 1);
    clgi();
    __asm__ volatile("host_breakpoint_at: vmrun" : : "a"(&vmcb) : "memory", "cc", "rbx", "rcx", "r15");
    stgi();
    on_vector(EXC_DB, NULL);
    check(C.exit_code == SVM_EXIT_VMMCALL && steps == 1 && step_rips[0] == (u64)host_breakpoint_at,
          "a breakpoint on VMRUN");
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
    if (cpuid(0x80000000, 0).a < 0x8000000a || !(cpuid(0x80000001, 0).c & BIT(2))) {
        skip("SVM", "no SVM");
        return 0;
    }
    features = cpuid(0x8000000a, 0).d;
    asids = cpuid(0x8000000a, 0).b;
    check(asids >= 8, "CPUID shows ASIDs");
    check(!(rdmsr(MSR_VM_CR) & VM_CR_SVMDIS), "VM_CR.SVMDIS is clear");
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_VM_HSAVE_PA, (u64)hsave);
    check_eq(rdmsr(MSR_VM_HSAVE_PA), (u64)hsave, "VM_HSAVE_PA");
    vmsave(&host_vmcb);

    /* Nested tables: identity, 4 KiB pages for the first 16 MiB, 2 MiB above. */
    npt = page_alloc();
    for (u64 a = 0; a < 16 << 20; a += 4096)
        *pte_of(npt, a, 1) = a | PTE_P | PTE_W | PTE_U;
    for (u64 a = 16 << 20; a < 4ull << 30; a += 2 << 20)
        *pte_of(npt, a, 2) = a | PTE_P | PTE_W | PTE_U | PTE_PS;
    scratch = page_alloc();

    basics();
    maps();
    registers();
    exceptions();
    injection();
    interrupts();
    virtual_gif();
    virtual_nmi();
    nested_paging();
    consistency();
    instructions();
    time();
    last_branch();
    host_step();
    host_breakpoint();
    bench();
    return 0;
}
