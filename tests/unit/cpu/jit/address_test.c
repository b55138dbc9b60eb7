/*
 * LEA, XLAT and bit strings: what the translator emits for each, and that a bit string is found on both sides of its
 * address.
 */
#include "unit/translated.h"

static void lea(void)
{
    TEST("one LEA between host registers");
    CHECK_TEXT(HOT(0x48, 0x8d, 0x44, 0x8b, 8 /* lea rax, [rbx+rcx*4+8] */), "lea rax, [rbx+r14*4+0x08]");
    CHECK_TEXT(HOT(0x48, 0x8d, 0x4c, 0x24, 0xf0 /* lea rcx, [rsp-16] */), "lea r14, [r15-0x10]");
    CHECK_TEXT(HOT(0x8d, 3 /* lea eax, [rbx] */), "lea eax, [rbx]");
    CHECK_TEXT(HOT(0x67, 0x48, 0x8d, 3 /* lea rax, [ebx] */), "lea eax, [rbx]");
    CHECK_TEXT(HOT(0x48, 0x8d, 5, 0, 1, 0, 0 /* lea rax, [rip+0x100] */), "mov rax, [vcpu.page_la]",
               "lea rax, [rax+0x107]");
    CHECK_TEXT(HOT(0x64, 0x48, 0x8d, 3 /* lea rax, fs:[rbx] */), "lea rax, [rbx]");
    CHECK_TEXT(HOT(0x48, 0x8d, 4, 0x25, 0x34, 0x12, 0, 0 /* lea rax, [0x1234] */), "mov eax, 0x1234");

    TEST("registers without a home");
    CHECK_TEXT(HOT(0x4c, 0x8d, 0x5b, 8 /* lea r11, [rbx+8] */), "lea r11, [rbx+0x08]", "mov [vcpu.gpr[R11]], r11");
    CHECK_TEXT(HOT(0x4b, 0x8d, 4, 0x7e /* lea rax, [r14+r15*2] */), "mov r11, [vcpu.gpr[R14]]",
               "mov rcx, [vcpu.gpr[R15]]", "lea rax, [r11+rcx*2]");
    CHECK_TEXT(HOT(0x45, 0x8d, 0x73, 4 /* lea r14d, [r11+4] */), "mov r11, [vcpu.gpr[R11]]", "lea r11, [r11+0x04]",
               "mov r11d, r11d", "mov [vcpu.gpr[R14]], r11");

    TEST("16 bits");
    CHECK_TEXT(HOT(0x66, 0x8d, 0x43, 8 /* lea ax, [rbx+8] */), "lea r11, [rbx+0x08]", "mov ax, r11w");
    CHECK_TEXT(HOT(0x66, 0x45, 0x8d, 0x73, 8 /* lea r14w, [r11+8] */), "mov r11, [vcpu.gpr[R11]]",
               "lea r11, [r11+0x08]", "mov [vcpu.gpr[R14]], r11w");
    CHECK_TEXT(HOT32(0x67, 0x8d, 0x47, 8 /* lea eax, [bx+8] */), "lea r11d, [rbx+0x08]", "movzx r11d, r11w",
               "mov eax, r11d");
}

static void xlat(void)
{
    TEST("XLAT adds AL to RBX");
    CHECK_TEXT(HOT(0xd7 /* xlatb */), "movzx ecx, al", "lea r11, [rbx+rcx*1]", "call check_read1",
               "mov al, [rcx+r11*1]");
    CHECK_TEXT(HOT32(0x67, 0xd7 /* xlat [bx] */), "movzx ecx, al", "lea r11d, [rbx+rcx*1]", "movzx r11d, r11w",
               "call check_read1", "mov al, [rcx+r11*1]");
    CHECK_TEXT(HOT(0x64, 0xd7 /* xlat fs:[rbx] */), "movzx ecx, al", "lea r11, [rbx+rcx*1]",
               "mov rcx, [vcpu.seg[SEG_FS].base]", "lea r11, [r11+rcx*1]", "call check_read1", "mov al, [rcx+r11*1]");
    TRANSLATE_IN(MODE_SIZE_MASK | MODE_FLAT, MODE_32 | MODE_SS32 | UNITS, 0xd7 /* xlat */);
    CHECK_TEXT(hot(0), "movzx ecx, al", "lea r11d, [rbx+rcx*1]", "call [vcpu.slow_segment]", "call check_read1",
               "mov al, [rcx+r11*1]");
}

