/*
 * Memory operands: addresses, the TLB check, the direct tags, and one check for several accesses.
 */
#include "unit/translated.h"

static void addresses(void)
{
    TEST("a register, with a constant");
    CHECK_TEXT(HOT(0x48, 0x8b, 3 /* mov rax, [rbx] */), "mov r11, rbx", "call check_read8", "mov rax, [rcx+rbx*1]");
    CHECK_TEXT(HOT(0x48, 0x8b, 0x43, 8 /* mov rax, [rbx+8] */), "lea r11, [rbx+0x08]", "call check_read8",
               "mov rax, [rcx+rbx*1+0x08]");

    TEST("what a LEA computes");
    CHECK_TEXT(HOT(0x48, 0x8b, 0x44, 0x8b, 8 /* mov rax, [rbx+rcx*4+8] */), "lea r11, [rbx+r14*4+0x08]",
               "call check_read8", "mov rax, [rcx+r11*1]");
    CHECK_TEXT(HOT(0x4b, 0x8b, 4, 0x7e /* mov rax, [r14+r15*2] */), "mov r11, [vcpu.gpr[R14]]",
               "mov rcx, [vcpu.gpr[R15]]", "lea r11, [r11+rcx*2]", "call check_read8", "mov rax, [rcx+r11*1]");
    CHECK_TEXT(HOT(0x67, 0x48, 0x8b, 3 /* mov rax, [ebx] */), "lea r11d, [rbx]", "call check_read8",
               "mov rax, [rcx+r11*1]");

    TEST("from the position of the block");
    CHECK_TEXT(HOT(0x48, 0x8b, 5, 0, 1, 0, 0 /* mov rax, [rip+0x100] */), "mov r11, [vcpu.page_la]",
               "lea r11, [r11+0x107]", "call check_read8", "mov rax, [rcx+r11*1]");

    TEST("as far as RIP reaches: in two steps, if it takes more than a displacement");
    CHECK_START(HOT(0x48, 0x8b, 5, 0xff, 0xff, 0xff, 0x7f /* mov rax, [rip+2 GiB-1] */), "mov r11, [vcpu.page_la]",
                "lea r11, [r11+0x40000003]", "lea r11, [r11+0x40000003]", "call check_read8");
    CHECK_START(HOT(0x67, 0x48, 0x8b, 5, 0xff, 0xff, 0xff, 0x7f /* mov rax, [eip+2 GiB-1] */),
                "mov r11, [vcpu.page_la]", "lea r11d, [r11-0x7FFFFFF9]", "call check_read8");

    TEST("with the base of FS");
    CHECK_TEXT(HOT(0x64, 0x48, 0x8b, 3 /* mov rax, fs:[rbx] */), "mov r11, [vcpu.seg[SEG_FS].base]",
               "lea r11, [r11+rbx*1]", "call check_read8", "mov rax, [rcx+r11*1]");

    TEST("16 bits");
    CHECK_TEXT(HOT32(0x67, 0x8b, 0x40, 8 /* mov eax, [bx+si+8] */), "lea r11d, [rbx+rsi*1+0x08]", "movzx r11d, r11w",
               "call check_read4", "mov eax, [rcx+r11*1]");

    TEST("with a segment: C makes the address linear");
    TRANSLATE_IN(MODE_SIZE_MASK | MODE_FLAT, MODE_32 | MODE_SS32 | UNITS, 0x8b, 3 /* mov eax, [ebx] */);
    CHECK_TEXT(hot(0), "lea r11d, [rbx]", "call [vcpu.slow_segment]", "call check_read4", "mov eax, [rcx+r11*1]");
}

