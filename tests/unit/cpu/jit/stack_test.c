/*
 * PUSH, POP and LEAVE: what the translator emits for each, and what they leave on the stack and in the registers.
 */
#include "unit/translated.h"

static void pushes(void)
{
    TEST("a register: by its host register, or loaded into r11");
    CHECK_TEXT(BODY(0x50 /* push rax */), "mov [rcx+r15*1-0x08], rax", "lea r15, [r15-0x08]");
    CHECK_TEXT(BODY(0x51 /* push rcx */), "mov [rcx+r15*1-0x08], r14", "lea r15, [r15-0x08]");
    CHECK_TEXT(BODY(0x54 /* push rsp */), "mov [rcx+r15*1-0x08], r15", "lea r15, [r15-0x08]");
    CHECK_TEXT(BODY(0x41, 0x57 /* push r15 */), "mov r11, [vcpu.gpr[R15]]", "mov [rcx+r15*1-0x08], r11",
               "lea r15, [r15-0x08]");
    CHECK_TEXT(BODY(0x66, 0x50 /* push ax */), "mov [rcx+r15*1-0x02], ax", "lea r15, [r15-0x02]");

    TEST("a constant");
    CHECK_TEXT(BODY(0x6a, 5 /* push 5 */), "mov [rcx+r15*1-0x08], 0x05", "lea r15, [r15-0x08]");
    CHECK_TEXT(BODY(0x6a, 0x80 /* push -128 */), "mov [rcx+r15*1-0x08], 0xFFFFFFFFFFFFFF80", "lea r15, [r15-0x08]");
    CHECK_TEXT(BODY(0x68, 0x78, 0x56, 0x34, 0x12 /* push 0x12345678 */), "mov [rcx+r15*1-0x08], 0x12345678",
               "lea r15, [r15-0x08]");
    CHECK_TEXT(BODY(0x66, 0x68, 0x34, 0x12 /* push word 0x1234 */), "mov word ptr [rcx+r15*1-0x02], 0x1234",
               "lea r15, [r15-0x02]");

    TEST("an operand in memory is fetched first");
    CHECK_TEXT(BODY(0xff, 0x33 /* push [rbx] */), "mov r11, [vcpu.spill[0]]", "mov [rcx+r15*1-0x08], r11",
               "lea r15, [r15-0x08]");
    CHECK_TEXT(BODY(0xff, 0xf0 /* push rax, the long form */), "mov r11, [vcpu.spill[0]]", "mov [rcx+r15*1-0x08], r11",
               "lea r15, [r15-0x08]");

    TEST("the store is checked at its own place");
    CHECK_TEXT(HOT(0x50 /* push rax */), "lea r11, [r15-0x08]", "call check_write8", "mov [rcx+r15*1-0x08], rax",
               "lea r15, [r15-0x08]");
    TRANSLATE(0x50 /* push rax */);
    CHECK_TEXT(cold(), "site", "mov [rcx+r15*1-0x08], rax", "lea r15, [r15-0x08]", "call [vcpu.slow_done]");
}

static void pops(void)
{
    TEST("POP into a register");
    CHECK_TEXT(BODY(0x58 /* pop rax */), "mov rax, [rcx+r15*1]", "lea r15, [r15+0x08]");
    CHECK_TEXT(BODY(0x59 /* pop rcx */), "mov r14, [rcx+r15*1]", "lea r15, [r15+0x08]");
    CHECK_TEXT(BODY(0x5c /* pop rsp */), "mov rcx, [rcx+r15*1]", "lea r15, [r15+0x08]", "mov r15, rcx");
    CHECK_TEXT(BODY(0x41, 0x5f /* pop r15 */), "mov r11, [rcx+r15*1]", "lea r15, [r15+0x08]",
               "mov [vcpu.gpr[R15]], r11");
    CHECK_TEXT(BODY(0x66, 0x58 /* pop ax */), "movzx ecx, word ptr [rcx+r15*1]", "lea r15, [r15+0x02]", "mov ax, cx");
    CHECK_TEXT(BODY(0x66, 0x41, 0x5f /* pop r15w */), "movzx ecx, word ptr [rcx+r15*1]", "lea r15, [r15+0x02]",
               "mov [vcpu.gpr[R15]], cx");

    TEST("LEAVE");
    CHECK_TEXT(BODY(0xc9 /* leave */), "mov rcx, [rcx+rbp*1]", "mov r15, rbp", "lea r15, [r15+0x08]", "mov rbp, rcx");
    CHECK_TEXT(BODY(0x66, 0xc9 /* leave, 16 bits */), "movzx ecx, word ptr [rcx+rbp*1]", "mov r15, rbp",
               "lea r15, [r15+0x02]", "mov bp, cx");
}