static void bits(void)
{
    TEST("a bit of a register is copied");
    CHECK_TEXT(HOT(0x0f, 0xa3, 0xc8 /* bt eax, ecx */), "bt eax, r14d");
    CHECK_TEXT(HOT(0x48, 0x0f, 0xba, 0xe8, 5 /* bts rax, 5 */), "bts rax, 0x05");

    TEST("a constant bit of memory, too");
    CHECK_TEXT(BODY(0x0f, 0xba, 0x2b, 5 /* bts dword ptr [rbx], 5 */), "bts dword ptr [rcx+rbx*1], 0x05");

    TEST("a register moves the address by operands");
    CHECK_TEXT(HOT(0x48, 0x0f, 0xa3, 3 /* bt [rbx], rax */), "mov r11, rbx", "mov [vcpu.spill[1]], r11",
               "mov ecx, 0x06", "sarx rcx, rax, rcx", "mov r11, [vcpu.spill[1]]", "lea r11, [r11+rcx*8]",
               "call check_read8", "lea rcx, [rcx+r11*1]", "pext r11, rax, [vcpu.bit_mask[2]]", "bt [rcx], r11");
    CHECK_TEXT(HOT(0x0f, 0xab, 3 /* bts [rbx], eax */), "mov r11, rbx", "mov [vcpu.spill[1]], r11", "mov ecx, 0x05",
               "sarx ecx, eax, ecx", "movsxd rcx, ecx", "mov r11, [vcpu.spill[1]]", "lea r11, [r11+rcx*4]",
               "call check_write4", "lea rcx, [rcx+r11*1]", "pext r11, rax, [vcpu.bit_mask[1]]", "bts [rcx], r11d");
    CHECK_TEXT(HOT(0x66, 0x0f, 0xb3, 3 /* btr [rbx], ax */), "mov r11, rbx", "mov [vcpu.spill[1]], r11",
               "movsx r11d, ax", "mov ecx, 0x04", "sarx ecx, r11d, ecx", "movsxd rcx, ecx", "mov r11, [vcpu.spill[1]]",
               "lea r11, [r11+rcx*2]", "call check_write2", "lea rcx, [rcx+r11*1]", "pext r11, rax, [vcpu.bit_mask[0]]",
               "btr [rcx], r11w");

    TEST("with everything that can be in the way");
    CHECK_TEXT(HOT(0xf0, 0x64, 0x4c, 0x0f, 0xbb, 0x7b, 8 /* lock btc fs:[rbx+8], r15 */), "lea r11, [rbx+0x08]",
               "mov [vcpu.spill[1]], r11", "mov r11, [vcpu.gpr[R15]]", "mov ecx, 0x06", "sarx rcx, r11, rcx",
               "mov r11, [vcpu.spill[1]]", "lea r11, [r11+rcx*8]", "mov rcx, [vcpu.seg[SEG_FS].base]",
               "lea r11, [r11+rcx*1]", "call check_write8", "lea rcx, [rcx+r11*1]", "mov r11, [vcpu.gpr[R15]]",
               "pext r11, r11, [vcpu.bit_mask[2]]", "lock btc [rcx], r11");
}

static void running(void)
{
    TEST("XLAT");
    code_create();
    PUT(0, 0xd7, HLT);
    ram[DATA_GPA + 0x85] = 0x77;
    v->gpr[RBX] = DATA;
    v->gpr[RAX] = 0x1285;
    CHECK(run(0));
    CHECK_EQ(v->gpr[RAX], 0x1277);

    TEST("bit strings: offsets are signed");
    static const s64 offsets[] = {0, 5, 63, 64, 1000, -1, -64, -65, -1000};
    for (unsigned i = 0; i < ARRAY_LEN(offsets); i++) {
        code_create();
        PUT(0, 0x48, 0x0f, 0xab, 3 /* bts [rbx], rax */, HLT);
        v->gpr[RBX] = DATA + 0x800;
        v->gpr[RAX] = (u64)offsets[i];
        v->arith = 0x100; /* CF */
        CHECK(run(0));
        CHECK(!(v->arith & 0x100));
        s64 bit = 0x800 * 8 + offsets[i];
        CHECK_EQ(ram[DATA_GPA + bit / 8], 1 << bit % 8);
        CHECK(run(0));
        CHECK(v->arith & 0x100);
    }

    TEST("by the operand size");
    code_create();
    PUT(0, 0x66, 0x0f, 0xab, 3 /* bts [rbx], ax */, HLT);
    v->gpr[RBX] = DATA + 0x800;
    v->gpr[RAX] = 0x5ffff; /* AX is -1 */
    CHECK(run(0));
    CHECK_EQ(ram[DATA_GPA + 0x7ff], 0x80);
}

int main(void)
{
    lea();
    xlat();
    bits();
    running();
    return TEST_END();
}