static void loops(void)
{
    TEST("in a loop the check is part of the block: an address in a register saves making the index twice");
    CHECK_TEXT(LOOP(0x48, 0x8b, 3 /* mov rax, [rbx] */), "pext r11, rbx, [vcpu.tlb_mask]", "mov rcx, gs:rtag[r11*8]",
               "lea rcx, [rcx+rbx*1+0x07]", "shrx rcx, rcx, rsp", "jrcxz #6", "jmp cold", "mov rcx, gs:radd[r11*8]",
               "mov rax, [rcx+rbx*1]");
    CHECK_TEXT(cold(), "mov r11, rbx", "call [vcpu.slow_mem]", "mov ecx, 0x00", "jmp [vcpu.leave_request]");
    CHECK_TEXT(LOOP(0x48, 0x8b, 0x43, 8 /* mov rax, [rbx+8] */), "lea r11, [rbx+0x08]",
               "pext r11, r11, [vcpu.tlb_mask]", "mov rcx, gs:rtag[r11*8]", "lea rcx, [rcx+rbx*1+0x0F]",
               "shrx rcx, rcx, rsp", "jrcxz #7", "jmp cold", "mov rcx, gs:radd[r11*8]", "mov rax, [rcx+rbx*1+0x08]");
    CHECK_TEXT(cold(), "lea r11, [rbx+0x08]", "call [vcpu.slow_mem]", "mov ecx, 0x00", "jmp [vcpu.leave_request]");
    CHECK_TEXT(LOOP(0x50 /* push rax */), "lea r11, [r15-0x08]", "pext r11, r11, [vcpu.tlb_mask]",
               "mov rcx, gs:wtag[r11*8]", "lea rcx, [rcx+r15*1-0x01]", "shrx rcx, rcx, rsp", "jrcxz #7", "jmp cold",
               "mov rcx, gs:wadd[r11*8]", "mov [rcx+r15*1-0x08], rax", "lea r15, [r15-0x08]");
    CHECK_TEXT(cold(), "lea r11, [r15-0x08]", "call [vcpu.slow_mem]", "mov [rcx+r15*1-0x08], rax",
               "lea r15, [r15-0x08]", "call [vcpu.slow_done]", "mov ecx, 0x00", "jmp [vcpu.leave_request]");

    TEST("what a LEA computes");
    CHECK_TEXT(LOOP(0x48, 0x8b, 0x44, 0x8b, 8 /* mov rax, [rbx+rcx*4+8] */), "lea r11, [rbx+r14*4+0x08]",
               "pext rcx, r11, [vcpu.tlb_mask]", "mov rcx, gs:rtag[rcx*8]", "lea rcx, [rcx+r11*1+0x07]",
               "shrx rcx, rcx, rsp", "jrcxz #7", "jmp cold", "pext rcx, r11, [vcpu.tlb_mask]",
               "mov rcx, gs:radd[rcx*8]", "mov rax, [rcx+r11*1]");
    CHECK_TEXT(cold(), "call [vcpu.slow_mem]", "mov ecx, 0x00", "jmp [vcpu.leave_request]");
    CHECK_TEXT(LOOP(0x64, 0x89, 3 /* mov fs:[rbx], eax */), "mov r11, [vcpu.seg[SEG_FS].base]", "lea r11, [r11+rbx*1]",
               "pext rcx, r11, [vcpu.tlb_mask]", "mov rcx, gs:wtag[rcx*8]", "lea rcx, [rcx+r11*1+0x03]",
               "shrx rcx, rcx, rsp", "jrcxz #8", "jmp cold", "pext rcx, r11, [vcpu.tlb_mask]",
               "mov rcx, gs:wadd[rcx*8]", "mov [rcx+r11*1], eax");

    TEST("what is in front of the loop or behind it has a shared one");
    TRANSLATE(0x8b, 6, 0x8b, 3, 0x75, 0xfc /* jnz to the second */, 0x8b, 3 /* mov eax, [rbx] */);
    CHECK_START(hot(0), "mov r11, rsi", "call check_read4");
    CHECK_START(hot(1), "pext r11, rbx, [vcpu.tlb_mask]");
    CHECK_START(hot(3), "mov rcx, [vcpu.group[0]]");
}

