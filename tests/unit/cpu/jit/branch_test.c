/*
 * Control transfers: what the translator emits for each, and where running them leads. host_text.h says how to read the
 * expected code.
 */
#include "unit/translated.h"

static void direct(void)
{
    TEST("ahead in the page: a link, whose stub is in the cold part");
    CHECK_TEXT(HOT(0xeb, 0x10 /* jmp +16 */), "jmp cold");
    TRANSLATE(0xeb, 0x10 /* jmp +16 */);
    CHECK_TEXT(cold(), "mov rcx, link 0", "jmp [vcpu.leave_chain]");
    CHECK_TEXT(HOT(0x75, 0x10 /* jnz +16 */), "jnz cold");
    CHECK_TEXT(HOT(0x0f, 0x8c, 0, 1, 0, 0 /* jl +256 */), "jl cold");

    TEST("back into the block: a look at requests, then there");
    TRANSLATE(0xff, 0xc0, 0x75, 0xfc /* inc eax; jnz -4 */);
    CHECK_TEXT(hot(1), "jz #4", "mov rcx, [vcpu.request]", "jrcxz hot", "jmp cold");
    TRANSLATE(0xff, 0xc0, 0x75, 0xfc /* inc eax; jnz -4 */);
    CHECK_TEXT(cold(), "mov ecx, 0x00", "jmp [vcpu.leave_request]");
    TRANSLATE(0xff, 0xc0, 0xeb, 0xfc /* inc eax; jmp -4 */);
    CHECK_TEXT(hot(1), "mov rcx, [vcpu.request]", "jrcxz hot", "jmp cold");

    TEST("back by more than a short jump reaches");
#define MOVABS 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8 /* mov rax, 0x0807060504030201 */
#define FOUR_MOVABS MOVABS, MOVABS, MOVABS, MOVABS
    TRANSLATE(FOUR_MOVABS, FOUR_MOVABS, FOUR_MOVABS, MOVABS, 0xe9, 0x79, 0xff, 0xff, 0xff /* jmp back */);
    CHECK_TEXT(hot(13), "mov rcx, [vcpu.return_mask]", "jrcxz #3", "jmp hot", "jmp cold");

    TEST("out of the page: a link behind its guard, or by the jump cache");
    CHECK_TEXT(HOT(0xe9, 0, 0x10, 0, 0 /* jmp +4096 */), "mov r11, [vcpu.page_la]", "lea r11, [r11+0x1005]",
               "call linked", "lea rcx, [rcx+0x01]", "loop #6", "jmp #5", "jmp cold");
    CHECK_TEXT(cold(), "call jump", "jmp rcx {0x8000D000}");
    CHECK_TEXT(HOT(0xeb, 0xf0 /* jmp -16 */), "mov r11, [vcpu.page_la]", "lea r11, [r11-0x0E]", "call linked_checked",
               "lea rcx, [rcx+0x01]", "loop #6", "jmp #5", "jmp cold");

    TEST("by nearly 2 GiB: in two steps, if it takes more than a displacement");
    CHECK_START(HOT(0xe9, 0xff, 0xff, 0xff, 0x7f /* jmp +2 GiB - 1 */), "mov r11, [vcpu.page_la]",
                "lea r11, [r11+0x40000002]", "lea r11, [r11+0x40000002]", "call linked");
    CHECK_START(HOT(0xe9, 0xfa, 0xff, 0xff, 0x7f /* jmp +2 GiB - 6 */), "mov r11, [vcpu.page_la]",
                "lea r11, [r11+0x7FFFFFFF]", "call linked");

    TEST("ahead in 32-bit code, where EIP wraps: a look at requests");
    CHECK_START(HOT32(0xe9, 0xff, 0xff, 0xff, 0x7f /* jmp +2 GiB - 1 */), "mov r11, [vcpu.page_la]",
                "lea r11d, [r11-0x7FFFFFFC]", "call jump_checked");

    TEST("with an operand of 16 bits, which cuts EIP: never a link, but in 16-bit segments");
    CHECK_START(HOT32(0x66, 0xeb, 0x10 /* jmp +16 */), "mov r11, [vcpu.page_la]", "lea r11d, [r11+0x13]",
                "movzx r11d, r11w", "call jump_checked");
    CHECK_START(HOT32(0x66, 0x75, 0x10 /* jnz +16 */), "jnz hot");
    CHECK_START(HOT16(0xeb, 0x10 /* jmp +16 */), "mov r11, [vcpu.page_la]", "lea r11d, [r11+0x12]", "movzx r11d, r11w");
    TRANSLATE_IN(MODE_SIZE_MASK | MODE_FLAT, MODE_16 | UNITS, 0xeb, 0x10 /* jmp +16 */);
    CHECK_TEXT(hot(0), "jmp cold");

    TEST("step by step: by C");
    TRANSLATE_IN(0, MODE_STEP | UNITS, 0xeb, 0x10 /* jmp +16 */);
    CHECK_TEXT(hot(0), "mov r11, [vcpu.page_la]", "lea r11, [r11+0x12]", "mov ecx, 0xD000", "jmp [vcpu.leave_lookup]");
    TRANSLATE_IN(0, MODE_STEP | UNITS, 0x75, 0x10 /* jnz +16 */);
    CHECK_TEXT(hot(0), "jnz #5", "mov r11, [vcpu.page_la]", "lea r11, [r11+0x02]", "mov ecx, 0x00",
               "jmp [vcpu.leave_lookup]", "mov r11, [vcpu.page_la]", "lea r11, [r11+0x12]", "mov ecx, 0xD000",
               "jmp [vcpu.leave_lookup]");

    TEST("outside flat modes targets out of the page go by C, too");
    TRANSLATE_IN(MODE_SIZE_MASK | MODE_FLAT, MODE_32 | MODE_SS32 | UNITS, 0xe9, 0, 0x10, 0, 0 /* jmp +4096 */);
    CHECK_TEXT(hot(0), "mov r11, [vcpu.page_la]", "lea r11d, [r11+0x1005]", "mov ecx, 0x9000",
               "jmp [vcpu.leave_lookup]");
    TRANSLATE_IN(MODE_SIZE_MASK | MODE_FLAT, MODE_16 | UNITS, 0xe9, 0, 0x20 /* jmp +8192 */);
    CHECK_TEXT(hot(0), "mov r11, [vcpu.page_la]", "mov rcx, [vcpu.neg_cs_base]", "lea r11d, [r11+rcx*1+0x2003]",
               "movzx r11d, r11w", "mov rcx, [vcpu.seg[SEG_CS].base]", "lea r11d, [r11+rcx*1]", "mov ecx, 0x5000",
               "jmp [vcpu.leave_lookup]");
}

