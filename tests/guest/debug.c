/*
 * Debug exceptions: single steps, instruction, data and I/O breakpoints, general detect, INT1, last branches; what MOV
 * SS, REP, SYSCALL and interrupts do to them. Each #DB is recorded; tests look at how many came, where, and with which
 * DR6.
 */
#include "runtime.h"

#define RECORDS 32

static struct {
    u64 rip, dr6, dr7, rflags, rcx;
} record[RECORDS];
static unsigned records;
static bool stop_stepping;
static u64 stop_at;
static bool instruction_kind;

#define LABEL(name) extern const u8 name[]

static void debug_exception(struct frame *f)
{
    if (records < RECORDS) {
        record[records].rip = f->rip;
        record[records].dr6 = read_dr6();
        record[records].dr7 = read_dr7();
        record[records].rflags = f->rflags;
        record[records].rcx = f->rcx;
    }
    records++;
    write_dr6(0xffff0ff0);
    if (stop_stepping || (stop_at && f->rip == stop_at))
        f->rflags &= ~FLAG_TF;
    if (instruction_kind)
        f->rflags |= FLAG_RF; /* SDM: its handler must set RF, or the breakpoint is met again */
    if (records > RECORDS)
        catch_leave(0);
}

static void start(void)
{
    records = 0;
    stop_stepping = false;
    stop_at = 0;
    write_dr6(0xffff0ff0);
}

static void expect(unsigned i, const void *rip, u64 dr6, const char *name)
{
    if (i >= records) {
        check(false, name);
        return;
    }
    check_eq(record[i].rip, (u64)rip, name);
    check_eq(record[i].dr6 & 0xf00f, dr6, "DR6 of that #DB");
}

#define SET_TF "pushfq; btsl $8, (%%rsp); popfq\n"
#define CLEAR_TF "pushfq; btrl $8, (%%rsp); popfq\n"

static void single_step(void)
{
    LABEL(step_1);
    LABEL(step_2);
    LABEL(step_end);
    start();
    __asm__ volatile(SET_TF "nop\nstep_1: nop\nstep_2: " CLEAR_TF "step_end: nop\nnop" : : : "memory", "cc");
    check_eq(records, 5, "TF traps after each instruction");
    expect(0, step_1, DR6_BS, "a step after the first instruction");
    expect(1, step_2, DR6_BS, "a step after the second instruction");
    expect(4, step_end, DR6_BS, "the POPF that clears TF still traps");
    check(!(record[0].rflags & FLAG_RF), "traps push RF as 0");
}

static void repeat(void)
{
    static u8 from[8] = "abcdefg", to[8];
    LABEL(rep_at);
    LABEL(rep_after);
    start();
    stop_at = (u64)rep_after;
    u64 n = 3;
    void *d = to;
    const void *s = from;
    __asm__ volatile(SET_TF "rep_at: rep movsb\nrep_after: nop" : "+D"(d), "+S"(s), "+c"(n) : : "memory", "cc");
    check_eq(records, 3, "TF traps after each iteration of REP");
    expect(0, rep_at, DR6_BS, "a step of REP has RIP at the instruction");
    check_eq(record[0].rcx, 2, "a step of REP has RCX counted down");
    expect(2, rep_after, DR6_BS, "the last step of REP has RIP behind the instruction");
    check(to[2] == 'c' && !to[3], "REP MOVSB under TF moves three bytes");
}

static void instruction_breakpoint(void)
{
    LABEL(bp_at);
    LABEL(bp_ss);
    start();
    instruction_kind = true;
    write_dr0((u64)bp_at);
    write_dr7(0x402);
    u64 x = 0;
    __asm__ volatile("nop\nbp_at: inc %0\nnop" : "+r"(x) : : "memory", "cc");
    check_eq(records, 1, "an instruction breakpoint is met once");
    expect(0, bp_at, 1, "an instruction breakpoint is a fault");
    check(!(record[0].rflags & FLAG_RF), "an instruction breakpoint pushes RF as 0");
    check_eq(x, 1, "after an instruction breakpoint the instruction is executed");
    start();
    write_dr0((u64)bp_ss);
    __asm__ volatile("mov %%ss, %%eax; mov %%eax, %%ss\nbp_ss: nop\nnop" : : : "rax", "memory");
    check_eq(records, is_intel() ? 0 : 1,
             "a breakpoint on the instruction after MOV SS: met on AMD's processors, not on Intel's");
    LABEL(bp_rep);
    static u8 to[8];
    void *d = to;
    u64 n = 3;
    start();
    write_dr0((u64)bp_rep);
    __asm__ volatile("bp_rep: rep stosb" : "+D"(d), "+c"(n) : "a"(1) : "memory");
    check_eq(records, 1, "a breakpoint on REP STOSB is met once");
    write_dr7(0x400);
    instruction_kind = false;
}