static void sizes(void)
{
    TEST("sizes of up to 4 bytes, and of whole quadwords, have shared checks");
    CHECK_START(HOT(0x8a, 3 /* mov al, [rbx] */), "mov r11, rbx", "call check_read1");
    CHECK_START(HOT(0x66, 0x89, 3 /* mov [rbx], ax */), "mov r11, rbx", "call check_write2");
    CHECK_START(HOT(1, 3 /* add [rbx], eax */), "mov r11, rbx", "call check_write4");
    CHECK_START(HOT(0x0f, 0x28, 3 /* movaps xmm0, [rbx] */), "mov r11, rbx", "call check_read16");
    CHECK_START(HOT(0xc5, 0xfc, 0x11, 3 /* vmovups [rbx], ymm0 */), "mov r11, rbx", "call check_write32");
    CHECK_START(HOT(0x62, 0xf1, 0x7c, 0x48, 0x10, 3 /* vmovups zmm0, [rbx] */), "mov r11, rbx", "call check_read64");

    TEST("others do not");
    CHECK_START(HOT(0xdb, 0x2b /* fld tbyte ptr [rbx] */), "pext r11, rbx, [vcpu.tlb_mask]", "mov rcx, gs:rtag[r11*8]",
                "lea rcx, [rcx+rbx*1+0x09]", "shrx rcx, rcx, rsp", "jrcxz #6", "jmp cold", "mov rcx, gs:radd[r11*8]");
    CHECK_START(cold(), "mov r11, rbx", "call [vcpu.slow_mem]");
}

/* The context that the code is fetched in has pages enough with one difference. */
static void direct_create(void)
{
    code_create();
    CHECK(mmu_fetch(v, CODE, &(gpa_t){0}) == CPU_OK);
    v->tlb->votes = DIRECT_SURE;
}

static void direct_tags(void)
{
    TEST("direct tags");
    direct_create();
    PUT(0, 0x48, 0x8b, 0x43, 8 /* mov rax, [rbx+8] */, HLT);
    translated_in(0, UNITS);
    CHECK_TEXT(hot(0), "lea r11, [rbx+0x08]", "call check_read8_direct", "mov rax, [rcx+rbx*1+0x08]");
    CHECK_TEXT(cold(), "site");

    TEST("those of loops: the ordinary ones are tried in the cold part");
    direct_create();
    PUT(0, 0x48, 0x8b, 0x43, 8 /* mov rax, [rbx+8] */, BACK(1, 2, 3, 4), HLT);
    translated_in(0, UNITS);
    CHECK_TEXT(hot(0), "lea r11, [rbx+0x08]", "pext rcx, r11, [vcpu.tlb_mask]", "mov rcx, gs:dtag[rcx*8]",
               "lea rcx, [rcx+rbx*1+0x0F]", "shrx rcx, rcx, rsp", "jrcxz #7", "jmp cold", "mov rcx, [vcpu.direct]",
               "mov rax, [rcx+rbx*1+0x08]");
    CHECK_TEXT(cold(), "pext rcx, r11, [vcpu.tlb_mask]", "mov rcx, gs:rtag[rcx*8]", "lea rcx, [rcx+r11*1+0x07]",
               "shrx rcx, rcx, rsp", "jrcxz #6", "jmp #9", "pext rcx, r11, [vcpu.tlb_mask]", "mov rcx, gs:radd[rcx*8]",
               "jmp hot", "call [vcpu.slow_mem]", "mov ecx, 0x00", "jmp [vcpu.leave_request]");

    TEST("no direct tags for the stack, variables and FS");
    static const u8 others[3][8] = {{0x50 /* push rax */, HLT},
                                    {0x48, 0x8b, 5, 0, 1, 0, 0 /* mov rax, [rip+0x100] */, HLT},
                                    {0x64, 0x48, 0x8b, 3 /* mov rax, fs:[rbx] */, HLT}};
    for (unsigned i = 0; i < 3; i++) {
        direct_create();
        put_code(0, others[i], sizeof others[i]);
        translated_in(0, UNITS);
        for (unsigned k = 0; k < hot(0)->n; k++)
            CHECK(!strstr(hot(0)->line[k], "direct") && !strstr(hot(0)->line[k], "gs:d"));
    }

    TEST("no direct tags for user code");
    direct_create();
    PUT(0, 0x48, 0x8b, 3 /* mov rax, [rbx] */, HLT);
    translated_in(0, UNITS | MODE_USER);
    CHECK_START(hot(0), "mov r11, rbx", "call check_read8");
    v->tlb->votes = 0;
}

