/*
 * Copied instructions: how registers are renamed, loaded and stored, what becomes of memory operands, and of encodings
 * that 64-bit mode has otherwise or lacks.
 */
#include "unit/translated.h"

static void registers(void)
{
    TEST("most registers are their own");
    CHECK_TEXT(HOT(1, 0xd8 /* add eax, ebx */), "add eax, ebx");
    CHECK_TEXT(HOT(0x4d, 0x6b, 0xcd, 5 /* imul r9, r13, 5 */), "imul r9, r13, 0x05");
    CHECK_TEXT(HOT(0x0f, 0x28, 0xca /* movaps xmm1, xmm2 */), "movaps xmm1, xmm2");
    CHECK_TEXT(HOT(0x49, 0x0f, 0xca /* bswap r10 */), "bswap r10");

    TEST("RCX and RSP have other homes");
    CHECK_TEXT(HOT(0x48, 1, 0xc8 /* add rax, rcx */), "add rax, r14");
    CHECK_TEXT(HOT(0x89, 0xcc /* mov esp, ecx */), "mov r15d, r14d");
    CHECK_TEXT(HOT(0x40, 0x88, 0xe1 /* mov cl, spl */), "mov r14b, r15b");
    CHECK_TEXT(HOT(0x0f, 0xc9 /* bswap ecx */), "bswap r14d");
    CHECK_TEXT(HOT(0xf2, 0x48, 0x0f, 0x2a, 0xc1 /* cvtsi2sd xmm0, rcx */), "cvtsi2sd xmm0, r14");
    CHECK_TEXT(HOT(0x48, 0x91 /* xchg rcx, rax */), "xchg r14, rax");
    CHECK_TEXT(HOT(0xb9, 0x78, 0x56, 0x34, 0x12 /* mov ecx, 0x12345678 */), "mov r14d, 0x12345678");

    TEST("R11, R14 and R15 are loaded into scratch registers");
    CHECK_TEXT(HOT(0x4c, 1, 0xd8 /* add rax, r11 */), "mov r11, [vcpu.gpr[R11]]", "add rax, r11");
    CHECK_TEXT(HOT(0x4d, 1, 0xfe /* add r14, r15 */), "mov r11, [vcpu.gpr[R14]]", "mov rcx, [vcpu.gpr[R15]]",
               "add r11, rcx", "mov [vcpu.gpr[R14]], r11");
    CHECK_TEXT(HOT(0x49, 0x39, 0xcf /* cmp r15, rcx */), "mov r11, [vcpu.gpr[R15]]", "cmp r11, r14");
    CHECK_TEXT(HOT(0x66, 0x49, 0x0f, 0x6e, 0xc6 /* movq xmm0, r14 */), "mov r11, [vcpu.gpr[R14]]", "movq xmm0, r11");

    TEST("what is overwritten is not loaded");
    CHECK_TEXT(HOT(0x49, 0x89, 0xc6 /* mov r14, rax */), "mov r11, rax", "mov [vcpu.gpr[R14]], r11");
    TRANSLATE(0x67, 0x8d, 0, 0x41, 0x89, 0xc3 /* lea eax, [eax]; mov r11d, eax */);
    CHECK_TEXT(hot(1), "mov r11d, eax", "mov [vcpu.gpr[R11]], r11");
    CHECK_TEXT(HOT(0x44, 0x0f, 0xb6, 0xf8 /* movzx r15d, al */), "movzx r11d, al", "mov [vcpu.gpr[R15]], r11");
    CHECK_TEXT(HOT(0x66, 0x41, 0x89, 0xc3 /* mov r11w, ax */), "mov r11, [vcpu.gpr[R11]]", "mov r11w, ax",
               "mov [vcpu.gpr[R11]], r11");
    CHECK_TEXT(HOT(0x41, 0x88, 0xc3 /* mov r11b, al */), "mov r11, [vcpu.gpr[R11]]", "mov r11b, al",
               "mov [vcpu.gpr[R11]], r11");

    TEST("but BSF and its kin may leave their destination as it is");
    CHECK_TEXT(HOT(0x4c, 0x0f, 0xbc, 0xd8 /* bsf r11, rax */), "mov r11, [vcpu.gpr[R11]]", "bsf r11, rax",
               "mov [vcpu.gpr[R11]], r11");
    CHECK_TEXT(HOT(0xf3, 0x4c, 0x0f, 0xbd, 0xd8 /* lzcnt r11, rax */), "mov r11, [vcpu.gpr[R11]]", "lzcnt r11, rax",
               "mov [vcpu.gpr[R11]], r11");
    CHECK_TEXT(HOT(0xf3, 0x4c, 0x0f, 0xb8, 0xd8 /* popcnt r11, rax */), "popcnt r11, rax", "mov [vcpu.gpr[R11]], r11");

    TEST("three of them: one that is not named is spilled");
    CHECK_TEXT(HOT(0xc4, 0x42, 0x88, 0xf2, 0xdf /* andn r11, r14, r15 */), "mov [vcpu.spill[0]], rsi",
               "mov rcx, [vcpu.gpr[R14]]", "mov rsi, [vcpu.gpr[R15]]", "andn r11, rcx, rsi", "mov rsi, [vcpu.spill[0]]",
               "mov [vcpu.gpr[R11]], r11");
    CHECK_TEXT(HOT(0x4d, 0x0f, 0xa5, 0xfe /* shld r14, r15, cl */), "mov [vcpu.spill[0]], rsi", "mov rcx, r14",
               "mov r11, [vcpu.gpr[R14]]", "mov rsi, [vcpu.gpr[R15]]", "shld r11, rsi, cl", "mov rsi, [vcpu.spill[0]]",
               "mov [vcpu.gpr[R14]], r11");
    CHECK_TEXT(HOT(0xc4, 0x42, 0x8b, 0xf6, 0xdf /* mulx r11, r14, r15 */), "mov [vcpu.spill[0]], rsi",
               "mov rsi, [vcpu.gpr[R15]]", "mulx r11, rcx, rsi", "mov [vcpu.gpr[R11]], r11", "mov [vcpu.gpr[R14]], rcx",
               "mov rsi, [vcpu.spill[0]]");

    TEST("what names RCX gets it in RCX");
    CHECK_TEXT(HOT(0xd3, 0xe0 /* shl eax, cl */), "mov rcx, r14", "shl eax, cl");
    CHECK_TEXT(HOT(0x48, 0xd3, 0xe1 /* shl rcx, cl */), "mov rcx, r14", "shl rcx, cl", "mov r14, rcx");
    CHECK_TEXT(HOT(0x48, 0xd3, 0xd4 /* rcl rsp, cl */), "mov rcx, r14", "rcl r15, cl");
    CHECK_TEXT(HOT(0x49, 0xd3, 0xeb /* shr r11, cl */), "mov rcx, r14", "mov r11, [vcpu.gpr[R11]]", "shr r11, cl",
               "mov [vcpu.gpr[R11]], r11");
    CHECK_TEXT(HOT(0x66, 0x0f, 0x3a, 0x61, 0xc1, 1 /* pcmpestri xmm0, xmm1, 1 */), "mov rcx, r14",
               "pcmpestri xmm0, xmm1, 0x01", "mov r14, rcx");

    TEST("high bytes keep REX away: their registers must be in place");
    CHECK_TEXT(HOT(0x88, 0xcc /* mov ah, cl */), "mov rcx, r14", "mov ah, cl");
    CHECK_TEXT(HOT(0, 0xdd /* add ch, bl */), "mov rcx, r14", "add ch, bl", "mov r14, rcx");
    CHECK_TEXT(HOT(0x88, 0xee /* mov dh, ch */), "mov rcx, r14", "mov dh, ch");
    CHECK_TEXT(HOT(0x86, 0xfc /* xchg ah, bh */), "xchg ah, bh");

    TEST("what r11 holds is not loaded again");
    TRANSLATE(0x49, 1, 0xc6, 0x49, 1, 0xde /* add r14, rax; add r14, rbx */);
    CHECK_TEXT(hot(0), "mov r11, [vcpu.gpr[R14]]", "add r11, rax");
    CHECK_TEXT(hot(1), "add r11, rbx", "mov [vcpu.gpr[R14]], r11");
    TRANSLATE(0x49, 1, 0xc6, 0x49, 1, 0xdf /* add r14, rax; add r15, rbx */);
    CHECK_TEXT(hot(1), "mov [vcpu.gpr[R14]], r11", "mov r11, [vcpu.gpr[R15]]", "add r11, rbx",
               "mov [vcpu.gpr[R15]], r11");
    TRANSLATE(0x49, 1, 0xc6, 0x66, 0x49, 0x0f, 0x6e, 0xc6 /* add r14, rax; movq xmm0, r14 */);
    CHECK_TEXT(hot(0), "mov r11, [vcpu.gpr[R14]]", "add r11, rax", "mov [vcpu.gpr[R14]], r11");
    CHECK_TEXT(hot(1), "movq xmm0, r11");
}