static void counting(void)
{
    TEST("JRCXZ looks at as much of RCX as the address size says");
    CHECK_TEXT(HOT(0xe3, 0x10 /* jrcxz +16 */), "mov rcx, r14", "jrcxz #3", "jmp #4", "jmp cold");
    CHECK_TEXT(HOT(0x67, 0xe3, 0x10 /* jecxz +16 */), "mov ecx, r14d", "jrcxz #3", "jmp #4", "jmp cold");
    CHECK_TEXT(HOT32(0x67, 0xe3, 0x10 /* jcxz +16 */), "movzx ecx, r14w", "jrcxz #3", "jmp #4", "jmp cold");

    TEST("LOOP");
    CHECK_TEXT(HOT(0xe2, 0x10 /* loop +16 */), "lea r14, [r14-0x01]", "mov rcx, r14", "jrcxz #4", "jmp #5", "jmp #6",
               "jmp cold");
    CHECK_TEXT(HOT(0x67, 0xe2, 0x10 /* loop +16, ECX */), "lea r14d, [r14-0x01]", "mov ecx, r14d", "jrcxz #4", "jmp #5",
               "jmp #6", "jmp cold");
    CHECK_TEXT(HOT32(0x67, 0xe2, 0x10 /* loop +16, CX */), "lea r11d, [r14-0x01]", "mov r14w, r11w", "movzx ecx, r14w",
               "jrcxz #5", "jmp #6", "jmp #7", "jmp cold");

    TEST("LOOPE and LOOPNE");
    CHECK_TEXT(HOT(0xe1, 0x10 /* loope +16 */), "lea r14, [r14-0x01]", "mov rcx, r14", "jrcxz #4", "jmp #5", "jmp #7",
               "jnz #7", "jmp cold");
    CHECK_TEXT(HOT(0xe0, 0x10 /* loopne +16 */), "lea r14, [r14-0x01]", "mov rcx, r14", "jrcxz #4", "jmp #5", "jmp #7",
               "jz #7", "jmp cold");
}

