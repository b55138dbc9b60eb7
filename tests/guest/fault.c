/*
 * Every exception that software can provoke in 64-bit mode, with its error code and saved RIP: fault or trap, selector
 * and IDT error codes, debug registers and single step, double fault. Exceptions at CPL 3 where they differ.
 */
#include "runtime.h"

static void expect(struct fault f, unsigned vector, u64 error, const char *name)
{
    bool good = f.raised && f.vector == vector && f.error == error;
    check(good, name);
    if (!good)
        show_fault(f);
}

/* Functions with one label at the instruction that faults, and one behind it. */
#define PROBE(name, insn)                                                                                              \
    void name(void *p);                                                                                                \
    extern const u8 name##_at[], name##_after[];                                                                       \
    __asm__(".text\n" #name ":\n" #name "_at: " insn "\n" #name "_after: ret\n")
#define USER_PROBE(name, insn)                                                                                         \
    void name(void *p);                                                                                                \
    extern const u8 name##_at[], name##_after[];                                                                       \
    __asm__(".section .user.text, \"ax\"\n" #name ":\n" #name "_at: " insn "\n" #name "_after: ret\n.text\n")

PROBE(divide, "divl zero_word(%rip)");
PROBE(divide_8, "divb zero_word(%rip)");
PROBE(idivide, "idivl zero_word(%rip)");
PROBE(breakpoint, "int3");
PROBE(int1, ".byte 0xf1");
PROBE(undefined, "ud2");
PROBE(lock_register, ".byte 0xf0, 0x01, 0xc0");
PROBE(long_instruction, ".fill 15, 1, 0x66; nop");
PROBE(far_null, "push $0; push $0; lretq");
PROBE(int_20, "int $0x20");
PROBE(int_21, "int $0x21");
PROBE(load_ds, "mov %edi, %ds");
PROBE(load_ss, "mov %edi, %ss");
PROBE(load_tr, "ltr %di");
PROBE(load_ldt, "lldt %di");
PROBE(x87, "fnop");
PROBE(x87_wait, "fwait");
PROBE(sse_add, "addps %xmm0, %xmm0");
PROBE(rdmsr_bad, "mov $0xdeadbeef, %ecx; rdmsr");
PROBE(cr0_bad, "mov %cr0, %rax; btr $0, %rax; mov %rax, %cr0");
PROBE(cr4_bad, "mov %cr4, %rax; btr $5, %rax; mov %rax, %cr4");
PROBE(cr4_reserved, "mov %cr4, %rax; bts $31, %rax; mov %rax, %cr4");
PROBE(cr8_bad, "mov $16, %eax; mov %rax, %cr8");
PROBE(dr_read, "mov %db7, %rax");
PROBE(dr4_read, "mov %db4, %rax");
PROBE(movaps, "movaps 4(%rdi), %xmm0");
PROBE(cmpxchg16, "xor %eax, %eax; xor %edx, %edx; cmpxchg16b 8(%rdi)");
USER_PROBE(user_cli, "cli");
USER_PROBE(user_hlt, "hlt");
USER_PROBE(user_in, "in $0x60, %al");
USER_PROBE(user_cr, "mov %cr0, %rax");
USER_PROBE(user_int20, "int $0x20");
USER_PROBE(user_int3, "int3");
USER_PROBE(user_unaligned, "mov 1(%rsp), %eax");
USER_PROBE(user_unaligned_push, "mov %rsp, %rax; dec %rsp; push %rcx; mov %rax, %rsp");
USER_PROBE(user_divide, "xor %ecx, %ecx; div %ecx");
USER_PROBE(user_fs, "mov %fs, (%rdi)");
USER_PROBE(user_popf, "pushfq; btrl $9, (%rsp); popfq");
__asm__(".data\nzero_word: .quad 0\n.text\n");

static void arithmetic(void)
{
    struct fault f = catch_fault(divide, NULL);
    expect(f, EXC_DE, 0, "#DE by DIV");
    check_eq(f.rip, (u64)divide_at, "#DE is a fault");
    expect(catch_fault(divide_8, NULL), EXC_DE, 0, "#DE by DIV of a byte");
    expect(catch_fault(idivide, NULL), EXC_DE, 0, "#DE by IDIV");
    f = catch_user(user_divide, NULL);
    expect(f, EXC_DE, 0, "#DE at CPL 3");
    check_eq(f.cs, SEL_USER_CODE, "#DE at CPL 3 saves the CS of CPL 3");
}

static void software(void)
{
    struct fault f = catch_fault(breakpoint, NULL);
    expect(f, EXC_BP, 0, "#BP");
    check_eq(f.rip, (u64)breakpoint_after, "#BP is a trap");
    f = catch_fault(int1, NULL);
    expect(f, EXC_DB, 0, "INT1");
    check_eq(f.rip, (u64)int1_after, "INT1 is a trap");
    f = catch_fault(undefined, NULL);
    expect(f, EXC_UD, 0, "#UD");
    check_eq(f.rip, (u64)undefined_at, "#UD is a fault");
    expect(catch_fault(lock_register, NULL), EXC_UD, 0, "LOCK with a register destination");
    expect(catch_fault(long_instruction, NULL), EXC_GP, 0, "16 bytes of instruction");
    f = catch_user(user_int3, NULL);
    expect(f, EXC_BP, 0, "#BP at CPL 3");
    struct fault int20 = catch_fault(int_20, NULL);
    expect(int20, 0x20, 0, "INT 20h");
    check_eq(int20.rip, (u64)int_20_after, "INT n is a trap");
}

static void idt_errors(void)
{
    expect(catch_user(user_int20, NULL), EXC_GP, 0x20 * 8 + 2, "INT n to a gate of DPL 0");
    idt[0x21].type &= 0x7f;
    expect(catch_fault(int_21, NULL), EXC_NP, 0x21 * 8 + 2, "INT n to a gate that is not present");
    idt[0x21].type = 0x80;
    expect(catch_fault(int_21, NULL), EXC_GP, 0x21 * 8 + 2, "INT n to a gate of type 0");
    gate_set(0x21, (u64)vectors[0x21], 0, 0x8e, 0);
    expect(catch_fault(int_21, NULL), EXC_GP, 0, "a gate with a null selector");
    gate_set(0x21, (u64)vectors[0x21], SEL_DATA, 0x8e, 0);
    expect(catch_fault(int_21, NULL), EXC_GP, SEL_DATA, "a gate to a data segment");
    gate_set(0x21, 0x800000000000, SEL_CODE64, 0x8e, 0);
    expect(catch_fault(int_21, NULL), EXC_GP, 0, "a gate to a non-canonical address");
    gate_set(0x21, (u64)vectors[0x21], SEL_CODE64, 0x8e, 0);
}

static void segments(void)
{
    check(!catch_fault(load_ldt, (void *)0).raised, "LLDT of null");
    expect(catch_fault(load_ds, (void *)0x1000), EXC_GP, 0x1000, "selector beyond the GDT");
    expect(catch_fault(load_ds, (void *)SEL_TSS), EXC_GP, SEL_TSS, "DS with a system segment");
    expect(catch_fault(load_ds, (void *)(SEL_DATA | 4)), EXC_GP, SEL_DATA | 4, "selector of an LDT that is null");
    gdt_spare[0] = 0x00cf13000000ffff;
    expect(catch_fault(load_ds, (void *)SEL_SPARE), EXC_NP, SEL_SPARE, "DS not present");
    expect(catch_fault(load_ss, (void *)SEL_SPARE), EXC_SS, SEL_SPARE, "SS not present");
    expect(catch_fault(load_ss, (void *)SEL_CODE64), EXC_GP, SEL_CODE64, "SS with a code segment");
    expect(catch_fault(load_ss, (void *)(SEL_DATA | 3)), EXC_GP, SEL_DATA, "SS with RPL 3 at CPL 0");
    expect(catch_fault(load_ss, (void *)SEL_USER_DATA), EXC_GP, SEL_USER_DATA & ~3, "SS with DPL 3 at CPL 0");
    expect(catch_fault(load_tr, (void *)SEL_TSS), EXC_GP, SEL_TSS, "LTR of a busy TSS");
    expect(catch_fault(load_tr, (void *)SEL_DATA), EXC_GP, SEL_DATA, "LTR of a data segment");
    expect(catch_fault(load_ldt, (void *)SEL_DATA), EXC_GP, SEL_DATA, "LLDT of a data segment");
    expect(catch_fault(far_null, NULL), EXC_GP, 0, "RETF to a null selector");
    gdt_spare[0] = 0;
    check(!catch_fault(load_ds, (void *)0).raised, "DS null");
    catch_fault(load_ds, (void *)SEL_DATA);
}

static u16 fs_seen USER_DATA;

static void privilege(void)
{
    expect(catch_user(user_cli, NULL), EXC_GP, 0, "CLI at CPL 3");
    expect(catch_user(user_hlt, NULL), EXC_GP, 0, "HLT at CPL 3");
    expect(catch_user(user_in, NULL), EXC_GP, 0, "IN at CPL 3");
    expect(catch_user(user_cr, NULL), EXC_GP, 0, "MOV from CR0 at CPL 3");
    check(!catch_user(user_popf, NULL).raised, "POPF at CPL 3 does not fault");
    check(!catch_user_flags(user_cli, NULL, FLAG_ONE | FLAG_IOPL).raised, "CLI at CPL 3 with IOPL 3");
    __asm__ volatile("mov %0, %%fs" : : "r"(3));
    fs_seen = 3;
    check(!catch_user(user_fs, &fs_seen).raised && fs_seen == 0, "IRET to CPL 3 makes a null selector 0");
}

static void set_mxcsr(u32 v)
{
    __asm__ volatile("ldmxcsr %0" : : "m"(v));
}

static void x87_divide(void *p)
{
    static const u16 control = 0x37b; /* zero divide unmasked */
    __asm__ volatile("fninit; fldcw %0; fld1; fldz; fdivrp; fwait" : : "m"(control));
}

static void sse_divide(void *p)
{
    set_mxcsr(0x1d80); /* zero divide unmasked */
    __asm__ volatile("xorps %%xmm1, %%xmm1; mov $0x3f800000, %%eax; movd %%eax, %%xmm0; divss %%xmm1, %%xmm0"
                     :
                     :
                     : "eax");
}

static void floating_point(void)
{
    u64 cr0 = read_cr0();
    write_cr0(cr0 | CR0_TS);
    expect(catch_fault(x87, NULL), EXC_NM, 0, "x87 with CR0.TS");
    expect(catch_fault(sse_add, NULL), EXC_NM, 0, "SSE with CR0.TS");
    expect(catch_fault(x87_wait, NULL), EXC_NM, 0, "WAIT with CR0.TS and MP");
    write_cr0((cr0 | CR0_TS) & ~CR0_MP);
    check(!catch_fault(x87_wait, NULL).raised, "WAIT with CR0.TS without MP");
    write_cr0(cr0 | CR0_EM);
    expect(catch_fault(x87, NULL), EXC_NM, 0, "x87 with CR0.EM");
    expect(catch_fault(sse_add, NULL), EXC_UD, 0, "SSE with CR0.EM");
    write_cr0(cr0);
    write_cr4(read_cr4() & ~CR4_OSFXSR);
    expect(catch_fault(sse_add, NULL), EXC_UD, 0, "SSE without CR4.OSFXSR");
    write_cr4(read_cr4() | CR4_OSFXSR);
    expect(catch_fault(x87_divide, NULL), EXC_MF, 0, "#MF");
    __asm__ volatile("fninit");
    expect(catch_fault(sse_divide, NULL), EXC_XM, 0, "#XM");
    write_cr4(read_cr4() & ~CR4_OSXMMEXCPT);
    expect(catch_fault(sse_divide, NULL), EXC_UD, 0, "#UD for #XM without CR4.OSXMMEXCPT");
    write_cr4(read_cr4() | CR4_OSXMMEXCPT);
    set_mxcsr(0x1f80);
    static u8 area[64] __attribute__((aligned(64)));
    expect(catch_fault(movaps, area), EXC_GP, 0, "MOVAPS of a misaligned address");
    if (cpuid(1, 0).c & BIT(13))
        expect(catch_fault(cmpxchg16, area), EXC_GP, 0, "CMPXCHG16B of a misaligned address");
    else
        skip("CMPXCHG16B of a misaligned address", "no CMPXCHG16B");
}

static void alignment(void)
{
    write_cr0(read_cr0() | CR0_AM);
    expect(catch_user_flags(user_unaligned, NULL, FLAG_ONE | FLAG_AC), EXC_AC, 0, "#AC");
    expect(catch_user_flags(user_unaligned_push, NULL, FLAG_ONE | FLAG_AC), EXC_AC, 0, "#AC of a push");
    check(!catch_user(user_unaligned, NULL).raised, "no #AC without RFLAGS.AC");
    write_cr0(read_cr0() & ~CR0_AM);
    check(!catch_user_flags(user_unaligned, NULL, FLAG_ONE | FLAG_AC).raised, "no #AC without CR0.AM");
}

static volatile u64 watched[2];
static volatile unsigned db_count;
static u64 db_rip[8], db_dr6[8];

static void on_db(struct frame *f)
{
    if (db_count < 8) {
        db_rip[db_count] = f->rip;
        db_dr6[db_count] = read_dr6();
    }
    db_count++;
    write_dr6(DR6_FIXED);
    f->rflags |= FLAG_RF;
}

void step_three(void);
extern const u8 step_1[], step_2[], step_3[], step_4[];
__asm__(".text\nstep_three: pushfq; btsl $8, (%rsp); popfq\n"
        "step_1: nop\nstep_2: nop\nstep_3: pushfq\nstep_4: btrl $8, (%rsp); popfq; ret\n");
void step_ss(void);
extern const u8 step_ss_2[];
__asm__(".text\nstep_ss: mov %ss, %eax; pushfq; btsl $8, (%rsp); popfq\n"
        "mov %eax, %ss; nop\nstep_ss_2: pushfq; btrl $8, (%rsp); popfq; ret\n");

PROBE(watched_code, "nop");

static void debug(void)
{
    on_vector(EXC_DB, on_db);
    write_dr6(DR6_FIXED);
    db_count = 0;
    step_three();
    check(db_count == 5 && db_rip[0] == (u64)step_2 && db_rip[1] == (u64)step_3 && db_rip[2] == (u64)step_4,
          "single step traps after each instruction");
    check(db_dr6[0] & DR6_BS, "a single step sets DR6.BS");
    db_count = 0;
    step_ss();
    check(db_count && db_rip[0] == (u64)step_ss_2, "MOV SS holds the trap back by one instruction");

    write_dr0((u64)watched_code);
    write_dr7(DR7_FIXED | 2);
    db_count = 0;
    watched_code(NULL);
    check(db_count == 1 && db_rip[0] == (u64)watched_code_at, "instruction breakpoint is a fault");
    check_eq(db_dr6[0] & 0xf, 1, "an instruction breakpoint sets DR6.B0");

    write_dr0((u64)&watched[0]);
    write_dr7(DR7_FIXED | 2 | 0x90000); /* 8 bytes, write */
    db_count = 0;
    watched[0] = 1;
    (void)watched[0];
    check(db_count == 1 && db_dr6[0] & 1, "data breakpoint on a write of 8 bytes");
    write_dr7(DR7_FIXED | 2 | 0xb0000); /* read or write */
    db_count = 0;
    (void)watched[0];
    watched[1] = 1;
    check_eq(db_count, 1, "data breakpoint on a read");
    write_dr0((u64)&watched[0] + 4);
    write_dr7(DR7_FIXED | 2 | 0x10000); /* one byte, write */
    db_count = 0;
    __asm__ volatile("movl $1, %0" : "=m"(watched[0]));
    check_eq(db_count, 0, "a write beside the watched byte");
    watched[0] = 2;
    check_eq(db_count, 1, "a write over the watched byte");
    write_dr7(DR7_FIXED);

    on_vector(EXC_DB, NULL);
    write_dr6(DR6_FIXED);
    write_dr7(DR7_FIXED | DR7_GD);
    struct fault f = catch_fault(dr_read, NULL);
    expect(f, EXC_DB, 0, "general detect");
    check(f.dr6 & DR6_BD, "general detect sets DR6.BD");
    check(!(read_dr7() & DR7_GD), "DR7.GD is clear in the handler of general detect");
    write_dr6(DR6_FIXED);
    u64 cr4 = read_cr4();
    write_cr4(cr4 | CR4_DE);
    expect(catch_fault(dr4_read, NULL), EXC_UD, 0, "DR4 with CR4.DE");
    write_cr4(cr4 & ~CR4_DE);
    check(!catch_fault(dr4_read, NULL).raised, "DR4 is DR6 without CR4.DE");
}

static void double_fault(void)
{
    gate_set(EXC_GP, (u64)vectors[EXC_GP], SEL_CODE64, 0x0e, 0); /* not present */
    struct fault f = catch_fault(load_ds, (void *)0x1000);
    gate_set(EXC_GP, (u64)vectors[EXC_GP], SEL_CODE64, 0x8e, 0);
    expect(f, EXC_DF, 0, "#GP whose gate is not present is #DF");
    gate_set(EXC_UD, (u64)vectors[EXC_UD], SEL_CODE64, 0x0e, 0);
    f = catch_fault(undefined, NULL);
    gate_set(EXC_UD, (u64)vectors[EXC_UD], SEL_CODE64, 0x8e, 0);
    bool intel = is_intel();
    expect(f, EXC_NP, EXC_UD * 8 + 2 + intel, "#UD whose gate is not present is #NP, on Intel with EXT");
    u64 la = 0x8000000000;
    map_page(la, (u64)page_alloc(), 0);
    u64 old = tss.rsp[0];
    gate_set(EXC_PF, (u64)vectors[EXC_PF], SEL_CODE64, 0x0e, 0);
    f = catch_fault((void (*)(void *))la, NULL);
    gate_set(EXC_PF, (u64)vectors[EXC_PF], SEL_CODE64, 0x8e, 0);
    expect(f, EXC_DF, 0, "#PF whose gate is not present is #DF");
    tss.rsp[0] = old;
}

static void control_registers(void)
{
    expect(catch_fault(rdmsr_bad, NULL), EXC_GP, 0, "RDMSR of an unknown MSR");
    expect(catch_fault(cr0_bad, NULL), EXC_GP, 0, "CR0.PE off with PG on");
    expect(catch_fault(cr4_bad, NULL), EXC_GP, 0, "CR4.PAE off in long mode");
    expect(catch_fault(cr4_reserved, NULL), EXC_GP, 0, "reserved bit of CR4");
    expect(catch_fault(cr8_bad, NULL), EXC_GP, 0, "CR8 above 15");
}

int main(void)
{
    users_fit();
    arithmetic();
    software();
    idt_errors();
    segments();
    privilege();
    floating_point();
    alignment();
    debug();
    double_fault();
    control_registers();
    return 0;
}
