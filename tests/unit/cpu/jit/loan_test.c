/*
 * Loans: where registers without a home change places with others, and that every way out of the stretch ends them: its
 * end, branches, requests, slow accesses, faults.
 */
#include "unit/code_cache.h"

/* A loop of ten turns: r14 += r15; r15 ^= rcx; dec ecx; jnz. 12 bytes. */
#define LOOP_BODY 0x4d, 0x01, 0xfe, 0x49, 0x31, 0xcf, 0xff, 0xc9
#define LOOP LOOP_BODY, 0x75, 0xf6
#define LOOP_SIZE 10

static const u64 base = 0x0123456789abcdef;

/* All registers get values of their own. */
static void load_registers(void)
{
    for (unsigned r = 0; r < GPR_COUNT; r++)
        v->gpr[r] = base * (r + 1);
    v->gpr[RCX] = 10;
    v->gpr[RSP] = DATA + 0x800;
}

/* Do all registers but those of the loop still have theirs? */
static bool others_kept(void)
{
    bool kept = v->gpr[RSP] == DATA + 0x800;
    for (unsigned r = 0; r < GPR_COUNT; r++)
        kept &= r == RCX || r == RSP || r >= R14 || v->gpr[r] == base * (r + 1);
    return kept;
}

static void loop_in_c(unsigned turns, u64 *r14, u64 *r15)
{
    *r14 = base * (R14 + 1);
    *r15 = base * (R15 + 1);
    for (u32 c = 10; turns--; c--) {
        *r14 += *r15;
        *r15 ^= c;
    }
}

static bool loop_done(unsigned turns)
{
    u64 r14, r15;
    loop_in_c(turns, &r14, &r15);
    return v->gpr[R14] == r14 && v->gpr[R15] == r15 && v->gpr[RCX] == 10 - turns && others_kept();
}

static u16 loans_of(u32 more)
{
    struct block *b = block_in(0, more);
    return b ? b->loans : 0xffff;
}

#define LOANS_OF(...) (code_create(), PUT(0, __VA_ARGS__, HLT), loans_of(0))

static void choosing(void)
{
    TEST("a loop that names R14 and R15");
    code_create();
    PUT(0, 0x90, LOOP, HLT);
    struct block *b = block(0);
    unsigned lender14 = loan_lender(b->loans, R14), lender15 = loan_lender(b->loans, R15);
    CHECK(lender14 && lender15 && lender14 != lender15 && !loan_lender(b->loans, R11));
    CHECK(b->loan_from == 1 && b->loan_to == 1 + LOOP_SIZE);
    CHECK(lender14 != RCX && lender15 != RCX && lender14 != RAX && lender15 != RAX);

    TEST("R11 borrows the register that is left");
    /* add r11, r13 and so on to rdx: all lenders but R10 are named; dec ecx; jnz */
    CHECK_EQ(LOANS_OF(0x4d, 0x01, 0xeb, 0x4d, 0x01, 0xe3, 0x49, 0x01, 0xe3, 0x49, 0x01, 0xeb, 0x49, 0x01, 0xdb, 0x4d,
                      0x01, 0xcb, 0x4d, 0x01, 0xc3, 0x49, 0x01, 0xfb, 0x49, 0x01, 0xf3, 0x49, 0x01, 0xd3, 0xff, 0xc9,
                      0x75, 0xde),
             R10);
    TEST("no loan without a lender");
    CHECK_EQ(LOANS_OF(0x4d, 0x01, 0xeb, 0x4d, 0x01, 0xe3, 0x49, 0x01, 0xe3, 0x49, 0x01, 0xeb, 0x49, 0x01, 0xdb, 0x4d,
                      0x01, 0xd3, 0x4d, 0x01, 0xcb, 0x4d, 0x01, 0xc3, 0x49, 0x01, 0xfb, 0x49, 0x01, 0xf3, 0x49, 0x01,
                      0xd3, 0xff, 0xc9, 0x75, 0xdb),
             0);
    TEST("no loan for a few uses");
    CHECK_EQ(LOANS_OF(0x4d, 0x01, 0xfe, 0x49, 0x31, 0xcf), 0);
    TEST("a long stretch without a branch");
    CHECK(LOANS_OF(0x49, 0xff, 0xc6, 0x49, 0xff, 0xc6, 0x49, 0xff, 0xc6, 0x49, 0xff, 0xc6, 0x49, 0xff, 0xc6, 0x49, 0xff,
                   0xc6, 0x49, 0xff, 0xc6, 0x49, 0xff, 0xc6) != 0);
    TEST("no loan over a called instruction");
    CHECK_EQ(LOANS_OF(LOOP_BODY, 0x0f, 0xa2 /* cpuid */, 0x75, 0xf4), 0);
    TEST("no loan in a loop that is entered in its middle, but in the loop from there on");
    CHECK(LOANS_OF(LOOP, 0x75, 0xf7 /* to the second instruction */) != 0);
    CHECK(block(0)->loan_from == 3 && block(0)->loan_to == LOOP_SIZE + 2);
    TEST("no loan in single steps and other modes");
    code_create();
    PUT(0, LOOP, HLT);
    CHECK_EQ(loans_of(MODE_STEP), 0);
    CHECK(loans_of(MODE_PLAIN) != 0);
}