static void indirect(void)
{
    TEST("a jump to a register");
    CHECK_START(HOT(0xff, 0xe0 /* jmp rax */), "mov [vcpu.spill[0]], rax", "mov r11, [vcpu.spill[0]]",
                "call jump_checked");
    CHECK_START(HOT(0x41, 0xff, 0xe7 /* jmp r15 */), "mov r11, [vcpu.gpr[R15]]", "mov [vcpu.spill[0]], r11",
                "mov r11, [vcpu.spill[0]]", "call jump_checked");
    CHECK_START(HOT32(0xff, 0xe0 /* jmp eax */), "mov r11d, eax", "mov [vcpu.spill[0]], r11",
                "mov r11, [vcpu.spill[0]]", "call jump_checked");

    TEST("to an address in memory");
    CHECK_START(BODY(0xff, 0x23 /* jmp [rbx] */), "mov rcx, [rcx+rbx*1]", "mov [vcpu.spill[0]], rcx",
                "mov r11, [vcpu.spill[0]]", "call jump_checked");

    TEST("step by step: by C");
    TRANSLATE_IN(0, MODE_STEP | UNITS, 0xff, 0xe0 /* jmp rax */);
    CHECK_TEXT(hot(0), "mov [vcpu.spill[0]], rax", "mov r11, [vcpu.spill[0]]", "mov ecx, 0xD000",
               "jmp [vcpu.leave_lookup]");
}