static u64 watched[4] __attribute__((aligned(32)));
static u16 watched_word __attribute__((aligned(8)));

static void fault_behind_ss(void *unused)
{
    __asm__ volatile("mov %0, %%ss\nud2" : : "m"(watched_word));
}

static void data_breakpoints(void)
{
    LABEL(w_1);
    LABEL(w_3);
    start();
    write_dr1((u64)watched);
    write_dr7(0x400 | 1 << 3 | 0xd << 20); /* DR1: writes of four bytes */
    __asm__ volatile("movl $1, %0\nw_1: nop" : "=m"(watched[0]));
    check_eq(records, 1, "a write meets a write breakpoint");
    expect(0, w_1, 2, "a write breakpoint is a trap");
    __asm__ volatile("mov %0, %%eax" : : "m"(watched[0]) : "rax");
    check_eq(records, 1, "a read does not meet a write breakpoint");
    start();
    __asm__ volatile("movb $1, 3+%0\nnop" : "=m"(watched[0]));
    check_eq(records, 1, "a write of one byte meets a breakpoint of four bytes");
    start();
    __asm__ volatile("movb $1, 4+%0" : "=m"(watched[0]));
    check_eq(records, 0, "a write behind the range of a breakpoint does not meet it");
    start();
    write_dr7(0x400 | 1 << 3 | 0xf << 20); /* reads and writes */
    __asm__ volatile("mov %0, %%eax\nw_3: nop" : : "m"(watched[0]) : "rax");
    expect(0, w_3, 2, "a read meets a read-write breakpoint");
    LABEL(w_4);
    start();
    stop_stepping = true;
    __asm__ volatile(SET_TF "movl $1, %0\nw_4: nop" : "=m"(watched[0]) : : "cc");
    expect(0, w_4, DR6_BS | 2, "a single step and a data breakpoint come together");
    start();
    u64 n = 3;
    void *d = watched;
    __asm__ volatile("rep stosl\nnop" : "+D"(d), "+c"(n) : "a"(0) : "memory");
    check(records == 1 && record[0].rcx == 2, "REP STOS stops after the iteration that met it");
    LABEL(w_6);
    start();
    __asm__ volatile("mov %%ss, %0" : "=m"(watched_word));
    write_dr1((u64)&watched_word);
    __asm__ volatile("mov %0, %%ss\nnop\nw_6: nop" : : "m"(watched_word));
    check_eq(records, 1, "MOV to SS from a watched word is reported");
    expect(0, w_6, 2, "the breakpoint on MOV to SS is reported one instruction late");
    LABEL(w_8);
    start();
    __asm__ volatile("mov %0, %%ss\n.byte 0xf1\nw_8: nop" : : "m"(watched_word));
    check_eq(records, 1, "INT1 behind MOV to SS from a watched word");
    expect(0, w_8, 2, "INT1 and the data breakpoint are one #DB");
    LABEL(w_9);
    LABEL(w_10);
    LABEL(w_11);
    start();
    instruction_kind = true;
    write_dr0((u64)w_9);
    write_dr7(read_dr7() | 2);
    __asm__ volatile("mov %0, %%ss\nw_9: nop\nw_10: nop" : : "m"(watched_word));
    check_eq(records, 1, "a breakpoint on the instruction behind MOV to SS from a watched word");
    expect(0, is_intel() ? w_10 : w_9, is_intel() ? 2 : 3,
           "which is held off, or comes with the data breakpoint in one #DB");
    instruction_kind = false;
    write_dr7(read_dr7() & ~2ull);
    start();
    check(catch_fault(fault_behind_ss, NULL).vector == EXC_UD,
          "a fault behind MOV to SS from a watched word is delivered");
    start();
    stop_stepping = true;
    __asm__ volatile(SET_TF "nop\nw_11: nop" : : : "cc", "memory");
    expect(0, w_11, DR6_BS, "a fault behind MOV to SS leaves nothing in later debug exceptions");
    LABEL(w_7);
    start();
    write_dr1((u64)watched);
    write_dr7(0x400 | 1 << 3 | 0x9 << 20); /* writes of eight bytes */
    __asm__ volatile("movb $1, 7+%0\nw_7: nop" : "=m"(watched[0]));
    expect(0, w_7, 2, "a breakpoint of eight bytes");
    write_dr7(0x400);
    start();
}

