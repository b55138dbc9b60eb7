/*
 * Groups: which accesses of a block share a check, what parts them, and that no access or fault comes early by it.
 * After a translation the translator's working memory still shows the groups.
 */
#include "unit/code_cache.h"

/* clang-format off */
#define LOAD(disp) 0x48, 0x8b, 0x43, (u8)(disp)          /* mov rax, [rbx + disp8] */
#define STORE(disp) 0x48, 0x89, 0x43, (u8)(disp)         /* mov [rbx + disp8], rax */
#define LOAD_INDEXED(sib) 0x48, 0x8b, 0x04, (u8)(sib)    /* mov rax, [base + index * scale] */
#define SIB_RBX_RDX_4 0x93
#define SIB_RBX_RDX_8 0xd3
/* clang-format on */

static const struct tr *translated(u32 more)
{
    CHECK(block_in(0, more));
    return v->exec->tr;
}

#define TRANSLATED(...) (code_create(), PUT(0, __VA_ARGS__, HLT), translated(0))

/* Returns true if the operands of these instructions are checked together. */
static bool together(const struct tr *t, unsigned a, unsigned b)
{
    u8 group = t->insn[a].note[0].group;
    return group != GROUP_NONE && group == t->insn[b].note[0].group && t->group[group].slot != GROUP_NONE;
}

static unsigned grouped(const struct tr *t)
{
    unsigned n = 0;
    for (u32 i = 0; i < t->insn_count; i++)
        n += (t->insn[i].note[0].group != GROUP_NONE) + (t->insn[i].note[1].group != GROUP_NONE);
    return n;
}

static void windows(void)
{
    const struct tr *t;
    TEST("two loads off one register");
    t = TRANSLATED(LOAD(8), LOAD(0x20));
    CHECK(together(t, 0, 1));
    CHECK(t->group[0].lo == 8 && t->group[0].hi == 0x28 && t->group[0].count == 2 && !t->group[0].write);
    CHECK(t->group[0].first == 0 && t->group[0].last == 1);

    TEST("a store makes it one for writing");
    t = TRANSLATED(LOAD(8), STORE(-8));
    CHECK(together(t, 0, 1) && t->group[0].write && t->group[0].lo == -8);

    TEST("one access is no group");
    t = TRANSLATED(LOAD(8));
    CHECK(t->group_count == 1 && t->group[0].slot == GROUP_NONE);

    TEST("a window has its limit");
    t = TRANSLATED(LOAD(0), 0x48, 0x8b, 0x83, GROUP_SPAN - 8, 0, 0, 0, 0x48, 0x8b, 0x83, 1, (GROUP_SPAN - 8) >> 8, 0,
                   0);
    CHECK(together(t, 0, 1) && t->group[0].hi == GROUP_SPAN);
    t = TRANSLATED(LOAD(0), 0x48, 0x8b, 0x83, GROUP_SPAN - 7, 0, 0, 0);
    CHECK(!together(t, 0, 1));

    TEST("an index, if base, index and scale are the same");
    t = TRANSLATED(LOAD_INDEXED(SIB_RBX_RDX_4), LOAD_INDEXED(SIB_RBX_RDX_4), LOAD_INDEXED(SIB_RBX_RDX_8), LOAD(0));
    CHECK(together(t, 0, 1) && !together(t, 0, 2) && !together(t, 0, 3));

    TEST("no groups in other modes");
    code_create();
    PUT(0, 0x8b, 0x43, 8, 0x8b, 0x43, 16, HLT); /* mov eax, [rbx + 8]; mov eax, [rbx + 16] */
    CHECK_EQ(grouped(translated(0)), 2);
    CHECK_EQ(grouped(translated(MODE_PLAIN)), 0);
    CHECK_EQ(grouped(translated(MODE_STEP)), 0);
    v->seg[SEG_CS].attr = (v->seg[SEG_CS].attr & ~SEG_L) | SEG_DB;
    mode_update(v);
    enum outcome out;
    map(0x1000, CODE_GPA | P | W);
    CHECK(block_find(v, 0x1000, v->mode, &out));
    CHECK_EQ(grouped(v->exec->tr), 0);
}