static void groups(void)
{
    TEST("the first of a group checks the window, and leaves for its twin if only that fails");
    TRANSLATE(0x48, 0x8b, 0x43, 8 /* mov rax, [rbx+8] */, 0x48, 0x8b, 0x53, 0x10 /* mov rdx, [rbx+16] */, 0x48, 0x8b,
              0x73, 0 /* mov rsi, [rbx] */);
    CHECK_TEXT(hot(0), "mov r11, rbx", "call check_read24", "mov [vcpu.group[0]], rcx", "mov rax, [rcx+rbx*1+0x08]");
    CHECK_TEXT(hot(1), "mov rdx, [rcx+rbx*1+0x10]");
    CHECK_TEXT(hot(2), "mov rsi, [rcx+rbx*1]");
    CHECK_TEXT(cold(), "site", "jmp #2", "mov rcx, link 0", "jmp [vcpu.leave_chain]");

    TEST("in a loop of just so many bytes, and tries the access by itself in the cold part");
    TRANSLATE(0x48, 0x8b, 0x43, 8 /* mov rax, [rbx+8] */, 0x48, 0x8b, 0x53, 0x10 /* mov rdx, [rbx+16] */, 0x48, 0x8b,
              0x73, 0 /* mov rsi, [rbx] */, 0xeb, 0xf2 /* jmp back */);
    CHECK_TEXT(hot(0), "pext r11, rbx, [vcpu.tlb_mask]", "mov rcx, gs:rtag[r11*8]", "lea rcx, [rcx+rbx*1+0x17]",
               "shrx rcx, rcx, rsp", "jrcxz #6", "jmp cold", "mov rcx, gs:radd[r11*8]", "mov [vcpu.group[0]], rcx",
               "mov rax, [rcx+rbx*1+0x08]");
    CHECK_TEXT(cold(), "mov r11, rbx", "lea r11, [r11+0x08]", "pext rcx, r11, [vcpu.tlb_mask]",
               "mov rcx, gs:rtag[rcx*8]", "lea rcx, [rcx+r11*1+0x07]", "shrx rcx, rcx, rsp", "jrcxz #8",
               "call [vcpu.slow_mem]", "jmp #9", "mov rcx, link 0", "jmp [vcpu.leave_chain]", "mov ecx, 0x00",
               "jmp [vcpu.leave_request]");

    TEST("windows outside of loops end where that of a shared check does");
    static const struct {
        u8 disp;
        const char *check;
    } last[] = {{8, "call check_read16"},
                {9, "call check_read24"},
                {0x18, "call check_read32"},
                {0x19, "call check_read40"},
                {0x78, "call check_read128"}};
    for (unsigned i = 0; i < ARRAY_LEN(last); i++) {
        TRANSLATE(0x48, 0x8b, 3 /* mov rax, [rbx] */, 0x48, 0x8b, 0x43, last[i].disp);
        CHECK_START(hot(0), "mov r11, rbx", last[i].check);
    }
    TRANSLATE(0x48, 0x8b, 3, 0x48, 0x8b, 0x83, 0xf8, 0, 0, 0 /* mov rax, [rbx+248] */);
    CHECK_START(hot(0), "mov r11, rbx", "call check_read256");

    TEST("one byte twice");
    TRANSLATE(0x8a, 3 /* mov al, [rbx] */, 0x88, 3 /* mov [rbx], al */);
    CHECK_START(hot(0), "mov r11, rbx", "call check_write1");
}

int main(void)
{
    addresses();
    loops();
    sizes();
    direct_tags();
    groups();
    return TEST_END();
}