static void io_breakpoint(void)
{
    LABEL(io_1);
    start();
    write_cr4(read_cr4() | CR4_DE);
    write_dr1(0xe0);
    write_dr7(0x400 | 1 << 3 | 0x2 << 20);
    __asm__ volatile("out %%al, $0xe0\nio_1: nop" : : "a"(0));
    check_eq(records, 1, "OUT meets an I/O breakpoint");
    expect(0, io_1, 2, "an I/O breakpoint is a trap");
    outb(0xe1, 0);
    check_eq(records, 1, "OUT to the next port does not meet the I/O breakpoint");
    write_dr7(0x400);
    write_cr4(read_cr4() & ~CR4_DE);
}

static void general_detect(void)
{
    LABEL(gd_at);
    start();
    write_dr7(0x400 | DR7_GD);
    u64 x = 0;
    __asm__ volatile("gd_at: mov %%db0, %0" : "=r"(x));
    check_eq(records, 1, "DR7.GD");
    expect(0, gd_at, DR6_BD, "general detect faults at MOV DR");
    check(!(record[0].dr7 & DR7_GD), "general detect is off in the handler");
}

static void icebp(void)
{
    LABEL(ice_after);
    start();
    __asm__ volatile(".byte 0xf1\nice_after: nop");
    check_eq(records, 1, "INT1");
    expect(0, ice_after, 0, "INT1 is a trap without a bit in DR6");
    LABEL(ice_2);
    LABEL(ice_3);
    start();
    stop_at = (u64)ice_3;
    __asm__ volatile(SET_TF ".byte 0xf1\nice_2: nop\nice_3: nop" : : : "cc", "memory");
    check_eq(records, 2, "INT1 under TF is one #DB, and the next step another");
    expect(0, ice_2, 0, "INT1 under TF is a trap");
    expect(1, ice_3, DR6_BS, "the step behind INT1");
}

static void stack_segment(void)
{
    LABEL(ss_1);
    start();
    stop_at = (u64)ss_1;
    __asm__ volatile("mov %%ss, %%ecx\n" SET_TF "mov %%ecx, %%ss\nnop\nss_1: nop" : : : "rcx", "cc", "memory");
    check_eq(records, 1, "MOV SS holds its own single step back");
    expect(0, ss_1, DR6_BS, "the step of MOV SS comes after the next instruction");
    LABEL(ss_2);
    LABEL(ss_3);
    start();
    stop_at = (u64)ss_3;
    __asm__ volatile("mov %%ss, %%ecx\n" SET_TF "mov %%ecx, %%ss\n.byte 0xf1\nss_2: nop\nss_3: nop"
                     :
                     :
                     : "rcx", "cc", "memory");
    check_eq(records, 2, "INT1 after MOV SS under TF");
    expect(0, ss_2, 0, "INT1 after MOV SS under TF: no step at the handler");
    LABEL(sti_1);
    start();
    stop_at = (u64)sti_1;
    __asm__ volatile("cli\n" SET_TF "sti\nsti_1: nop\ncli" : : : "cc", "memory");
    expect(0, sti_1, DR6_BS, "STI does not hold its single step back");
}

static unsigned int3s;
static u64 int3_records;

static void int3_handler(struct frame *f)
{
    int3s++;
    int3_records = records;
}

static void software_interrupt(void)
{
    LABEL(int_2);
    start();
    stop_at = (u64)int_2;
    int3s = 0;
    on_vector(EXC_BP, int3_handler);
    __asm__ volatile(SET_TF "int3\nnop\nint_2: nop" : : : "cc", "memory");
    check(int3s == 1 && int3_records == 0, "INT3 under TF enters its handler without a step");
    check_eq(records, 1, "INT3 under TF: one step remains");
    expect(0, int_2, DR6_BS, "INT3 under TF: the step is that of the next instruction");
    on_vector(EXC_BP, NULL);
}