static void constants(void)
{
    const struct tr *t;
    TEST("constants that are added are followed");
    t = TRANSLATED(LOAD(0), 0x48, 0x83, 0xc3, 0x10 /* add rbx, 16 */, LOAD(0), 0x48, 0xff, 0xcb /* dec rbx */, LOAD(1));
    CHECK(together(t, 0, 2) && together(t, 2, 4));
    CHECK_EQ(t->group[0].hi, 0x18);
    CHECK_EQ(t->insn[4].note[0].offset, 0x10);
    t = TRANSLATED(LOAD(0), 0x48, 0x8d, 0x5b, 0xf8 /* lea rbx, [rbx - 8] */, LOAD(0));
    CHECK(together(t, 0, 2) && t->group[0].lo == -8);

    TEST("copies of the value, and what LEA makes of it");
    t = TRANSLATED(LOAD(0), 0x48, 0x89, 0xdf /* mov rdi, rbx */, 0x48, 0x8b, 0x47, 8 /* mov rax, [rdi + 8] */);
    CHECK(together(t, 0, 2));
    t = TRANSLATED(LOAD(0), 0x48, 0x8b, 0xfb /* mov rdi, rbx */, 0x48, 0x31, 0xdb /* xor rbx, rbx */, 0x48, 0x8b, 0x47,
                   8);
    CHECK(together(t, 0, 3));
    t = TRANSLATED(LOAD(0), 0x48, 0x8d, 0x7b, 0x10 /* lea rdi, [rbx + 16] */, 0x48, 0x8b, 0x47, 8);
    CHECK(together(t, 0, 2) && t->insn[2].note[0].offset == 0x18);
    t = TRANSLATED(LOAD(0), 0x89, 0xdf /* mov edi, ebx */, 0x48, 0x8b, 0x47, 8);
    CHECK(!together(t, 0, 2));
    t = TRANSLATED(0x55 /* push rbp */, 0x48, 0x89, 0xe5 /* mov rbp, rsp */, 0x48, 0x8b, 0x45, 0xf8, 0xc9 /* leave */,
                   0x58 /* pop rax */);
    u8 frame = t->insn[0].note[1].group;
    CHECK(frame != GROUP_NONE && t->insn[2].note[0].group == frame && t->insn[3].note[1].group == frame &&
          t->insn[4].note[1].group != GROUP_NONE);

    TEST("another value parts them");
    t = TRANSLATED(LOAD(0), 0x48, 0x89, 0xcb /* mov rbx, rcx */, LOAD(0));
    CHECK(!together(t, 0, 2));
    t = TRANSLATED(LOAD(0), 0x83, 0xc3, 0x10 /* add ebx, 16 */, LOAD(0));
    CHECK(!together(t, 0, 2));
    t = TRANSLATED(LOAD_INDEXED(SIB_RBX_RDX_4), 0x48, 0x31, 0xc2 /* xor rdx, rax */, LOAD_INDEXED(SIB_RBX_RDX_4));
    CHECK(!together(t, 0, 2));

    TEST("a load of its own base");
    t = TRANSLATED(0x48, 0x8b, 0x1b /* mov rbx, [rbx] */, 0x48, 0x8b, 0x1b);
    CHECK(!together(t, 0, 1));

    TEST("PUSH and POP");
    t = TRANSLATED(0x50, 0x51, 0x5a /* push rax; push rcx; pop rdx */);
    u8 group = t->insn[0].note[1].group;
    CHECK(group == t->insn[1].note[1].group && group == t->insn[2].note[1].group);
    CHECK(t->group[group].lo == -16 && t->group[group].hi == 0 && t->group[group].write);
}