static void operands(void)
{
    TEST("the operand is a register and the difference in rcx");
    CHECK_TEXT(BODY(0x48, 0x8b, 0x43, 8 /* mov rax, [rbx+8] */), "mov rax, [rcx+rbx*1+0x08]");
    CHECK_TEXT(BODY(0x48, 1, 0x83, 0, 0x10, 0, 0 /* add [rbx+0x1000], rax */), "add [rcx+rbx*1+0x1000], rax");
    CHECK_TEXT(BODY(0xc6, 6, 5 /* mov byte ptr [rsi], 5 */), "mov byte ptr [rcx+rsi*1], 0x05");
    CHECK_TEXT(BODY(0x69, 0x0f, 0x23, 1, 0, 0 /* imul ecx, [rdi], 0x123 */), "imul r14d, [rcx+rdi*1], 0x123");
    CHECK_TEXT(BODY(0x44, 0x0f, 0x28, 0x0a /* movaps xmm9, [rdx] */), "movaps xmm9, [rcx+rdx*1]");
    CHECK_TEXT(BODY(0xc4, 0xc1, 0x6c, 0x58, 0x49, 0x20 /* vaddps ymm1, ymm2, [r9+32] */),
               "vaddps ymm1, ymm2, [rcx+r9*1+0x20]");

    TEST("computed addresses are in r11");
    CHECK_TEXT(BODY(0x48, 0x8b, 0x44, 0x8b, 8 /* mov rax, [rbx+rcx*4+8] */), "mov rax, [rcx+r11*1]");
    CHECK_TEXT(BODY(0x41, 0x8b, 4, 0x13 /* mov eax, [r11+rdx] */), "mov eax, [rcx+r11*1]");
    CHECK_TEXT(BODY(0x64, 0x48, 0x8b, 4, 0x25, 0x28, 0, 0, 0 /* mov rax, fs:[0x28] */), "mov rax, [rcx+r11*1]");
    CHECK_TEXT(BODY(0x48, 0x8b, 5, 0, 1, 0, 0 /* mov rax, [rip+0x100] */), "mov rax, [rcx+r11*1]");

    TEST("with a register that is loaded into r11; without r11 there is a register for the pointer");
    CHECK_TEXT(BODY(0x4c, 3, 0x33 /* add r14, [rbx] */), "mov r11, [vcpu.gpr[R14]]", "add r11, [rcx+rbx*1]",
               "mov [vcpu.gpr[R14]], r11");
    CHECK_TEXT(BODY(0x4c, 0x89, 0x7b, 8 /* mov [rbx+8], r15 */), "mov r11, [vcpu.gpr[R15]]",
               "mov [rcx+rbx*1+0x08], r11");
    CHECK_TEXT(BODY(0x4c, 0x0f, 0xc1, 0x1b /* xadd [rbx], r11 */), "mov r11, [vcpu.gpr[R11]]", "xadd [rcx+rbx*1], r11",
               "mov [vcpu.gpr[R11]], r11");
    CHECK_TEXT(BODY(0x4d, 0x8b, 0x3e /* mov r15, [r14] */), "lea rcx, [rcx+r11*1]", "mov r11, [rcx]",
               "mov [vcpu.gpr[R15]], r11");

    TEST("with RCX or a high byte there is another one");
    CHECK_TEXT(BODY(0xd3, 0x23 /* shl dword ptr [rbx], cl */), "lea r11, [rcx+rbx*1]", "mov rcx, r14",
               "shl dword ptr [r11], cl");
    CHECK_TEXT(BODY(0x8a, 0x23 /* mov ah, [rbx] */), "lea rcx, [rcx+rbx*1]", "mov ah, [rcx]");
    CHECK_TEXT(BODY(0, 0x29 /* add [rcx], ch */), "mov [vcpu.spill[0]], rsi", "lea rsi, [rcx+r14*1]", "mov rcx, r14",
               "add [rsi], ch", "mov rsi, [vcpu.spill[0]]");
    CHECK_TEXT(BODY(0x0f, 0xc7, 0x0f /* cmpxchg8b [rdi] */), "lea r11, [rcx+rdi*1]", "mov rcx, r14", "cmpxchg8b [r11]");
    CHECK_TEXT(BODY(0x4d, 0x8b, 0x37 /* mov r14, [r15] */), "lea rcx, [rcx+r11*1]", "mov r11, [rcx]",
               "mov [vcpu.gpr[R14]], r11");

    TEST("EVEX displacements are scaled, so there is none");
    CHECK_TEXT(BODY(0x62, 0xf1, 0x6c, 0x48, 0x58, 0x4b, 1 /* vaddps zmm1, zmm2, [rbx+64] */),
               "lea rcx, [rcx+rbx*1+0x40]", "vaddps zmm1, zmm2, [rcx]");
    CHECK_TEXT(BODY(0x62, 0xe1, 0x6c, 0x41, 0x58, 0x0b /* vaddps zmm17{k1}, zmm18, [rbx] */),
               "vaddps zmm17 {k1}, zmm18, [rcx+rbx*1]");
    CHECK_TEXT(BODY(0x62, 0x61, 0x7f, 0x4a, 0x7f, 0x39 /* vmovdqu8 [rcx]{k2}, zmm31 */),
               "vmovdqu8 zmmword ptr [rcx+r14*1] {k2}, zmm31");

    TEST("prefixes stay, segments do not");
    CHECK_TEXT(BODY(0xf0, 1, 3 /* lock add [rbx], eax */), "lock add [rcx+rbx*1], eax");
    CHECK_TEXT(BODY(0x66, 0x87, 3 /* xchg [rbx], ax */), "xchg [rcx+rbx*1], ax");
    CHECK_TEXT(BODY(0x3e, 0x8b, 3 /* mov eax, ds:[rbx] */), "mov eax, [rcx+rbx*1]");
    CHECK_TEXT(BODY(0xf3, 0x0f, 0x58, 3 /* addss xmm0, [rbx] */), "addss xmm0, [rcx+rbx*1]");
}