static void registers(void)
{
    start();
    write_dr6(0);
    check_eq(read_dr6(), 0xffff0ff0, "DR6 reads its fixed ones");
    write_dr7(0);
    check_eq(read_dr7(), 0x400, "DR7 reads bit 10");
    write_dr7(0xffffffff & ~DR7_GD & ~0xffull);
    check_eq(read_dr7() & 0xdc00, 0x400, "DR7's reserved bits");
    write_dr7(0x400);
    u64 four;
    __asm__ volatile("mov %%db4, %0" : "=r"(four));
    check_eq(four, read_dr6(), "DR4 is DR6 without CR4.DE");
}

static void bad_dr6(void *p)
{
    write_dr6(1ull << 32);
}

static void bad_dr7(void *p)
{
    write_dr7(1ull << 32);
}

static void bad_dr4(void *p)
{
    __asm__ volatile("mov %0, %%db4" : : "r"(0ull));
}

static void faults(void)
{
    check(catch_fault(bad_dr6, NULL).vector == EXC_GP, "DR6 bit 32 is #GP");
    check(catch_fault(bad_dr7, NULL).vector == EXC_GP, "DR7 bit 32 is #GP");
    write_cr4(read_cr4() | CR4_DE);
    check(catch_fault(bad_dr4, NULL).vector == EXC_UD, "DR4 with CR4.DE is #UD");
    write_cr4(read_cr4() & ~CR4_DE);
}

/* SYSCALL from CPL 0 with TF: the target goes on with the flags that SFMASK leaves. */
static void syscall_step(u64 mask)
{
    LABEL(syscall_target);
    LABEL(syscall_back);
    start();
    stop_at = (u64)syscall_back;
    wrmsr(0xc0000080, rdmsr(0xc0000080) | EFER_SCE);
    wrmsr(0xc0000081, (u64)SEL_CODE64 << 32);
    wrmsr(0xc0000082, (u64)syscall_target);
    wrmsr(0xc0000084, mask);
    __asm__ volatile(SET_TF "syscall\nsyscall_target: nop\nsyscall_back: nop\n" CLEAR_TF
                     :
                     :
                     : "rcx", "r11", "cc", "memory");
}

static void syscall_again(void)
{
    LABEL(syscall_target_2);
    LABEL(syscall_back_2);
    start();
    stop_at = (u64)syscall_back_2;
    wrmsr(0xc0000082, (u64)syscall_target_2);
    wrmsr(0xc0000084, 0);
    __asm__ volatile(SET_TF "syscall\nsyscall_target_2: nop\nsyscall_back_2: nop\n" CLEAR_TF
                     :
                     :
                     : "rcx", "r11", "cc", "memory");
    check_eq(records, 2, "SYSCALL under TF traps if SFMASK keeps TF");
    expect(0, syscall_target_2, DR6_BS, "the trap of SYSCALL is at its target");
}

static void last_branch(void)
{
    LABEL(lbr_from);
    LABEL(lbr_to);
    LABEL(btf_to);
    start();
    wrmsr(0x1d9, 1);
    __asm__ volatile("lbr_from: jmp lbr_to\nnop\nlbr_to: nop" : : : "memory");
    u64 control = rdmsr(0x1d9);
    wrmsr(0x1d9, 0);
    check_eq(control, 1, "DEBUGCTL.LBR stays");
    check_eq(rdmsr(0x1db), (u64)lbr_from, "the last branch's address");
    check_eq(rdmsr(0x1dc), (u64)lbr_to, "the last branch's target");
    start();
    stop_stepping = true;
    __asm__ volatile("mov $0x1d9, %%ecx; xor %%edx, %%edx; mov $2, %%eax; wrmsr\n" SET_TF
                     "nop\nnop\njmp btf_to\nnop\nbtf_to: nop\nnop"
                     :
                     :
                     : "rax", "rcx", "rdx", "cc", "memory");
    check_eq(records, 1, "DEBUGCTL.BTF steps by branches");
    expect(0, btf_to, DR6_BS, "the step by branches is at the target");
    check_eq(rdmsr(0x1d9), 0, "#DB clears BTF");
}

int main(void)
{
    on_vector(EXC_DB, debug_exception);
    single_step();
    repeat();
    instruction_breakpoint();
    data_breakpoints();
    io_breakpoint();
    general_detect();
    icebp();
    stack_segment();
    software_interrupt();
    registers();
    last_branch();
    syscall_step(FLAG_TF);
    check_eq(records, 0, "SYSCALL under TF does not trap if SFMASK clears TF");
    syscall_again();
    on_vector(EXC_DB, NULL);
    faults();
    return 0;
}