static void borders(void)
{
    const struct tr *t;
    TEST("a called instruction parts them");
    t = TRANSLATED(LOAD(0), 0x0f, 0xa2 /* cpuid */, LOAD(8));
    CHECK(!together(t, 0, 2));

    TEST("so does a way around the check, or a value that another way changes");
    t = TRANSLATED(LOAD(0), 0x74, 4 /* jz to the third */, LOAD(8), LOAD(0x10));
    CHECK(together(t, 0, 2) && together(t, 0, 3));
    t = TRANSLATED(0x74, 4, LOAD(8), LOAD(0x10));
    CHECK(!together(t, 1, 2));
    t = TRANSLATED(LOAD(0), 0x74, 4, 0x48, 0x83, 0xc3, 8 /* add rbx, 8 */, LOAD(8));
    CHECK(!together(t, 0, 3));
    t = TRANSLATED(LOAD(0), 0x74, 4, 0x48, 0x83, 0xc6, 8 /* add rsi, 8 */, LOAD(8));
    CHECK(together(t, 0, 3));

    TEST("and what a loop changes");
    t = TRANSLATED(LOAD(0), LOAD(8), 0x75, 0xfa /* jnz to the second */, LOAD(0x10));
    CHECK(together(t, 0, 1) && together(t, 1, 3));
    t = TRANSLATED(LOAD(0), LOAD(8), 0x48, 0x83, 0xc3, 8, 0x75, 0xf6 /* jnz to the second */, LOAD(0x10));
    CHECK(!together(t, 0, 1) && together(t, 1, 4));
    t = TRANSLATED(LOAD(0), LOAD(8), 0x74, 4 /* jz to the fifth */, 0x48, 0x83, 0xc3, 8, 0x48, 0x83, 0xc6, 8, 0x75,
                   0xf0 /* jnz to the second */);
    CHECK(!together(t, 0, 1));
    t = TRANSLATED(LOAD(0), 0x74, 4 /* jz into the loop */, LOAD(8), LOAD(0x10), 0x75, 0xf6 /* jnz to the third */);
    CHECK(!together(t, 0, 2));

    TEST("a slot is kept as long as the loop that uses it");
    t = TRANSLATED(LOAD(0), LOAD(8), 0x48, 0x8b, 0x46, 0 /* mov rax, [rsi] */, 0x48, 0x8b, 0x46, 8, 0x75,
                   0xf2 /* jnz to the second */);
    CHECK(together(t, 0, 1) && together(t, 2, 3));
    CHECK(t->group[0].last == 4 && t->group[t->insn[2].note[0].group].slot != t->group[0].slot);

    TEST("no groups for FS, GS and variables");
    t = TRANSLATED(0x64, LOAD(0), 0x64, LOAD(8), 0x48, 0x8b, 0x05, 0, 0, 0, 0, 0x48, 0x8b, 0x05, 8, 0, 0, 0);
    CHECK(!together(t, 0, 1) && !together(t, 2, 3));

    TEST("more than there are slots at once");
    t = TRANSLATED(0x48, 0x8b, 0x46, 0, 0x48, 0x8b, 0x47, 0, 0x48, 0x8b, 0x42, 0, 0x48, 0x8b, 0x41, 0, 0x48, 0x8b, 0x45,
                   0, LOAD(0), 0x49, 0x8b, 0x40, 0, 0x48, 0x8b, 0x4e, 8, 0x48, 0x8b, 0x4f, 8, 0x48, 0x8b, 0x4a, 8,
                   LOAD(8), 0x48, 0x8b, 0x4d, 8, 0x49, 0x8b, 0x48, 8);
    unsigned with_slot = 0, count = 0;
    for (u32 i = 0; i < t->group_count; i++) {
        with_slot += t->group[i].slot != GROUP_NONE;
        count += t->group[i].count > 1;
    }
    CHECK(with_slot <= GROUP_SLOTS && count >= with_slot);
    CHECK_EQ(with_slot, GROUP_SLOTS);
}

static void running(void)
{
    TEST("a window over a page end: the block goes on in its twin");
    code_create();
    PUT(0, 0x48, 0x8b, 0x03 /* mov rax, [rbx] */, 0x48, 0x8b, 0x53, 8 /* mov rdx, [rbx + 8] */, HLT);
    v->gpr[RBX] = DATA + PAGE_SIZE - 8;
    memset(ram + DATA_GPA + PAGE_SIZE - 8, 0x11, 8);
    memset(ram + DATA_GPA + PAGE_SIZE, 0x22, 8);
    CHECK(run(0));
    CHECK_EQ(v->gpr[RAX], 0x1111111111111111);
    CHECK_EQ(v->gpr[RDX], 0x2222222222222222);
    CHECK_EQ(v->stat[STAT_PLAIN], 1);
    CHECK(v->exec->tr->b->mode & MODE_PLAIN);

    TEST("with a window inside a page the block does not go on in its twin");
    v->gpr[RBX] = DATA;
    CHECK(run(0));
    CHECK_EQ(v->stat[STAT_PLAIN], 1);

    TEST("neither fault nor accessed bit comes before its instruction");
    entry_set(DATA, 1, DATA_GPA | P | W);
    map(DATA + PAGE_SIZE, 0);
    mmu_flush_all(v);
    v->gpr[RBX] = DATA + PAGE_SIZE - 8;
    v->gpr[RAX] = v->gpr[RDX] = v->cr2 = 0;
    CHECK(!run(0));
    CHECK_EQ(v->gpr[RAX], 0x1111111111111111);
    CHECK_EQ(v->gpr[RDX], 0);
    CHECK_EQ(v->cr2, DATA + PAGE_SIZE);
    CHECK_EQ(v->rip, CODE + 3);

    TEST("the dirty bit of a later store does not come early");
    code_create();
    PUT(0, 0x48, 0x8b, 0x03 /* mov rax, [rbx] */, 0x0f, 0x84, 0, 1, 0, 0 /* jz */, 0x48, 0x89, 0x53, 8, HLT);
    PUT(0x109, HLT);
    v->gpr[RBX] = DATA;
    v->arith = BIT64(14); /* ZF */
    CHECK(run(0));
    CHECK((entry_get(DATA, 1) & (A | D)) == A);
    v->arith = 0;
    CHECK(run(0));
    CHECK((entry_get(DATA, 1) & (A | D)) == (A | D));
}

int main(void)
{
    windows();
    constants();
    borders();
    running();
    return TEST_END();
}