static void calls(void)
{
    TEST("CALL pushes, then jumps");
    CHECK_TEXT(BODY(0xe8, 0x10, 0, 0, 0 /* call +16 */), "mov r11, [vcpu.page_la]", "lea r11, [r11+0x05]",
               "mov [rcx+r15*1-0x08], r11", "lea r15, [r15-0x08]", "call #6", "jmp cold", "call pair", "jmp cold");
    CHECK_START(BODY(0xff, 0xd0 /* call rax */), "mov r11, [vcpu.page_la]", "lea r11, [r11+0x02]",
                "mov [rcx+r15*1-0x08], r11", "lea r15, [r15-0x08]", "call #6", "jmp cold", "call pair",
                "mov r11, [vcpu.spill[0]]", "call jump_checked");

    TEST("the cold part pushes by itself, and goes on in the hot one");
    TRANSLATE(0xe8, 0x10, 0, 0, 0 /* call +16 */);
    CHECK_TEXT(cold(), "site", "mov r11, [vcpu.page_la]", "lea r11, [r11+0x05]", "mov [rcx+r15*1-0x08], r11",
               "lea r15, [r15-0x08]", "call [vcpu.slow_done]", "mov rcx, link 0", "jmp [vcpu.leave_chain]",
               "mov rcx, link 1", "jmp [vcpu.leave_chain]");

    TEST("the return address outside flat modes is an offset in CS");
    TRANSLATE_IN(MODE_SIZE_MASK | MODE_FLAT, MODE_32 | MODE_SS32 | UNITS, 0xe8, 0x10, 0, 0, 0 /* call +16 */);
    CHECK_TEXT(hot(0), "mov r11, [vcpu.page_la]", "mov rcx, [vcpu.neg_cs_base]", "lea r11d, [r11+rcx*1+0x05]",
               "mov [vcpu.spill[1]], r11", "lea r11d, [r15-0x04]", "call [vcpu.slow_segment]", "call check_write4",
               "lea rcx, [rcx+r11*1]", "mov r11, [vcpu.spill[1]]", "mov [rcx], r11d", "lea r15d, [r15-0x04]",
               "jmp cold");

    TEST("in hot blocks of user code both use the return stack in line");
    code_create();
    memset(cache->hot_hash, 0xff, sizeof cache->hot_hash);
    PUT(0, 0xe8, 0x10, 0, 0, 0 /* call +16 */);
    translated_in(0, MODE_USER | UNITS);
    CHECK_TEXT(behind_check(0), "mov r11, [vcpu.page_la]", "lea r11, [r11+0x05]", "mov [rcx+r15*1-0x08], r11",
               "lea r15, [r15-0x08]", "call #6", "jmp cold", "pext rcx, r15, [vcpu.return_mask]", "not r11",
               "mov gs:returns.la[1][rcx*8], r11", "pop r11", "mov gs:returns.host[1][rcx*8], r11", "jmp cold");
    code_create();
    memset(cache->hot_hash, 0xff, sizeof cache->hot_hash);
    PUT(0, 0xc3 /* ret */);
    translated_in(0, MODE_USER | UNITS);
    CHECK_TEXT(behind_check(0), "mov r11, [rcx+r15*1]", "lea r15, [r15+0x08]", "pext rcx, r15, [vcpu.return_mask]",
               "push gs:returns.host[rcx*8]", "mov rcx, gs:returns.la[rcx*8]", "lea rcx, [rcx+r11*1+0x01]",
               "pext rcx, rcx, rcx", "shrx ecx, [vcpu.one], ecx", "jrcxz #10", "ret", "jmp cold");
    CHECK_TEXT(cold(), "mov r11, r15", "call [vcpu.slow_mem]", "mov ecx, 0xF000", "jmp unknown");

    TEST("RET pops, then jumps");
    CHECK_TEXT(BODY(0xc3 /* ret */), "mov r11, [rcx+r15*1]", "lea r15, [r15+0x08]", "mov ecx, 0xF000", "jmp return");
    CHECK_TEXT(BODY(0xc2, 0x10, 0 /* ret 16 */), "mov r11, [rcx+r15*1]", "lea r15, [r15+0x18]", "mov ecx, 0x10F000",
               "jmp return");
    CHECK_START(BODY32(0xc3 /* ret */), "mov ecx, [rcx+r11*1]", "lea r15d, [r15+0x04]", "mov r11, rcx",
                "call jump_checked");
    CHECK_START(BODY32(0x66, 0xc3 /* ret, 16 bits */), "movzx ecx, word ptr [rcx+r11*1]", "lea r15d, [r15+0x02]",
                "mov r11, rcx", "call jump_checked");
}

static void blame(void)
{
    TEST("what exec_lookup must know of the branch");
    const struct tr *t = v->exec->tr;
    HOT(0xff, 0xe0 /* jmp rax */);
    CHECK_EQ(t->transfer, TRANSFER_JUMP | 3 << TRANSFER_SIZE_SHIFT);
    HOT(0x90, 0xff, 0xd0 /* call rax */);
    CHECK_EQ(t->transfer, TRANSFER_CALL | 3 << TRANSFER_SIZE_SHIFT | 1);
    HOT(0xc3);
    CHECK_EQ(t->transfer, TRANSFER_RETURN | 3 << TRANSFER_SIZE_SHIFT);
    HOT(0xc2, 0x34, 0x12 /* ret 0x1234 */);
    CHECK_EQ(t->transfer, TRANSFER_RETURN | 3 << TRANSFER_SIZE_SHIFT | 0x1234u << TRANSFER_RELEASE_SHIFT);
    HOT32(0x66, 0xc3);
    CHECK_EQ(t->transfer, TRANSFER_RETURN | 1 << TRANSFER_SIZE_SHIFT);
}

