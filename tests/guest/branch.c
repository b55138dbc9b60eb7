/*
 * Branches and RIP-relative operands near the limits of what their displacements reach, and branches that wrap: from
 * the top of the address space to its bottom, at 4 GiB in 32-bit code, at 64 KiB with operands of 16 bits.
 *
 * Each case is a piece of code, which is copied to where it is wanted and then gets its displacement. If the branch or
 * the operand leads where it should, the code returns ANSWER.
 */
#include "runtime.h"

#define HERE 0x100000000000ull /* two pages of code; 2 GiB before them and 2 GiB behind them lie pages for targets */
#define REACH 0x80000000ull
#define TOP 0xfffffffffffff000ull
#define LOW32 0x40003000ull /* two pages; HIGH32 is two more, 2 GiB higher */
#define HIGH32 0xc0003000ull
#define CUT 0x3000ull       /* where branches in LOW32 go if only 16 bits of EIP are left */
#define BASE16 0x3010ull    /* the base of a 16-bit segment */
#define END16 0x13000ull    /* the page in which the 64 KiB of that segment end */
#define SEL_BASED SEL_SPARE /* 16-bit code at BASE16 */
#define SEL_FLAT16 (SEL_SPARE + 8)
#define ANSWER 0x5a
#define VECTOR_TIMER 0x50

struct piece {
    const u8 *code, *next, *end; /* next: behind the displacement */
};