static void cold_part(void)
{
    TEST("a load comes back");
    TRANSLATE(0x48, 0x8b, 0x43, 8 /* mov rax, [rbx+8] */);
    CHECK_TEXT(cold(), "site");
    TRANSLATE(0x48, 0x8b, 4, 0x0b /* mov rax, [rbx+rcx] */);
    CHECK_TEXT(cold(), "site");

    CHECK_START(LOOP(0x48, 0x8b, 4, 0x0b /* mov rax, [rbx+rcx] */), "lea r11, [rbx+r14*1]");
    CHECK_START(cold(), "call [vcpu.slow_mem]");

    TEST("a store is done in the cold part");
    LOOP(0x48, 0x89, 3 /* mov [rbx], rax */);
    CHECK_START(cold(), "mov r11, rbx", "call [vcpu.slow_mem]", "mov [rcx+rbx*1], rax", "call [vcpu.slow_done]");
    TRANSLATE(0x48, 0x89, 3 /* mov [rbx], rax */);
    CHECK_TEXT(cold(), "site", "mov [rcx+rbx*1], rax", "call [vcpu.slow_done]");
    TRANSLATE(0x4c, 1, 0x33 /* add [rbx], r14 */);
    CHECK_TEXT(cold(), "site", "mov r11, [vcpu.gpr[R14]]", "add [rcx+rbx*1], r11", "call [vcpu.slow_done]");
}