static void renamed(void)
{
    TEST("XCHG with RAX in the register of R8, behind a prefix that makes that PAUSE");
    code_create();
    /* xchg r15, rax; add r13 and so on to rdx: R8 is the first lender that is left; the loop */
    PUT(0, 0xf3, 0x49, 0x97, 0x4c, 0x01, 0xea, 0x4c, 0x01, 0xe2, 0x48, 0x01, 0xe2, 0x48, 0x01, 0xea, 0x48, 0x01, 0xda,
        0x4c, 0x01, 0xd2, 0x4c, 0x01, 0xca, LOOP_BODY, 0x75, 0xde, HLT);
    CHECK_EQ(loan_lender(loans_of(0), R15), R8);
    load_registers();
    u64 rax = v->gpr[RAX], r14 = v->gpr[R14], r15 = v->gpr[R15];
    CHECK(run(0));
    for (u64 c = 10; c; c--) {
        u64 x = rax;
        rax = r15;
        r15 = x;
        r14 += r15;
        r15 ^= c;
    }
    CHECK(v->gpr[RAX] == rax && v->gpr[R14] == r14 && v->gpr[R15] == r15);
}

static void ends(void)
{
    TEST("the loop runs, and the code behind it");
    code_create();
    PUT(0, LOOP, HLT);
    load_registers();
    CHECK(run(0) && loop_done(10));

    TEST("a branch out of its middle");
    code_create();
    /* cmp ecx, 4; jz out; loop */
    PUT(0, 0x83, 0xf9, 4, 0x74, 0x3b, LOOP_BODY, 0x75, 0xf1, HLT);
    PUT(0x40, HLT);
    CHECK(loans_of(0) != 0);
    for (unsigned i = 0; i < 2; i++) { /* the second time the branch is chained */
        load_registers();
        CHECK(run(0) && loop_done(6));
        CHECK_EQ(v->rip, CODE + 0x41);
    }

    TEST("a request in the middle");
    code_create();
    PUT(0, LOOP, HLT);
    CHECK(loans_of(0) != 0);
    load_registers();
    v->rip = CODE;
    v->resume = (u64)block(0)->far_entry;
    v->resume_r11 = CODE;
    v->request = REQ_EVENT;
    exec_enter(v);
    CHECK(loop_done(1));
    CHECK_EQ(v->rip, CODE);
    v->request = 0;
    CHECK(run(0) && loop_done(10));

    TEST("a slow store, a slow load, in the middle");
    code_create();
    /* mov [rsi], r14; add r15, [rdi]; loop */
    PUT(0, 0x4c, 0x89, 0x36, 0x4c, 0x03, 0x3f, LOOP_BODY, 0x75, 0xf0, HLT);
    CHECK(loans_of(0) != 0);
    load_registers();
    v->gpr[RSI] = DATA + PAGE_SIZE - 3;
    v->gpr[RDI] = DATA + 2 * PAGE_SIZE - 5;
    u64 add = 0x1020304050607080, r14 = v->gpr[R14], r15 = v->gpr[R15], stored = 0;
    memcpy(ram + DATA_GPA + 2 * PAGE_SIZE - 5, &add, 8);
    CHECK(run(0) && v->stat[STAT_BOUNCE] >= 20);
    for (u64 c = 10; c; c--) {
        stored = r14;
        r15 += add;
        r14 += r15;
        r15 ^= c;
    }
    CHECK(v->gpr[R14] == r14 && v->gpr[R15] == r15);
    CHECK(!memcmp(ram + DATA_GPA + PAGE_SIZE - 3, &stored, 8));
    v->gpr[RSI] = base * (RSI + 1);
    v->gpr[RDI] = base * (RDI + 1);
    CHECK(others_kept());

    TEST("a page fault in the middle");
    load_registers();
    v->gpr[RSI] = DATA;
    v->gpr[RDI] = DATA + FRAMES * PAGE_SIZE;
    v->cr2 = 0;
    r14 = v->gpr[R14];
    CHECK(!run(0));
    CHECK(v->cr2 == v->gpr[RDI] && v->rip == CODE + 3 && v->gpr[R14] == r14 && v->gpr[R15] == base * (R15 + 1));
    v->gpr[RSI] = base * (RSI + 1);
    v->gpr[RDI] = base * (RDI + 1);
    CHECK(others_kept());
}

static void swapping(void)
{
    TEST("the same exchange makes a loan and ends it");
    code_create();
    const u16 loans = R13 | RBX << 4 | RCX << 8;
    load_registers();
    loans_swap(v, loans);
    CHECK(v->gpr[R13] == base * (R11 + 1) && v->gpr[R11] == base * (R13 + 1) && v->gpr[RBX] == base * (R14 + 1));
    CHECK_EQ(v->gpr[R15], 10);
    loans_swap(v, loans);
    CHECK(others_kept() && v->gpr[RCX] == 10 && v->gpr[R14] == base * (R14 + 1) && v->gpr[R15] == base * (R15 + 1));
    loans_swap(v, 0);
    CHECK(others_kept());
}

int main(void)
{
    choosing();
    renamed();
    ends();
    swapping();
    return TEST_END();
}
