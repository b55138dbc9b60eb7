/*
 * Operands that take the long way: device memory, page borders with a device behind them, port strings, and branches
 * whose target cannot be reached. Needs the PC test device: 64 KiB of scratch memory at FF000000h, a register at ports
 * E0h-E3h.
 */
#include "runtime.h"

#define DEVICE 0xff000000ull
#define WINDOW 0x8000000000ull /* a page of RAM, then the first page of the device */

static volatile u8 *const device = (volatile u8 *)DEVICE;
static u8 *ram;

static u64 dev64(unsigned at)
{
    return *(volatile u64 *)(device + at);
}

static void set64(unsigned at, u64 value)
{
    *(volatile u64 *)(device + at) = value;
}

static void widths(void)
{
    set64(0, 0x1122334455667788);
    check_eq(dev64(0), 0x1122334455667788, "device memory, eight bytes");
    check_eq(device[1], 0x77, "device memory, one byte");
    check_eq(*(volatile u16 *)(device + 1), 0x6677, "device memory, a misaligned word");
    *(volatile u8 *)(device + 3) = 0xaa;
    check_eq(dev64(0), 0x11223344aa667788, "device memory, a byte is written");
}

#define OP(insn, start, in, want, name)                                                                                \
    do {                                                                                                               \
        set64(8, start);                                                                                               \
        u64 x_ = (in);                                                                                                 \
        __asm__ volatile(insn : "+r"(x_) : "r"(device + 8) : "rax", "rcx", "rdx", "cc", "memory");                     \
        check_eq(dev64(8), want, name);                                                                                \
    } while (0)

static void read_modify_write(void)
{
    OP("add %k0, (%1)", 5, 7, 12, "ADD to device memory");
    OP("lock; sub %0, (%1)", 5, 7, -2ull, "LOCK SUB");
    OP("xchg %0, (%1)", 5, 7, 7, "XCHG");
    OP("mov $5, %%eax; lock; cmpxchg %0, (%1)", 5, 7, 7, "CMPXCHG");
    OP("mov $6, %%eax; lock; cmpxchg %0, (%1)", 5, 7, 5, "CMPXCHG that does not match");
    OP("lock; xadd %0, (%1)", 5, 7, 12, "XADD");
    OP("not %0; notq (%1)", 5, 7, ~5ull, "NOT");
    OP("negb (%1)", 5, 7, 0xfb, "NEG of a byte");
    OP("shlq $4, (%1)", 5, 7, 0x50, "SHL");
    OP("mov $4, %%ecx; shld %%cl, %0, (%1)", 5, 7ull << 60, 0x57, "SHLD by CL");
    OP("lock; btsq %0, (%1)", 0, 33, 1ull << 33, "BTS with a register");
    OP("btcl $3, (%1)", 0, 33, 8, "BTC with an immediate");
    OP("incw (%1)", 0xffff, 0, 0, "INC of a word");
    OP("movbe %k0, (%1)", 0, 0x11223344, 0x44332211, "MOVBE");
    OP("movnti %0, (%1)", 0, 0x1234, 0x1234, "MOVNTI");
    OP("push %0; popq (%1)", 0, 0x5678, 0x5678, "POP to device memory");
    OP("stc; setcb (%1)", 0, 0, 1, "SETC");
    OP("movq %0, %%xmm0; movdqu %%xmm0, (%1)", 0, 0x99, 0x99, "MOVDQU");
}

