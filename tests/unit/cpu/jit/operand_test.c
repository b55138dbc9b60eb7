/*
 * Memory operands: addresses, the TLB check, the direct tags, and one check for several accesses.
 */
#include "unit/translated.h"

static void addresses(void)
{
    TEST("a register, with a constant");
    CHECK_TEXT(HOT(0x48, 0x8b, 3 /* mov rax, [rbx] */), "pext r11, rbx, [vcpu.tlb_mask]", "mov rcx, gs:rtag[r11*8]",
               "lea rcx, [rcx+rbx*1+0x07]", "shrx rcx, rcx, rsp", "jrcxz #6", "jmp cold", "mov rcx, gs:radd[r11*8]",
               "mov rax, [rcx+rbx*1]");
    CHECK_TEXT(HOT(0x48, 0x8b, 0x43, 8 /* mov rax, [rbx+8] */), "lea r11, [rbx+0x08]", "pext r11, r11, [vcpu.tlb_mask]",
               "mov rcx, gs:rtag[r11*8]", "lea rcx, [rcx+rbx*1+0x0F]", "shrx rcx, rcx, rsp", "jrcxz #7", "jmp cold",
               "mov rcx, gs:radd[r11*8]", "mov rax, [rcx+rbx*1+0x08]");

    TEST("what a LEA computes");
    CHECK_TEXT(HOT(0x48, 0x8b, 0x44, 0x8b, 8 /* mov rax, [rbx+rcx*4+8] */), "lea r11, [rbx+r14*4+0x08]",
               "pext rcx, r11, [vcpu.tlb_mask]", "mov rcx, gs:rtag[rcx*8]", "lea rcx, [rcx+r11*1+0x07]",
               "shrx rcx, rcx, rsp", "jrcxz #7", "jmp cold", "pext rcx, r11, [vcpu.tlb_mask]",
               "mov rcx, gs:radd[rcx*8]", "mov rax, [rcx+r11*1]");
    CHECK_TEXT(HOT(0x4b, 0x8b, 4, 0x7e /* mov rax, [r14+r15*2] */), "mov r11, [vcpu.gpr[R14]]",
               "mov rcx, [vcpu.gpr[R15]]", "lea r11, [r11+rcx*2]", "pext rcx, r11, [vcpu.tlb_mask]",
               "mov rcx, gs:rtag[rcx*8]", "lea rcx, [rcx+r11*1+0x07]", "shrx rcx, rcx, rsp", "jrcxz #9", "jmp cold",
               "pext rcx, r11, [vcpu.tlb_mask]", "mov rcx, gs:radd[rcx*8]", "mov rax, [rcx+r11*1]");
    CHECK_TEXT(HOT(0x67, 0x48, 0x8b, 3 /* mov rax, [ebx] */), "lea r11d, [rbx]", "pext rcx, r11, [vcpu.tlb_mask]",
               "mov rcx, gs:rtag[rcx*8]", "lea rcx, [rcx+r11*1+0x07]", "shrx rcx, rcx, rsp", "jrcxz #7", "jmp cold",
               "pext rcx, r11, [vcpu.tlb_mask]", "mov rcx, gs:radd[rcx*8]", "mov rax, [rcx+r11*1]");

    TEST("from the position of the block");
    CHECK_TEXT(HOT(0x48, 0x8b, 5, 0, 1, 0, 0 /* mov rax, [rip+0x100] */), "mov r11, [vcpu.page_la]",
               "lea r11, [r11+0x107]", "pext rcx, r11, [vcpu.tlb_mask]", "mov rcx, gs:rtag[rcx*8]",
               "lea rcx, [rcx+r11*1+0x07]", "shrx rcx, rcx, rsp", "jrcxz #8", "jmp cold",
               "pext rcx, r11, [vcpu.tlb_mask]", "mov rcx, gs:radd[rcx*8]", "mov rax, [rcx+r11*1]");

    TEST("as far as RIP reaches: in two steps, if it takes more than a displacement");
    CHECK_START(HOT(0x48, 0x8b, 5, 0xff, 0xff, 0xff, 0x7f /* mov rax, [rip+2 GiB-1] */), "mov r11, [vcpu.page_la]",
                "lea r11, [r11+0x40000003]", "lea r11, [r11+0x40000003]", "pext rcx, r11, [vcpu.tlb_mask]");
    CHECK_START(HOT(0x67, 0x48, 0x8b, 5, 0xff, 0xff, 0xff, 0x7f /* mov rax, [eip+2 GiB-1] */),
                "mov r11, [vcpu.page_la]", "lea r11d, [r11-0x7FFFFFF9]", "pext rcx, r11, [vcpu.tlb_mask]");

    TEST("with the base of FS");
    CHECK_TEXT(HOT(0x64, 0x48, 0x8b, 3 /* mov rax, fs:[rbx] */), "lea r11, [rbx]", "mov rcx, [vcpu.seg[SEG_FS].base]",
               "lea r11, [r11+rcx*1]", "pext rcx, r11, [vcpu.tlb_mask]", "mov rcx, gs:rtag[rcx*8]",
               "lea rcx, [rcx+r11*1+0x07]", "shrx rcx, rcx, rsp", "jrcxz #9", "jmp cold",
               "pext rcx, r11, [vcpu.tlb_mask]", "mov rcx, gs:radd[rcx*8]", "mov rax, [rcx+r11*1]");

    TEST("16 bits");
    CHECK_TEXT(HOT32(0x67, 0x8b, 0x40, 8 /* mov eax, [bx+si+8] */), "lea r11d, [rbx+rsi*1+0x08]", "movzx r11d, r11w",
               "pext rcx, r11, [vcpu.tlb_mask]", "mov rcx, gs:rtag[rcx*8]", "lea rcx, [rcx+r11*1+0x03]",
               "shrx rcx, rcx, rsp", "jrcxz #8", "jmp cold", "pext rcx, r11, [vcpu.tlb_mask]",
               "mov rcx, gs:radd[rcx*8]", "mov eax, [rcx+r11*1]");

    TEST("with a segment: C makes the address linear");
    TRANSLATE_IN(MODE_SIZE_MASK | MODE_FLAT, MODE_32 | MODE_SS32 | UNITS, 0x8b, 3 /* mov eax, [ebx] */);
    CHECK_TEXT(hot(0), "lea r11d, [rbx]", "call [vcpu.slow_segment]", "pext rcx, r11, [vcpu.tlb_mask]",
               "mov rcx, gs:rtag[rcx*8]", "lea rcx, [rcx+r11*1+0x03]", "shrx rcx, rcx, rsp", "jrcxz #8", "jmp cold",
               "pext rcx, r11, [vcpu.tlb_mask]", "mov rcx, gs:radd[rcx*8]", "mov eax, [rcx+r11*1]");
}