/* Where a direct branch goes, by its row, not by its bytes. */
static void targets(void)
{
    TEST("targets of direct branches");
    HOT(0xeb, 0x10);
    CHECK_EQ(branch_target(&v->exec->tr->insn[0]), 0x12);
    HOT(0x75, 0xf0);
    CHECK_EQ(branch_target(&v->exec->tr->insn[0]), -14);
    HOT(0xe8, 0, 0x10, 0, 0);
    CHECK_EQ(branch_target(&v->exec->tr->insn[0]), 0x1005);
    HOT(0xe9, 0xff, 0xff, 0xff, 0x7f);
    CHECK_EQ(branch_target(&v->exec->tr->insn[0]), 0x80000004ll);
    HOT(0x0f, 0x85, 0, 0, 0, 0x80);
    CHECK_EQ(branch_target(&v->exec->tr->insn[0]), -0x7ffffffall);
    HOT(0xff, 0xe0);
    CHECK_EQ(branch_target(&v->exec->tr->insn[0]), TARGET_NONE);
    HOT(0xc2, 1, 0);
    CHECK_EQ(branch_target(&v->exec->tr->insn[0]), TARGET_NONE);
    HOT(0x90);
    CHECK_EQ(branch_target(&v->exec->tr->insn[0]), TARGET_NONE);
}

/* -- running -- */

/* SF ZF AF PF CF as LAHF has them, and OF: vcpu.arith. */
static u64 arith(u64 flags)
{
    return (flags & 0xd5) << 8 | (flags & FLAG_OF ? 1 : 0);
}

/* SDM "Jcc": the condition of each code. */
static bool condition(unsigned cc, u64 f)
{
    bool cf = f & FLAG_CF, zf = f & FLAG_ZF, sf = f & FLAG_SF, of = f & FLAG_OF, pf = f & FLAG_PF, is = false;
    switch (cc >> 1) {
    case 0: is = of; break;
    case 1: is = cf; break;
    case 2: is = zf; break;
    case 3: is = cf || zf; break;
    case 4: is = sf; break;
    case 5: is = pf; break;
    case 6: is = sf != of; break;
    case 7: is = zf || sf != of; break;
    }
    return is != (cc & 1);
}

#define MOV_EAX(n) 0xb8, n, 0, 0, 0

static void conditions(void)
{
    static const u64 flags[] = {0,       FLAG_CF,           FLAG_ZF,           FLAG_SF,
                                FLAG_OF, FLAG_SF | FLAG_OF, FLAG_ZF | FLAG_OF, FLAG_PF | FLAG_CF};
    TEST("all conditions, ahead and back, short and long");
    for (u8 cc = 0; cc < 16; cc++) {
        code_create();
        PUT(0x20, MOV_EAX(2), HLT);
        PUT(0x40, 0x70 | cc, 0xde /* back to 0x20 */, MOV_EAX(1), HLT);
        PUT(0x60, 0x70 | cc, 0x0e /* ahead to 0x70 */, MOV_EAX(1), HLT);
        PUT(0x70, MOV_EAX(2), HLT);
        PUT(0x80, 0x0f, 0x80 | cc, 0x7a, 0x0f, 0, 0 /* to the next page */, MOV_EAX(1), HLT);
        PUT(0x1000, MOV_EAX(2), HLT);
        for (unsigned i = 0; i < ARRAY_LEN(flags); i++)
            for (u32 from = 0x40; from <= 0x80; from += 0x20) {
                v->arith = arith(flags[i]);
                CHECK(run(from));
                CHECK_EQ(v->gpr[RAX], condition(cc, flags[i]) ? 2 : 1);
                CHECK_EQ(v->arith & 0xd501, arith(flags[i]));
            }
    }
}