/* Code for one mode: what stands before the displacement, with the displacement, and what stands behind it. */
#define PIECE(name, mode, before, after)                                                                               \
    extern const u8 name##_code[], name##_next[], name##_end[];                                                        \
    __asm__(".text\n.code" #mode "\n" #name "_code: " before "\n" #name "_next: " after "\n" #name "_end: .code64\n"); \
    static const struct piece name = {name##_code, name##_next, name##_end}

#define REL8 "; .byte 0"
#define REL16 "; .word 0"
#define REL32 "; .long 0"
#define ANSWER64 "mov $0x5a, %eax; ret"
#define ANSWER32 "mov $0x5a, %eax; ljmp $8, $branch_back"
#define WRONG32 "mov $1, %eax; ljmp $8, $branch_back"

PIECE(answer64, 64, "", ANSWER64);
PIECE(jump, 64, ".byte 0xe9" REL32, "");
PIECE(call, 64, ".byte 0xe8" REL32, "ret");
PIECE(taken, 64, "stc; .byte 0x0f, 0x82" REL32, "");
PIECE(not_taken, 64, "stc; .byte 0x0f, 0x83" REL32, ANSWER64);
PIECE(load, 64, "mov 0(%rip), %rax", "ret");
PIECE(load_vector, 64, "movdqu 0(%rip), %xmm0", "movq %xmm0, %rax; ret");
PIECE(store, 64, "mov $0x5a, %eax; mov %rax, 0(%rip)", "ret");
PIECE(add, 64, "mov $0x50, %eax; add %rax, 0(%rip)", "mov $0x5a, %eax; ret");
PIECE(push, 64, "push 0(%rip)", "pop %rax; ret");
PIECE(lea, 64, "lea 0(%rip), %rax", "mov (%rax), %rax; ret");
PIECE(lea32, 64, "lea 0(%eip), %rax", "ret");
PIECE(call_memory, 64, "call *0(%rip)", "ret");
PIECE(jump_memory, 64, "jmp *0(%rip)", "");

PIECE(answer32, 32, "", ANSWER32);
PIECE(wrong32, 32, "", WRONG32);
PIECE(jump32, 32, ".byte 0xe9" REL32, "");
PIECE(call32, 32, ".byte 0xe8" REL32, "");
PIECE(taken32, 32, "stc; .byte 0x0f, 0x82" REL32, "");
PIECE(word_jump8, 32, ".byte 0x66, 0xeb" REL8, "");
PIECE(word_jump16, 32, ".byte 0x66, 0xe9" REL16, "");
PIECE(word_call, 32, ".byte 0x66, 0xe8" REL16, "");
PIECE(word_taken8, 32, "stc; .byte 0x66, 0x72" REL8, "");
PIECE(word_taken16, 32, "stc; .byte 0x66, 0x0f, 0x82" REL16, "");
PIECE(word_not_taken, 32, "stc; .byte 0x66, 0x73" REL8, ANSWER32);
PIECE(word_loop, 32, "mov $2, %ecx; .byte 0x66, 0xe2" REL8, WRONG32);
PIECE(word_jecxz, 32, "xor %ecx, %ecx; .byte 0x66, 0xe3" REL8, WRONG32);

PIECE(answer16, 16, "", "mov $0x5a, %eax; ljmpl $8, $branch_back");
PIECE(wrong16, 16, "", "mov $1, %eax; ljmpl $8, $branch_back");
PIECE(jump16, 16, ".byte 0xeb" REL8, "");
PIECE(taken16, 16, "stc; .byte 0x72" REL8, "");

static void place(u64 la, const struct piece *p)
{
    copy((void *)la, p->code, (size_t)(p->end - p->code));
}

/* Copies a piece to `la`, with a displacement of so many bytes that leads to the address `to`. */
static void place_to(u64 la, const struct piece *p, unsigned bytes, u64 to)
{
    place(la, p);
    u64 next = la + (u64)(p->next - p->code), rel = to - next;
    copy((void *)(next - bytes), &rel, bytes);
}

static u64 call_at(u64 la)
{
    u64 rax;
    __asm__ volatile("call *%1" : "=a"(rax) : "r"(la) : "rcx", "rdx", "cc", "memory");
    return rax;
}

/* -- 64-bit code -- */

static const s64 reaches[] = {0x7fffffff,    0x7ffffffb,    0x7ffff004,   0x7fffefff,
                              -0x80000000ll, -0x7ffffffbll, -0x7ffff010ll};
static const u16 offsets[] = {0, 0x7fc, 0xff0, 0xff8, 0xffd};

/* What the displacement leads to. */
enum what { CODE, NUMBER, ADDRESS, POINTER };

static bool one(u64 la, const struct piece *p, u64 target, enum what what, u64 number)
{
    u64 *data = (u64 *)target, pointer = (u64)answer64.code;
    place_to(la, p, 4, target);
    switch (what) {
    case CODE: place(target, &answer64); return call_at(la) == ANSWER;
    case ADDRESS: return call_at(la) == (u32)target;
    case POINTER: copy(data, &pointer, 8); return call_at(la) == ANSWER;
    default: copy(data, &number, 8); return call_at(la) == ANSWER && same(data, &(u64){ANSWER}, 8);
    }
}

/* Tries a piece at several places of its page, with displacements near the limits. */
static void near_limits(const struct piece *p, enum what what, u64 number, const char *name)
{
    bool good = true;
    for (unsigned i = 0; i < ARRAY_LEN(reaches); i++)
        for (unsigned k = 0; k < ARRAY_LEN(offsets); k++)
            good &=
                one(HERE + offsets[k], p, HERE + offsets[k] + (u64)(p->next - p->code) + (u64)reaches[i], what, number);
    check(good, name);
}

static void code64(void)
{
    near_limits(&jump, CODE, 0, "JMP as far as it reaches");
    near_limits(&call, CODE, 0, "CALL");
    near_limits(&taken, CODE, 0, "Jcc that is taken");
    near_limits(&not_taken, CODE, 0, "Jcc that is not");
    near_limits(&load, NUMBER, ANSWER, "a load as far as RIP reaches");
    near_limits(&load_vector, NUMBER, ANSWER, "a load of a vector as far as RIP reaches");
    near_limits(&store, NUMBER, 0, "a store as far as RIP reaches");
    near_limits(&add, NUMBER, ANSWER - 0x50, "ADD to memory");
    near_limits(&push, NUMBER, ANSWER, "PUSH of memory");
    near_limits(&lea, NUMBER, ANSWER, "LEA");
    near_limits(&lea32, ADDRESS, 0, "LEA by EIP");
    near_limits(&call_memory, POINTER, 0, "CALL through memory");
    near_limits(&jump_memory, POINTER, 0, "JMP through memory");

    check(one(TOP + 0x800, &jump, CUT + 0x123, CODE, 0), "JMP from the top of the address space to its bottom");
    check(one(TOP + 0x800, &call, CUT + 0x123, CODE, 0), "CALL");
    check(one(TOP + 0x800, &taken, CUT + 0x123, CODE, 0), "Jcc");
    check(one(TOP + 0x800, &load, CUT + 0x123, NUMBER, ANSWER), "a load");
    check(one(CUT + 0x800, &jump, TOP + 0x123, CODE, 0), "JMP from the bottom of the address space to its top");
}

/* -- 32-bit and 16-bit code -- */

u64 branch_rsp;
u64 branch_enter(u64 sel, u64 eip);
extern const u8 branch_back[];
__asm__(".text\n"
        "branch_enter: mov %rsp, branch_rsp(%rip); push %rdi; push %rsi; lretq\n"
        "branch_back: mov branch_rsp(%rip), %rsp; ret\n");

/* Runs code in that segment; the code comes back by a far jump to branch_back. */
static u64 enter(u64 sel, u64 eip)
{
    u64 rax;
    __asm__ volatile("call branch_enter" : "=a"(rax), "+D"(sel), "+S"(eip) : : "rcx", "rdx", "cc", "memory");
    return rax;
}

static bool wraps32(const struct piece *p, u64 from, u64 to)
{
    place_to(from, p, 4, to);
    place(to, &answer32);
    return enter(SEL_CODE32, from) == ANSWER;
}

/* With an operand of 16 bits the branch leads to CUT, where the right code is; without the cut it would stay in the
 * page. */
static bool cuts(const struct piece *p, unsigned bytes, s64 ahead)
{
    u64 from = LOW32 + 0x100;
    place_to(from, p, bytes, from + (u64)ahead);
    if (ahead)
        place(from + (u64)ahead, &wrong32);
    place(CUT + 0x100 + (u64)ahead, &answer32);
    return enter(SEL_CODE32, from) == ANSWER;
}

static void code32(void)
{
    check(wraps32(&jump32, HIGH32 + 0x100, LOW32 + 0x200), "JMP over the end of 4 GiB");
    check(wraps32(&call32, HIGH32 + 0x100, LOW32 + 0x200), "CALL");
    check(wraps32(&taken32, HIGH32 + 0x100, LOW32 + 0x200), "Jcc");
    check(wraps32(&jump32, LOW32 + 0x100, HIGH32 + 0x104), "JMP by nearly 2 GiB");
    check(wraps32(&taken32, LOW32 + 0x100, HIGH32 + 0x105), "Jcc");
    check(wraps32(&jump32, LOW32 + 0xffb, HIGH32 + 0xfff), "JMP from the end of a page");

    check(cuts(&word_jump8, 1, 0x40), "JMP with an operand of 16 bits cuts EIP");
    check(cuts(&word_jump16, 2, 0x40), "JMP with 16 bits of operand and displacement cuts EIP");
    check(cuts(&word_call, 2, 0x40), "CALL");
    check(cuts(&word_taken8, 1, 0x40), "Jcc");
    check(cuts(&word_taken16, 2, 0x40), "Jcc with 16 bits of operand and displacement cuts EIP");
    check(cuts(&word_loop, 1, 0x40), "LOOP");
    check(cuts(&word_jecxz, 1, 0x40), "JECXZ");
    check(cuts(&word_jump8, 1, -0x40), "JMP back with an operand of 16 bits cuts EIP");
    check(cuts(&word_taken8, 1, 0), "Jcc to the start of its own block cuts EIP");
    place_to(LOW32 + 0x100, &word_not_taken, 1, LOW32 + 0x140);
    check_eq(enter(SEL_CODE32, LOW32 + 0x100), ANSWER, "Jcc that is not taken does not cut EIP");
}

static void on_timer(struct frame *f)
{
    apic_write(APIC_EOI, 0);
    f->rip = (u64)branch_back;
    f->cs = SEL_CODE64;
    f->rax = ANSWER;
}

/* Every branch of the loop leads ahead, by less than 2 GiB, and each has an entry of its own in jump caches. */
static const u64 loop32[] = {0x30003000, 0x80003040, 0xc0003080};

static void loop_over_4g(void)
{
    apic_enable();
    on_vector(VECTOR_TIMER, on_timer);
    for (unsigned i = 0; i < ARRAY_LEN(loop32); i++)
        place_to(loop32[i], &jump32, 4, loop32[(i + 1) % ARRAY_LEN(loop32)]);
    apic_write(APIC_DIVIDE, APIC_DIVIDE_BY_1);
    apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
    apic_write(APIC_INITIAL_COUNT, 10000000);
    sti();
    u64 rax = enter(SEL_CODE32, loop32[0]);
    cli();
    check_eq(rax, ANSWER, "an interrupt ends a loop over the end of 4 GiB");
}

static void segment16(u64 *descriptor, u64 base)
{
    *descriptor = 0xffff | (base & 0xffffff) << 16 | 0x9bull << 40 | 0x8full << 48 | (base >> 24) << 56;
}

static bool cuts16(const struct piece *p, u64 ip, u64 to)
{
    place_to(BASE16 + ip, p, 1, BASE16 + to);
    place(BASE16 + to, &wrong16);
    place(BASE16 + (u16)to, &answer16);
    return enter(SEL_BASED, ip) == ANSWER;
}

static void code16(void)
{
    segment16(&gdt_spare[0], BASE16);
    segment16(&gdt_spare[1], 0);
    check(cuts16(&jump16, 0xfff0, 0x10020), "JMP over the end of 64 KiB within a page");
    check(cuts16(&taken16, 0xfff0, 0x10020), "Jcc");
    check(cuts16(&jump16, 0x10100, 0x10140), "JMP in 16-bit code beyond 64 KiB cuts EIP");
    check(cuts16(&taken16, 0x10100, 0x10140), "Jcc");
    place_to(LOW32 + 0x100, &jump16, 1, LOW32 + 0x140);
    place(LOW32 + 0x140, &wrong16);
    place(CUT + 0x140, &answer16);
    check_eq(enter(SEL_FLAT16, LOW32 + 0x100), ANSWER, "JMP in 16-bit code in a flat segment cuts EIP");
}

static void map_new(u64 la, unsigned n)
{
    u64 *e = pte_of(pml4, la, 2);
    if (*e & PTE_PS)
        *e = 0;
    for (unsigned i = 0; i < n; i++)
        map_page(la + i * 4096ull, (u64)page_alloc(), PTE_P | PTE_W);
}

int main(void)
{
    map_new(HERE, 2);
    map_new(HERE - REACH, 4);
    map_new(HERE + REACH - 0x2000, 4);
    map_new(TOP, 1);
    map_new(LOW32, 2);
    for (unsigned i = 0; i < ARRAY_LEN(loop32); i++)
        map_new(loop32[i] & -4096ull, 2);
    code64();
    code32();
    loop_over_4g();
    code16();
    return 0;
}