static void encodings(void)
{
    TEST("16-bit code: the operand-size prefix turns round");
    CHECK_TEXT(HOT16(1, 0xd8 /* add ax, bx */), "add ax, bx");
    CHECK_TEXT(HOT16(0x66, 1, 0xd8 /* add eax, ebx */), "add eax, ebx");
    CHECK_TEXT(HOT16(0, 0xd8 /* add al, bl */), "add al, bl");
    CHECK_TEXT(HOT16(0xb8, 0x34, 0x12 /* mov ax, 0x1234 */), "mov ax, 0x1234");
    CHECK_TEXT(HOT16(0x66, 0x0f, 0xaf, 0xc3 /* imul eax, ebx */), "imul eax, ebx");
    CHECK_TEXT(HOT16(0x66, 0x0f, 0x28, 0xc1 /* movapd xmm0, xmm1 */), "movapd xmm0, xmm1");
    CHECK_TEXT(HOT16(0x0f, 0x28, 0xc1 /* movaps xmm0, xmm1 */), "movaps xmm0, xmm1");
    CHECK_TEXT(HOT16(0xd9, 0xe8 /* fld1 */), "fld1");

    TEST("INC and DEC of legacy modes");
    CHECK_TEXT(HOT32(0x41 /* inc ecx */), "inc r14d");
    CHECK_TEXT(HOT32(0x4b /* dec ebx */), "dec ebx");
    CHECK_TEXT(HOT32(0x66, 0x4c /* dec sp */), "dec r15w");

    TEST("MOV with an offset");
    CHECK_TEXT(BODY32(0xa1, 0, 0x10, 0, 0 /* mov eax, [0x1000] */), "mov eax, [rcx+r11*1]");
    CHECK_TEXT(BODY32(0xa2, 0, 0x10, 0, 0 /* mov [0x1000], al */), "mov [rcx+r11*1], al");
    CHECK_TEXT(BODY(0xa0, 1, 2, 3, 4, 5, 6, 7, 0 /* mov al, [0x7060504030201] */), "mov al, [rcx+r11*1]");

    TEST("an alias of group 1");
    CHECK_TEXT(HOT32(0x82, 0xc3, 5 /* add bl, 5 */), "add bl, 0x05");

    TEST("VEX with two bytes becomes three");
    CHECK_TEXT(HOT(0xc5, 0xf8, 0x58, 0xc1 /* vaddps xmm0, xmm0, xmm1 */), "vaddps xmm0, xmm0, xmm1");
    CHECK_TEXT(HOT(0xc4, 0xe2, 0x70, 0xf2, 0xc2 /* andn eax, ecx, edx */), "andn eax, r14d, edx");
    CHECK_TEXT(BODY(0xc4, 0xe2, 0xf0, 0xf7, 3 /* bextr rax, [rbx], rcx */), "bextr rax, [rcx+rbx*1], r14");
    CHECK_TEXT(HOT(0xc4, 0xe3, 0xfb, 0xf0, 0xe1, 7 /* rorx rsp, rcx, 7 */), "rorx r15, r14, 0x07");
}