static void direct_tags(void)
{
    TEST("direct tags: the ordinary ones are tried in the cold part");
    code_create();
    v->tlb->votes = DIRECT_SURE;
    PUT(0, 0x48, 0x8b, 0x43, 8 /* mov rax, [rbx+8] */, HLT);
    translated_in(0, UNITS);
    CHECK_TEXT(hot(0), "lea r11, [rbx+0x08]", "pext rcx, r11, [vcpu.tlb_mask]", "mov rcx, gs:drtag[rcx*8]",
               "lea rcx, [rcx+rbx*1+0x0F]", "shrx rcx, rcx, rsp", "jrcxz #7", "jmp cold", "mov rcx, [vcpu.direct]",
               "mov rax, [rcx+rbx*1+0x08]");
    CHECK_TEXT(cold(), "pext rcx, r11, [vcpu.tlb_mask]", "mov rcx, gs:rtag[rcx*8]", "lea rcx, [rcx+r11*1+0x07]",
               "shrx rcx, rcx, rsp", "jrcxz #6", "jmp #9", "pext rcx, r11, [vcpu.tlb_mask]", "mov rcx, gs:radd[rcx*8]",
               "jmp hot", "call [vcpu.slow_mem]");

    TEST("no direct tags for the stack, variables and FS");
    static const u8 others[3][8] = {{0x50 /* push rax */, HLT},
                                    {0x48, 0x8b, 5, 0, 1, 0, 0 /* mov rax, [rip+0x100] */, HLT},
                                    {0x64, 0x48, 0x8b, 3 /* mov rax, fs:[rbx] */, HLT}};
    for (unsigned i = 0; i < 3; i++) {
        code_create();
        v->tlb->votes = DIRECT_SURE;
        put_code(0, others[i], sizeof others[i]);
        translated_in(0, UNITS);
        for (unsigned k = 0; k < hot(0)->n; k++)
            CHECK(!strstr(hot(0)->line[k], "gs:d"));
    }

    TEST("no direct tags for user code");
    code_create();
    v->tlb->votes = DIRECT_SURE;
    PUT(0, 0x48, 0x8b, 3 /* mov rax, [rbx] */, HLT);
    translated_in(0, UNITS | MODE_USER);
    CHECK_START(hot(0), "pext r11, rbx, [vcpu.tlb_mask]", "mov rcx, gs:rtag[r11*8]");
    v->tlb->votes = 0;
}

static void groups(void)
{
    TEST("the first of a group checks the window, and leaves for its twin if only that fails");
    TRANSLATE(0x48, 0x8b, 0x43, 8 /* mov rax, [rbx+8] */, 0x48, 0x8b, 0x53, 0x10 /* mov rdx, [rbx+16] */, 0x48, 0x8b,
              0x73, 0 /* mov rsi, [rbx] */);
    CHECK_TEXT(hot(0), "pext r11, rbx, [vcpu.tlb_mask]", "mov rcx, gs:rtag[r11*8]", "lea rcx, [rcx+rbx*1+0x17]",
               "shrx rcx, rcx, rsp", "jrcxz #6", "jmp cold", "mov rcx, gs:radd[r11*8]", "mov [vcpu.group[0]], rcx",
               "mov rax, [rcx+rbx*1+0x08]");
    CHECK_TEXT(hot(1), "mov rdx, [rcx+rbx*1+0x10]");
    CHECK_TEXT(hot(2), "mov rsi, [rcx+rbx*1]");
    CHECK_TEXT(cold(), "mov r11, rbx", "lea r11, [r11+0x08]", "pext rcx, r11, [vcpu.tlb_mask]",
               "mov rcx, gs:rtag[rcx*8]", "lea rcx, [rcx+r11*1+0x07]", "shrx rcx, rcx, rsp", "jrcxz #8",
               "call [vcpu.slow_mem]", "jmp #9", "mov rcx, link 0", "jmp [vcpu.leave_chain]");
}

int main(void)
{
    addresses();
    direct_tags();
    groups();
    return TEST_END();
}