static void sources(void)
{
    u64 x;
    set64(16, 0x80000000000000f0);
    x = 1;
    __asm__ volatile("imul (%1), %k0" : "+r"(x) : "r"(device + 16) : "cc");
    check_eq(x, 0xf0, "IMUL from device memory");
    __asm__ volatile("movsbq (%1), %0" : "=r"(x) : "r"(device + 16));
    check_eq(x, (u64)-16, "MOVSX");
    __asm__ volatile("bsr (%1), %0" : "=r"(x) : "r"(device + 16) : "cc");
    check_eq(x, 63, "BSR");
    __asm__ volatile("push (%1); pop %0" : "=r"(x) : "r"(device + 16));
    check_eq(x, 0x80000000000000f0, "PUSH");
    __asm__ volatile("stc; mov $0, %0; cmovc (%1), %0" : "=&r"(x) : "r"(device + 16) : "cc");
    check_eq(x, 0x80000000000000f0, "CMOV");
    __asm__ volatile("xor %%eax, %%eax; mov $0x1e0, %%eax; divb (%1); mov %%rax, %0"
                     : "=r"(x)
                     : "r"(device + 16)
                     : "rax", "cc");
    check_eq(x & 0xff, 2, "DIV");
    u64 target;
    __asm__ volatile("lea 1f(%%rip), %0; mov %0, 24(%1); jmp *24(%1); mov $0, %0; 1:" : "=&r"(target) : "r"(device));
    check(target, "JMP through device memory");
    __asm__ volatile("lea 1f(%%rip), %0; mov %0, 24(%2); call *24(%2); 1: pop %1"
                     : "=&r"(target), "=&r"(x)
                     : "r"(device)
                     : "memory");
    check_eq(x, target, "CALL through device memory");
    u16 msw;
    __asm__ volatile("smsw (%1); movzwl (%1), %k0" : "=r"(x) : "r"(device + 32));
    __asm__ volatile("smsw %0" : "=r"(msw));
    check_eq(x, msw, "SMSW to device memory");
    __asm__ volatile("sgdt (%0)" : : "r"(device + 40));
    struct {
        u16 limit;
        u64 base;
    } __attribute__((packed)) gdtr;
    __asm__ volatile("sgdt %0" : "=m"(gdtr));
    check_eq(*(volatile u64 *)(device + 42), gdtr.base, "SGDT to device memory");
}

static void crossing(void)
{
    volatile u64 *border = (volatile u64 *)(WINDOW + 4096 - 4);
    fill(ram, 0, 4096);
    set64(0, 0);
    *border = 0x1122334455667788;
    check_eq(*(volatile u32 *)(ram + 4092), 0x55667788, "a store across the border: RAM");
    check_eq(*(volatile u32 *)device, 0x11223344, "a store across the border: the device");
    check_eq(*border, 0x1122334455667788, "a load across the border");
    __asm__ volatile("lock; addq $1, %0" : "+m"(*border) : : "cc");
    check_eq(*border, 0x1122334455667789, "LOCK ADD across the border");
    __asm__ volatile("pcmpeqd %%xmm0, %%xmm0; movdqu %%xmm0, (%0)" : : "r"(border) : "memory");
    check(*border == ~0ull && *(volatile u32 *)(device + 8) == ~0u, "MOVDQU across the border");
}