static void loops(void)
{
    TEST("LOOP counts RCX down");
    code_create();
    PUT(0, 0x48, 0xff, 0xc0 /* inc rax */, 0xe2, 0xfb /* loop */, HLT);
    v->gpr[RCX] = 10;
    CHECK(run(0));
    CHECK_EQ(v->gpr[RAX], 10);
    CHECK_EQ(v->gpr[RCX], 0);

    TEST("or ECX, or CX, and leaves the rest");
    code_create();
    PUT(0, 0x48, 0xff, 0xc0, 0x67, 0xe2, 0xfa /* loop, ECX */, HLT);
    v->gpr[RCX] = 0x700000003;
    CHECK(run(0));
    CHECK_EQ(v->gpr[RAX], 3);
    CHECK_EQ(v->gpr[RCX], 0);

    TEST("LOOPE goes on while ZF, LOOPNE while not");
    code_create();
    PUT(0, 0xff, 0xc2 /* inc edx */, 0x83, 0xfa, 3 /* cmp edx, 3 */, 0xe0, 0xf9 /* loopne */, HLT);
    v->gpr[RCX] = 100;
    CHECK(run(0));
    CHECK_EQ(v->gpr[RDX], 3);
    CHECK_EQ(v->gpr[RCX], 97);
    code_create();
    PUT(0, 0xff, 0xc2, 0x83, 0xfa, 1, 0xe1, 0xf9 /* loope */, HLT);
    v->gpr[RCX] = 100;
    CHECK(run(0));
    CHECK_EQ(v->gpr[RDX], 2);
    CHECK_EQ(v->gpr[RCX], 98);

    TEST("JRCXZ and JECXZ");
    code_create();
    PUT(0, 0xe3, 6, MOV_EAX(1), HLT, MOV_EAX(2), HLT);
    PUT(0x20, 0x67, 0xe3, 6, MOV_EAX(1), HLT, MOV_EAX(2), HLT);
    v->gpr[RCX] = 0x100000000;
    CHECK(run(0));
    CHECK_EQ(v->gpr[RAX], 1);
    CHECK(run(0x20));
    CHECK_EQ(v->gpr[RAX], 2);
    v->gpr[RCX] = 0;
    CHECK(run(0));
    CHECK_EQ(v->gpr[RAX], 2);
}

static void transfers(void)
{
    TEST("CALL and RET, near and by register and memory");
    code_create();
    PUT(0, 0xe8, 0x1b, 0, 0, 0 /* call 0x20 */, 0xff, 0xd3 /* call rbx */, 0xff, 0x16 /* call [rsi] */, HLT);
    PUT(0x20, 0x48, 0x83, 0xc0, 1 /* add rax, 1 */, 0xc3);
    PUT(0x1000, 0x48, 0x83, 0xc0, 0x10 /* add rax, 16 */, 0xc3);
    v->gpr[RSP] = DATA + 0x800;
    v->gpr[RBX] = CODE + 0x20;
    v->gpr[RSI] = DATA;
    u64 target = CODE + 0x1000, pushed;
    memcpy(ram + DATA_GPA, &target, 8);
    CHECK(run(0));
    CHECK_EQ(v->gpr[RAX], 0x12);
    CHECK_EQ(v->gpr[RSP], DATA + 0x800);
    memcpy(&pushed, ram + DATA_GPA + 0x7f8, 8);
    CHECK_EQ(pushed, CODE + 9);

    TEST("RET with bytes to release");
    code_create();
    PUT(0, 0x6a, 7 /* push 7 */, 0xe8, 0x19, 0, 0, 0 /* call 0x20 */, HLT);
    PUT(0x20, 0xc2, 8, 0);
    v->gpr[RSP] = DATA + 0x800;
    CHECK(run(0));
    CHECK_EQ(v->gpr[RSP], DATA + 0x800);

    TEST("a target that is not canonical: the branch itself faults, and its push did not happen");
    code_create();
    PUT(0, 0x90, 0xff, 0xd3 /* call rbx */, HLT);
    v->gpr[RSP] = DATA + 0x800;
    v->gpr[RBX] = 0x800000000000;
    CHECK(!run(0));
    CHECK_EQ(v->rip, CODE + 1);
    CHECK_EQ(v->gpr[RSP], DATA + 0x800);
    code_create();
    PUT(0, 0xc2, 8, 0);
    v->gpr[RSP] = DATA + 0x800;
    target = 0x800000000000;
    memcpy(ram + DATA_GPA + 0x800, &target, 8);
    CHECK(!run(0));
    CHECK_EQ(v->rip, CODE);
    CHECK_EQ(v->gpr[RSP], DATA + 0x800);

    TEST("a loop ends when somebody asks for the vCPU");
    code_create();
    PUT(0, 0xeb, 0xfe /* jmp to itself */);
    v->rip = CODE;
    v->request = REQ_EVENT;
    execute(v);
    CHECK_EQ(v->rip, CODE);
    CHECK_EQ(v->request, REQ_EVENT);
}

int main(void)
{
    direct();
    counting();
    indirect();
    calls();
    blame();
    targets();
    conditions();
    loops();
    transfers();
    return TEST_END();
}