/* The registers after a run are those of the guest, whatever lay where. */
static void running(void)
{
    TEST("spilled and loaded registers come back");
    code_create();
    PUT(0, 0xc4, 0x42, 0x88, 0xf2, 0xdf /* andn r11, r14, r15 */, HLT);
    v->gpr[RSI] = 0x1234;
    v->gpr[R14] = 0x0f;
    v->gpr[R15] = 0x3c;
    CHECK(run(0));
    CHECK_EQ(v->gpr[R11], 0x30);
    CHECK_EQ(v->gpr[R14], 0x0f);
    CHECK_EQ(v->gpr[RSI], 0x1234);

    TEST("high bytes");
    code_create();
    PUT(0, 0x00, 0xdd /* add ch, bl */, 0x88, 0xec /* mov ah, ch */, HLT);
    v->gpr[RCX] = 0x1122;
    v->gpr[RBX] = 5;
    CHECK(run(0));
    CHECK_EQ(v->gpr[RCX], 0x1622);
    CHECK_EQ(v->gpr[RAX], 0x1600);

    TEST("what r11 holds is in the vCPU when a later instruction faults");
    code_create();
    PUT(0, 0x49, 0x01, 0xc6 /* add r14, rax */, 0x49, 0x01, 0xc6 /* add r14, rax */, 0x48, 0x8b,
        0x1b /* mov rbx, [rbx] */, HLT);
    v->gpr[RAX] = 3;
    v->gpr[R14] = 100;
    v->gpr[RBX] = 0x5000;
    CHECK(!run(0));
    CHECK_EQ(v->gpr[R14], 106);
    CHECK_EQ(v->rip, CODE + 6);

    TEST("a store over a page end is done in the cold part");
    code_create();
    PUT(0, 0x4c, 0x01, 0x33 /* add [rbx], r14 */, HLT);
    memset(ram + DATA_GPA + PAGE_SIZE - 4, 0x11, 8);
    v->gpr[RBX] = DATA + PAGE_SIZE - 4;
    v->gpr[R14] = 0x1000000000000001;
    CHECK(run(0));
    u64 sum;
    memcpy(&sum, ram + DATA_GPA + PAGE_SIZE - 4, 8);
    CHECK_EQ(sum, 0x2111111111111112);
    CHECK_EQ(v->stat[STAT_BOUNCE], 1);

    TEST("so is a read-modify-write of a device");
    code_create();
    PUT(0, 0x83, 0x03, 1 /* add dword ptr [rbx], 1 */, HLT);
    map(DATA, 0xf0000000 | P | W | U);
    v->gpr[RBX] = DATA;
    device.reads = device.writes = 0;
    CHECK(run(0));
    CHECK(device.reads == 1 && device.writes == 1 && device.size == 4);
    CHECK_EQ(device.value, 0x55667789);
}

int main(void)
{
    registers();
    operands();
    cold_part();
    encodings();
    running();
    return TEST_END();
}