static void strings(void)
{
    static const u8 text[16] = "0123456789abcde";
    fill(ram, 0, 64);
    void *d = (void *)(DEVICE + 64);
    const void *s = text;
    u64 n = 16;
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
    check(device[64] == '0' && device[78] == 'e', "REP MOVSB to device memory");
    d = ram;
    s = (void *)(DEVICE + 64);
    n = 4;
    __asm__ volatile("rep movsl" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
    check(same(ram, text, 16), "REP MOVSD from device memory");
    d = ram + 8;
    s = (void *)(DEVICE + 72);
    n = 8;
    __asm__ volatile("repe cmpsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory", "cc");
    check_eq(n, 0, "REPE CMPSB with device memory");
    d = (void *)(DEVICE + 64);
    n = 16;
    __asm__ volatile("repne scasb" : "+D"(d), "+c"(n) : "a"('5') : "memory", "cc");
    check_eq(n, 10, "REPNE SCASB in device memory");
    d = (void *)(DEVICE + 79);
    n = 16;
    __asm__ volatile("std; rep stosb; cld" : "+D"(d), "+c"(n) : "a"('x') : "memory");
    check(device[64] == 'x' && device[79] == 'x' && (u64)d == DEVICE + 63, "REP STOSB downward");
    u64 a;
    s = (void *)(DEVICE + 64);
    __asm__ volatile("lodsw" : "=a"(a), "+S"(s));
    check_eq(a & 0xffff, 'x' << 8 | 'x', "LODSW");
    /* One instruction moves from RAM on into the device. */
    fill(ram + 4088, 'r', 8);
    s = text;
    d = (void *)(WINDOW + 4088);
    n = 16;
    __asm__ volatile("rep movsb" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
    check(ram[4088] == '0' && device[0] == '8' && device[7] == 0, "REP MOVSB from RAM into the device");
}

static void port_strings(void)
{
    static u8 buf[8];
    const u8 *s;
    u8 *d;
    u64 n;
    outl(0xe0, 0x12345678);
    check_eq(inl(0xe0), 0x12345678, "the test device's register");
    check_eq(inb(0xe1), 0x56, "one byte of the test device's register");
    d = buf;
    n = 2;
    __asm__ volatile("rep insw" : "+D"(d), "+c"(n) : "d"(0xe0) : "memory");
    check(buf[0] == 0x78 && buf[1] == 0x56 && buf[2] == 0x78 && buf[4] == 0, "REP INSW");
    s = (const u8 *)"abcd";
    n = 4;
    __asm__ volatile("rep outsb" : "+S"(s), "+c"(n) : "d"(0xe2));
    check_eq(inb(0xe2), 'd', "REP OUTSB");
    s = (const u8 *)"abcd" + 3;
    n = 4;
    __asm__ volatile("std; rep outsb; cld" : "+S"(s), "+c"(n) : "d"(0xe3));
    check_eq(inb(0xe3), 'a', "REP OUTSB downward");
    d = buf + 4;
    n = 2;
    __asm__ volatile("std; rep insw; cld" : "+D"(d), "+c"(n) : "d"(0xe0) : "memory");
    check(buf[2] == 0x78 && buf[4] == 0x78 && d == buf, "REP INSW downward");
    d = (u8 *)WINDOW + 4094;
    n = 4;
    __asm__ volatile("rep insb" : "+D"(d), "+c"(n) : "d"(0xe0) : "memory");
    check(ram[4095] == 0x78 && device[1] == 0x78, "REP INSB across pages");
    outl(0xe8, 0x11223344);
    check_eq(inl(0xe8), 0x11223344, "the split ports");
}

/* -- branches -- */

#define NOWHERE 0x800000000000ull

#define BRANCH(name, insn)                                                                                             \
    extern const u8 name[], name##_at[];                                                                               \
    __asm__(".text\n" #name ": mov %rsp, %rsi\n" insn "\n");                                                           \
    static void name##_call(void *p)                                                                                   \
    {                                                                                                                  \
        __asm__ volatile("call " #name : : "D"(p) : "rax", "rsi", "memory");                                           \
    }

BRANCH(jump_register, "jump_register_at: jmp *%rdi; ret")
BRANCH(jump_memory, "push %rdi; pop %rax; mov %rdi, -64(%rsp); jump_memory_at: jmp *-64(%rsp); ret")
BRANCH(call_register, "call_register_at: call *%rdi; ret")
BRANCH(ret_plain, "push %rdi; mov %rsp, %rsi; ret_plain_at: ret")
BRANCH(ret_imm, "push %rdi; mov %rsp, %rsi; ret_imm_at: ret $24")

static void unreachable_one(void (*fn)(void *), const u8 *at, const char *name)
{
    struct fault f = catch_fault(fn, (void *)NOWHERE);
    check(f.raised && f.vector == EXC_GP && f.error == 0, name);
    check_eq(f.rip, (u64)at, "a branch that cannot be taken faults at itself");
}

static u64 rsp_before;

static void gp_rsp(struct frame *f)
{
    rsp_before = f->rsp - f->rsi;
    catch_leave(1);
}

static void unreachable(void)
{
    unreachable_one(jump_register_call, jump_register_at, "JMP r to a non-canonical address");
    unreachable_one(jump_memory_call, jump_memory_at, "JMP m to a non-canonical address");
    unreachable_one(call_register_call, call_register_at, "CALL r to a non-canonical address");
    unreachable_one(ret_plain_call, ret_plain_at, "RET to a non-canonical address");
    unreachable_one(ret_imm_call, ret_imm_at, "RET imm to a non-canonical address");
    on_vector(EXC_GP, gp_rsp);
    catch_fault(call_register_call, (void *)NOWHERE);
    check_eq(rsp_before, 0, "CALL that faults has not moved RSP");
    catch_fault(ret_plain_call, (void *)NOWHERE);
    check_eq(rsp_before, 0, "RET that faults has not moved RSP");
    catch_fault(ret_imm_call, (void *)NOWHERE);
    check_eq(rsp_before, 0, "RET imm that faults has not moved RSP");
    on_vector(EXC_GP, NULL);
}

/* -- instructions that depend on the CPU model, and segments in flat compatibility mode -- */

static void scans(void)
{
    u64 leading, trailing;
    __asm__ volatile("lzcnt %1, %0" : "=r"(leading) : "r"(0x10ull) : "cc");
    __asm__ volatile("tzcnt %1, %0" : "=r"(trailing) : "r"(0x10ull) : "cc");
    bool lzcnt = cpuid(0x80000001, 0).c & BIT(5);
    check_eq(leading, lzcnt ? 59 : 4, lzcnt ? "LZCNT" : "LZCNT is BSR on a CPU without it");
    check_eq(trailing, 4, "TZCNT or BSF");
    trailing = 77;
    __asm__ volatile("tzcntw %w1, %w0" : "+r"(trailing) : "r"(0ull) : "cc");
    bool bmi1 = cpuid(7, 0).b & BIT(3);
    check_eq(trailing, bmi1 ? 16 : 77, bmi1 ? "TZCNT of zero" : "BSF of zero leaves its destination");
}

u32 code_store_word = 5;
void store_by_cs(void *p);
void load_by_cs(void *p);
extern const u8 store_by_cs_at[];
__asm__(".text\n"
        "store_by_cs: pushq $0x18; lea 1f(%rip), %rax; push %rax; lretq\n"
        ".code32\n1: xor %eax, %eax\nstore_by_cs_at: mov %eax, %cs:code_store_word\n"
        "ljmp $8, $2f\n"
        ".code64\n2: ret\n"
        "load_by_cs: pushq $0x18; lea 1f(%rip), %rax; push %rax; lretq\n"
        ".code32\n1: mov %cs:code_store_word, %eax; ljmp $8, $2f\n"
        ".code64\n2: ret\n");

static void code_segment(void)
{
    struct fault f = catch_fault(store_by_cs, NULL);
    check(f.raised && f.vector == EXC_GP && f.error == 0 && f.rip == (u64)store_by_cs_at,
          "a store through CS in compatibility mode is #GP(0)");
    check_eq(code_store_word, 5, "a store that faults writes nothing");
    check(!catch_fault(load_by_cs, NULL).raised, "a load through CS in compatibility mode is allowed");
}

/* A code segment that ends behind two instructions, or in the middle of the third. */
extern const u8 limited[], limited_end[];
static u8 limit_cut;
__asm__(".text\n.code32\n"
        ".fill 16, 1, 0x90\n"
        "limited: dec %ecx\nnop\nmov $5, %eax\nlimited_end: ljmp $8, $1f\n"
        ".code64\n1: ret\n"
        "limited_enter: pushq $0x60; pushq $0; lretq\n");

static void limited_run(void *p)
{
    u64 base = (u64)limited, limit = (u64)(limited_end - limited) + 1 - limit_cut;
    gdt_spare[0] = (limit & 0xffff) | (base & 0xffffff) << 16 | 0x9bull << 40 | 0x40ull << 48 | (base >> 24) << 56;
    __asm__ volatile("call limited_enter" : : : "rax", "rcx", "memory");
}

static void code_limit(void)
{
    for (limit_cut = 2; limit_cut < 9; limit_cut++) {
        struct fault f = catch_fault(limited_run, NULL);
        u64 rip = limit_cut == 2 ? 7 : limit_cut < 7 ? 2 : limit_cut == 7 ? 2 : 1;
        check(f.raised && f.vector == EXC_GP && f.error == 0 && f.rip == rip, "code beyond the CS limit is #GP(0)");
    }
    limit_cut = 0;
    gdt_spare[0] = 0;
}

int main(void)
{
    ram = page_alloc();
    map_page(WINDOW, (u64)ram, PTE_P | PTE_W);
    map_page(WINDOW + 4096, DEVICE, PTE_P | PTE_W);
    widths();
    read_modify_write();
    sources();
    crossing();
    strings();
    port_strings();
    unreachable();
    scans();
    code_segment();
    code_limit();
    return 0;
}