static void other_stacks(void)
{
    TEST("32 bits");
    CHECK_TEXT(HOT32(0x50 /* push eax */), "lea r11d, [r15-0x04]", "call check_write4", "mov [rcx+r11*1], eax",
               "lea r15d, [r15-0x04]");
    CHECK_TEXT(BODY32(0x58 /* pop eax */), "mov ecx, [rcx+r11*1]", "lea r15d, [r15+0x04]", "mov rax, rcx");
    CHECK_TEXT(BODY32(0xc9 /* leave */), "mov ecx, [rcx+r11*1]", "mov r15d, ebp", "lea r15d, [r15+0x04]",
               "mov ebp, ecx");

    TEST("16 bits: the upper half of ESP stays");
    TRANSLATE_IN(MODE_SIZE_MASK, MODE_32 | MODE_FLAT | UNITS, 0x50 /* push eax */);
    CHECK_TEXT(hot(0), "lea r11d, [r15-0x04]", "movzx r11d, r11w", "call check_write4", "mov [rcx+r11*1], eax",
               "lea r11d, [r15-0x04]", "mov r15w, r11w");
    TRANSLATE_IN(MODE_SIZE_MASK, MODE_32 | MODE_FLAT | UNITS, 0x58 /* pop eax */);
    CHECK_TEXT(behind_check(0), "mov ecx, [rcx+r11*1]", "lea r11d, [r15+0x04]", "mov r15w, r11w", "mov rax, rcx");
    TRANSLATE_IN(MODE_SIZE_MASK, MODE_32 | MODE_FLAT | UNITS, 0xc9 /* leave */);
    CHECK_TEXT(behind_check(0), "mov ecx, [rcx+r11*1]", "mov r15w, bp", "lea r11d, [r15+0x04]", "mov r15w, r11w",
               "mov ebp, ecx");

    TEST("with a segment: C makes the address linear");
    TRANSLATE_IN(MODE_SIZE_MASK | MODE_FLAT, MODE_32 | MODE_SS32 | UNITS, 0x50 /* push eax */);
    CHECK_TEXT(hot(0), "lea r11d, [r15-0x04]", "call [vcpu.slow_segment]", "call check_write4", "mov [rcx+r11*1], eax",
               "lea r15d, [r15-0x04]");
}

static void shared(void)
{
    TEST("one check for several pushes");
    TRANSLATE(0x50, 0x53, 0x41, 0x57 /* push rax; push rbx; push r15 */);
    CHECK_TEXT(hot(0), "lea r11, [r15-0x18]", "call check_write24", "mov [vcpu.group[0]], rcx",
               "mov [rcx+r15*1-0x08], rax", "lea r15, [r15-0x08]");
    CHECK_TEXT(hot(1), "mov [rcx+r15*1-0x08], rbx", "lea r15, [r15-0x08]");
    CHECK_TEXT(hot(2), "mov r11, [vcpu.gpr[R15]]", "mov [rcx+r15*1-0x08], r11", "lea r15, [r15-0x08]");
    TRANSLATE(0x41, 0x5e, 0x41, 0x5f, 0x41, 0x57 /* pop r14; pop r15; push r15 */);
    CHECK_TEXT(hot(1), "mov r11, [rcx+r15*1]", "lea r15, [r15+0x08]", "mov [vcpu.gpr[R15]], r11");
    CHECK_TEXT(hot(2), "mov [rcx+r15*1-0x08], r11", "lea r15, [r15-0x08]");
}

static u64 stacked(u64 la)
{
    u64 x;
    memcpy(&x, ram + DATA_GPA + (la - DATA), 8);
    return x;
}

static void running(void)
{
    const u64 top = DATA + 0x800;
    TEST("a push of each kind");
    code_create();
    PUT(0, 0x50, 0x54, 0x41, 0x56, 0x6a, 0xfe /* push rax, rsp, r14, -2 */, 0xff, 0x33 /* push [rbx] */, 0x66, 0x51,
        HLT);
    u64 value = 0x1122334455667788;
    memcpy(ram + DATA_GPA, &value, 8);
    v->gpr[RAX] = 1;
    v->gpr[R14] = 14;
    v->gpr[RBX] = DATA;
    v->gpr[RCX] = 0xabcd;
    v->gpr[RSP] = top;
    CHECK(run(0));
    CHECK_EQ(v->gpr[RSP], top - 42);
    CHECK_EQ(stacked(top - 8), 1);
    CHECK_EQ(stacked(top - 16), top - 8); /* SDM PUSH: the value before */
    CHECK_EQ(stacked(top - 24), 14);
    CHECK_EQ(stacked(top - 32), -2ull);
    CHECK_EQ(stacked(top - 40), value);
    CHECK_EQ((u16)stacked(top - 42), 0xabcd);

    TEST("a pop of each kind");
    code_create();
    PUT(0, 0x66, 0x59 /* pop cx */, 0x58, 0x41, 0x5f, 0x5c /* pop rax, r15, rsp */, HLT);
    for (unsigned i = 0; i < 4; i++) {
        value = i < 3 ? 0x1000 + i : DATA + 0x123;
        memcpy(ram + DATA_GPA + 0x800 + (i ? 2 + (i - 1) * 8 : 0), &value, 8);
    }
    v->gpr[RCX] = ~0ull;
    v->gpr[RSP] = top;
    CHECK(run(0));
    CHECK_EQ(v->gpr[RCX], 0xffffffffffff1000);
    CHECK_EQ(v->gpr[RAX], 0x1001);
    CHECK_EQ(v->gpr[R15], 0x1002);
    CHECK_EQ(v->gpr[RSP], DATA + 0x123); /* SDM POP: what was popped, not incremented */

    TEST("LEAVE");
    code_create();
    PUT(0, 0xc9, HLT);
    v->gpr[RBP] = DATA + 0x400;
    value = 0x5555;
    memcpy(ram + DATA_GPA + 0x400, &value, 8);
    CHECK(run(0));
    CHECK(v->gpr[RSP] == DATA + 0x408 && v->gpr[RBP] == 0x5555);

    TEST("a push that faults changes nothing");
    code_create();
    PUT(0, 0x41, 0x56 /* push r14 */, HLT);
    v->gpr[RSP] = 0x5000;
    CHECK(!run(0));
    CHECK(v->gpr[RSP] == 0x5000 && v->rip == CODE);
    CHECK_EQ(v->cr2, 0x4ff8);
}

int main(void)
{
    pushes();
    pops();
    other_stacks();
    shared();
    running();
    return TEST_END();
}
