/*
 * What blocks share at the start of the code cache: the text of each TLB check and of the jumps, the places by which a
 * miss finds the site of its access, and what misses lead to.
 */
#include "unit/translated.h"

/* -- text -- */

/* What starts there, without the padding behind it. */
static const struct host_text *shared_code(const u8 *from)
{
    const u8 *end = cache->hot;
    for (u32 kind = 0; kind < CHECK_KINDS; kind++)
        for (u32 log = 0; log < CHECK_SIZES; log++)
            if (cache->check[kind][log] > from && cache->check[kind][log] < end)
                end = cache->check[kind][log];
    for (u32 check = 0; check < ARRAY_LEN(cache->jump); check++)
        if (cache->jump[check] > from && cache->jump[check] < end)
            end = cache->jump[check];
    const u8 *others[] = {cache->back, cache->linked[0], cache->linked[1], cache->pair, cache->ret,
                          cache->lost, cache->missed,    cache->aside,     cache->dead, cache->unknown};
    for (u32 i = 0; i < ARRAY_LEN(others); i++)
        if (others[i] > from && others[i] < end)
            end = others[i];
    for (unsigned i = 0; i < BRIEF_COUNT; i++)
        if (cache->brief[i] > from && cache->brief[i] < end)
            end = cache->brief[i];
    host_text(&translated_text, from, end, NULL);
    while (translated_text.n && !strncmp(translated_text.line[translated_text.n - 1], "nop", 3))
        translated_text.n--;
    return &translated_text;
}

/* The tag by the index that a mask makes, and the difference by that index. */
#define TAG_TEXT(mask, tags)                                                                                           \
    "pext rcx, r11, [vcpu." mask "_mask]", "mov rcx, gs:" tags "[rcx*8]", last, "pext rcx, rcx, [vcpu.page_mask]"
#define FOUND_TEXT(mask, add) "pext rcx, r11, [vcpu." mask "_mask]", "mov rcx, gs:" add "[rcx*8]", "ret"

#define CROSSING_TEXT(array)                                                                                           \
    "mov r11, [vcpu.?]", "pext rcx, r11, [vcpu.crossing.mask]", "mov rcx, [vcpu.crossing." array "]"

#define JUMP_TEXT(mask, tags)                                                                                          \
    "pext rcx, r11, [vcpu." mask "_mask]", "mov rcx, gs:" tags "[rcx*8]", "lea rcx, [rcx+r11*1]"

static void checks(void)
{
    char last[40];
    code_create();
    host_cache = cache;
    TEST("a check of each size for reading and for writing: the tag, then the difference");
    for (u32 log = 0; log < CHECK_SIZES; log++) {
        snprintf(last, sizeof last, log ? "lea rcx, [rcx+r11*1+0x%02X]" : "lea rcx, [rcx+r11*1]", check_size(log) - 1);
        CHECK_TEXT(shared_code(cache->check[0][log]), TAG_TEXT("tlb", "rtag"), "jrcxz #11", TAG_TEXT("victim", "vrtag"),
                   "jrcxz #14", "jmp missed", FOUND_TEXT("tlb", "radd"), FOUND_TEXT("victim", "vradd"));
        CHECK_TEXT(shared_code(cache->check[CHECK_WRITE][log]), TAG_TEXT("tlb", "wtag"), "jrcxz #11",
                   TAG_TEXT("victim", "vwtag"), "jrcxz #14", "jmp missed", FOUND_TEXT("tlb", "wadd"),
                   FOUND_TEXT("victim", "vwadd"));
    }
    TEST("by the direct tags, then the ordinary ones");
    for (u32 log = 0; log < CHECK_SIZES; log++) {
        snprintf(last, sizeof last, log ? "lea rcx, [rcx+r11*1+0x%02X]" : "lea rcx, [rcx+r11*1]", check_size(log) - 1);
        CHECK_TEXT(shared_code(cache->check[CHECK_DIRECT][log]), TAG_TEXT("tlb", "dtag"), "jrcxz #6", "jmp #8",
                   "mov rcx, [vcpu.direct]", "ret", TAG_TEXT("tlb", "rtag"), "jrcxz #19", TAG_TEXT("victim", "vrtag"),
                   "jrcxz #22", "jmp missed", FOUND_TEXT("tlb", "radd"), FOUND_TEXT("victim", "vradd"));
        CHECK_TEXT(shared_code(cache->check[CHECK_DIRECT | CHECK_WRITE][log]), TAG_TEXT("tlb", "dtag"), "jrcxz #6",
                   "jmp #8", "mov rcx, [vcpu.direct]", "ret", TAG_TEXT("tlb", "wtag"), "jrcxz #19",
                   TAG_TEXT("victim", "vwtag"), "jrcxz #22", "jmp missed", FOUND_TEXT("tlb", "wadd"),
                   FOUND_TEXT("victim", "vwadd"));
    }
    TEST("page_mask makes PEXT a shift by a page");
    CHECK_EQ(v->page_mask, ~PAGE_MASK);

    TEST("a miss goes on in the twin if the window of a known group crosses into another page");
    CHECK_TEXT(shared_code(cache->missed), "mov [vcpu.resume_r11], r11", CROSSING_TEXT("after"), "lea rcx, [rcx+r11*1]",
               "jrcxz #8", "mov r11, [vcpu.resume_r11]", "jmp [vcpu.check_missed]", CROSSING_TEXT("last"),
               "mov r11, [vcpu.resume_r11]", "pext r11, r11, [vcpu.crossing.page_offset]", "lea rcx, [rcx+r11*1]",
               "pext rcx, rcx, [vcpu.page_mask]", "jrcxz #21", CROSSING_TEXT("twin"), "mov [vcpu.?], rcx", "ret",
               "jmp #6");
}

static void jumps(void)
{
    TEST("a jump by the jump cache");
    code_create();
    host_cache = cache;
    CHECK_TEXT(shared_code(cache->jump[0]), "mov rcx, [vcpu.sample_left]", "lea rcx, [rcx-0x01]",
               "mov [vcpu.sample_left], rcx", "jrcxz #12", JUMP_TEXT("jump", "jtag"), "jrcxz #13",
               JUMP_TEXT("jump_victim", "jvtag"), "jrcxz #16", "jmp [vcpu.jump_missed]", FOUND_TEXT("jump", "jcode"),
               FOUND_TEXT("jump_victim", "jvcode"));
    TEST("with a look at requests");
    CHECK_TEXT(shared_code(cache->jump[1]), "mov rcx, [vcpu.sample_left]", "lea rcx, [rcx-0x01]",
               "mov [vcpu.sample_left], rcx", "jrcxz #15", "mov rcx, [vcpu.request]", "jrcxz #7",
               "jmp [vcpu.jump_missed]", JUMP_TEXT("jump", "jtag"), "jrcxz #16", JUMP_TEXT("jump_victim", "jvtag"),
               "jrcxz #19", "jmp [vcpu.jump_missed]", FOUND_TEXT("jump", "jcode"), FOUND_TEXT("jump_victim", "jvcode"));

    TEST("a look at requests in front of a link back");
    CHECK_TEXT(shared_code(cache->back), "mov rcx, [vcpu.sample_left]", "lea rcx, [rcx-0x01]",
               "mov [vcpu.sample_left], rcx", "jrcxz #6", "mov rcx, [vcpu.request]", "jrcxz #7",
               "jmp [vcpu.back_missed]", "ret");

    TEST("the guard of a link to another page");
    CHECK_TEXT(shared_code(cache->linked[0]), "pext rcx, r11, [vcpu.tlb_mask]", "mov rcx, gs:link[rcx*8]",
               "lea rcx, [rcx+r11*1]", "ret");

    TEST("of one back to another page, which looks at requests, too");
    CHECK_TEXT(shared_code(cache->linked[1]), "mov rcx, [vcpu.sample_left]", "lea rcx, [rcx-0x01]",
               "mov [vcpu.sample_left], rcx", "jrcxz #6", "mov rcx, [vcpu.request]", "jrcxz #7",
               "jmp [vcpu.back_missed]");

    TEST("a jump of a hot block that the jump cache does not have");
    CHECK_TEXT(shared_code(cache->aside), "mov [vcpu.spill[0]], rcx", JUMP_TEXT("jump_victim", "jvtag"), "jrcxz #7",
               "mov rcx, [vcpu.spill[0]]", "jmp [vcpu.leave_lookup]", "pext rcx, r11, [vcpu.jump_victim_mask]",
               "jmp gs:jvcode[rcx*8]");
    TEST("the way out of a dead block");
    CHECK_TEXT(shared_code(cache->dead), "jmp [vcpu.leave_lookup]");

    TEST("a CALL notes where its return goes on");
    CHECK_TEXT(shared_code(cache->pair), "pext rcx, r15, [vcpu.return_mask]", "not r11",
               "mov gs:returns.la[1][rcx*8], r11", "mov r11, [vcpu.?]", "mov gs:returns.host[1][rcx*8], r11",
               "ret 0x08");

    TEST("a return by the return stack");
    CHECK_TEXT(shared_code(cache->ret), "mov [vcpu.spill[0]], rcx", "mov rcx, [vcpu.sample_left]",
               "lea rcx, [rcx-0x01]", "mov [vcpu.sample_left], rcx", "jrcxz #14", "pext rcx, r15, [vcpu.return_mask]",
               "push gs:returns.host[rcx*8]", "mov rcx, gs:returns.la[rcx*8]", "lea rcx, [rcx+r11*1+0x01]",
               "pext rcx, rcx, rcx", "shrx ecx, [vcpu.one], ecx", "jrcxz #13", "ret", "jmp out", "jmp out");

    TEST("a return that the return stack does not know, in hot code");
    CHECK_TEXT(shared_code(cache->unknown), "mov [vcpu.spill[1]], rcx" /* spill[0] behind the push */,
               "lea rsp, [vcpu.one]" /* 8 more */, "mov rcx, [vcpu.request]", "jrcxz #6", "mov rcx, [vcpu.spill[0]]",
               "jmp [vcpu.leave_lookup]", JUMP_TEXT("jump", "jtag"), "jrcxz #15", JUMP_TEXT("jump_victim", "jvtag"),
               "jrcxz #18", "jmp #4", "pext rcx, r11, [vcpu.jump_mask]", "push gs:jcode[rcx*8]", "ret",
               "pext rcx, r11, [vcpu.jump_victim_mask]", "push gs:jvcode[rcx*8]", "ret");

    TEST("all of it is aligned, in the hot part, and in front of the first block");
    for (u32 kind = 0; kind < CHECK_KINDS; kind++)
        for (u32 log = 0; log < CHECK_SIZES; log++)
            CHECK(!((u64)cache->check[kind][log] % CHECK_ALIGN) && cache->check[kind][log] >= cache->code);
    CHECK(cache->missed == cache->code && cache->jump[1] < cache->linked[1] && cache->linked[0] < cache->back &&
          cache->back < cache->hot && cache->hot < cache->hot_end);
    const u8 *end = cache->hot;
    PUT(0, HLT);
    CHECK(block(0)->far_entry >= end);

    TEST("what does not fit is not written");
    u8 room[64];
    memset(room, 0x55, sizeof room);
    static struct cache other;
    CHECK(checks_emit(&other, room, room + 8) > room + sizeof room);
    for (unsigned i = 8; i < sizeof room; i++)
        CHECK_EQ(room[i], 0x55);
}

/* -- places -- */

/* The site of the place, which belongs to a shared check. */
static struct site site_at(const struct block *b, const struct place *p)
{
    struct site s;
    memcpy(&s, b->cold + p->site - 1, sizeof s);
    return s;
}

static void places(void)
{
    TEST("each CALL of a shared check has a place behind it, and its site the rest");
    /* mov eax, [rbx]; nop; div dword [rsi]; push [rdi]; fld tbyte [rcx]; div ecx; jmp to the fld */
    struct block *b = TRANSLATE(0x8b, 3, 0x90, 0xf7, 0x36, 0xff, 0x37, 0xdb, 0x29, 0xf7, 0xf1, 0xeb, 0xfa);
    static const struct {
        u16 guest;
        u8 size, flags, seg;
    } want[] = {
        {0, 4, SITE_READ, SEG_DS}, {3, 4, SITE_READ, SEG_DS}, {5, 8, SITE_READ, SEG_DS}, {5, 8, SITE_WRITE, SEG_SS}};
    unsigned n = 0;
    for (u32 i = 0; i < b->cold_place_from; i++) {
        const struct place *p = &b->places[i];
        CHECK(!i || p[-1].host <= p->host);
        if (!p->site)
            continue;
        const u8 *after = cache->code + p->host;
        char name[40];
        s32 rel;
        memcpy(&rel, after - 4, sizeof rel);
        CHECK(after[-5] == 0xe8 && host_shared_name(after + rel, name, sizeof name));
        CHECK(b->cold + p->site - 1 + sizeof(struct site) <= b->cold_end);
        struct site s = site_at(b, p);
        CHECK(n < ARRAY_LEN(want) && p->guest == want[n].guest && s.offset == p->guest && s.size == want[n].size &&
              s.flags == want[n].flags && s.seg == want[n].seg);
        n++;
    }
    CHECK_EQ(n, ARRAY_LEN(want));
    for (u32 i = b->cold_place_from; i < b->place_count; i++)
        CHECK_EQ(b->places[i].site, 0);

    TEST("a group has one, with its window");
    b = TRANSLATE(0x8b, 0x43, 0x10 /* mov eax, [rbx+16] */, 0x89, 3 /* mov [rbx], eax */, 0x8a, 0x43, 0x14);
    n = 0;
    for (u32 i = 0; i < b->cold_place_from; i++) {
        if (!b->places[i].site)
            continue;
        struct site s = site_at(b, &b->places[i]);
        CHECK(s.flags == (SITE_READ | SITE_GROUP | SITE_GROUP_WRITE) && s.size == 4 && s.before == -16 && s.span == 24);
        n++;
    }
    CHECK_EQ(n, 1);
}

/* -- misses -- */

/* Does a run from there end with a page fault of this instruction, for this address? */
static bool faults(u32 offset, u32 at, u64 la)
{
    v->cr2 = 0;
    bool halted = run(offset);
    v->exit = CPU_EXIT_NONE;
    return !halted && v->rip == CODE + at && v->cr2 == la;
}

static void single(void)
{
    TEST("a miss fills the TLB and tries again; then there is none");
    code_create();
    PUT(0, 0x8b, 0x43, 4 /* mov eax, [rbx+4] */, 0x48, 0x89, 0x06 /* mov [rsi], rax */, 0x42, 0x8b, 0x14,
        0x33
        /* mov edx, [rbx+r14] */,
        HLT);
    memset(ram + DATA_GPA, 0x11, 16);
    v->gpr[RBX] = DATA;
    v->gpr[RSI] = DATA + PAGE_SIZE;
    v->gpr[R14] = 2 * PAGE_SIZE;
    ram[DATA_GPA + 2 * PAGE_SIZE] = 7;
    u64 stored;
    CHECK(run(0));
    memcpy(&stored, ram + DATA_GPA + PAGE_SIZE, 8);
    CHECK(v->gpr[RAX] == 0x11111111 && stored == 0x11111111 && v->gpr[RDX] == 7);
    CHECK_EQ(v->stat[STAT_TLB_FILL], 3);
    CHECK(run(0));
    CHECK_EQ(v->stat[STAT_TLB_FILL], 3);

    TEST("the sites of misses are kept by the address behind the CALL");
    const struct block *b = block(0);
    unsigned kept = 0;
    for (u32 i = 0; i < b->cold_place_from; i++) {
        const u8 *after = cache->code + b->places[i].host;
        for (u32 k = 0; b->places[i].site && k < MISSED_SITES; k++)
            kept += v->exec->missed[k].after == after && v->exec->missed[k].site == b->cold + b->places[i].site - 1;
    }
    CHECK_EQ(kept, 3);

    TEST("one that fails faults at its own instruction, with all registers as they were");
    map(DATA + PAGE_SIZE, DATA_GPA | P);
    mmu_flush_all(v);
    v->gpr[RCX] = 0x1234;
    v->gpr[R11] = 0x5678;
    CHECK(faults(0, 3, DATA + PAGE_SIZE));
    CHECK(v->gpr[RCX] == 0x1234 && v->gpr[R11] == 0x5678 && v->gpr[R14] == 2 * PAGE_SIZE && v->gpr[RBX] == DATA);

    TEST("of many accesses in one block, each finds its own site");
    code_create();
    for (u8 i = 0; i < 16; i++) /* mov eax, [rsi+N]; mov rsi, rdi; both parted by the new value of rsi */
        PUT(i * 6u, 0x8b, 0x46, i, 0x48, 0x89, 0xfe);
    PUT(96, HLT);
    v->gpr[RDI] = 0x5000; /* is not mapped */
    for (u64 i = 0; i < 2; i++) {
        v->gpr[RSI] = DATA;
        CHECK(faults(0, 6, 0x5001));
    }
    for (u32 i = 1; i < 16; i++) { /* the loads in front of the i-th are behind the block's start */
        v->gpr[RSI] = 0x5000;
        CHECK(faults(i * 6, i * 6, 0x5000 + i));
    }

    TEST("the last access of a long block");
    code_create();
    for (u8 i = 0; i < 20; i++)
        PUT(i * 6u, 0x8b, 0x46, i, 0x48, 0x89, 0xfe);
    PUT(120, 0x8b, 0x45, 0 /* mov eax, [rbp] */, HLT);
    v->gpr[RSI] = v->gpr[RDI] = DATA;
    v->gpr[RBP] = 0x6000;
    CHECK(faults(0, 120, 0x6000) && block(0)->size > 120);
}

/* mov rax, [rbx+17]; mov rdx, [rbx]: 25 bytes from rbx, checked as 32; the first access is 17 bytes inside */
static void put_group(void)
{
    code_create();
    PUT(0, 0x48, 0x8b, 0x43, 0x11, 0x48, 0x8b, 0x13, HLT);
    memset(ram + DATA_GPA, 0x11, FRAMES * PAGE_SIZE);
}

static void groups(void)
{
    TEST("a group's miss fills the TLB and tries again");
    put_group();
    v->gpr[RBX] = DATA + 0x100;
    CHECK(run(0));
    CHECK(v->gpr[RAX] == 0x1111111111111111 && v->gpr[RDX] == v->gpr[RAX]);
    CHECK(v->stat[STAT_TLB_FILL] == 1 && !v->stat[STAT_PLAIN]);
    CHECK(run(0));
    CHECK_EQ(v->stat[STAT_TLB_FILL], 1);

    TEST("up to the end of a page");
    v->gpr[RBX] = DATA + PAGE_SIZE - 32;
    CHECK(run(0));
    CHECK(v->stat[STAT_TLB_FILL] == 1 && !v->stat[STAT_PLAIN]);

    TEST("a window that is only too long as it is rounded up: the twin goes on");
    memset(ram + DATA_GPA + PAGE_SIZE - 8, 0x33, 8);
    v->gpr[RBX] = DATA + PAGE_SIZE - 25;
    CHECK(run(0));
    CHECK(v->gpr[RAX] == 0x3333333333333333 && v->gpr[RDX] == 0x1111111111111111 &&
          v->gpr[RBX] == DATA + PAGE_SIZE - 25);
    CHECK(v->exec->tr->b->mode & MODE_PLAIN);
    CHECK(run(0));
    CHECK_EQ(v->stat[STAT_BOUNCE], 0);

    TEST("the next time translated code goes to the twin without C");
    void *missed = v->check_missed;
    v->check_missed = NULL;
    memset(ram + DATA_GPA + PAGE_SIZE - 8, 0x55, 8);
    CHECK(run(0));
    CHECK(v->gpr[RAX] == 0x5555555555555555 && v->gpr[RDX] == 0x1111111111111111 &&
          v->gpr[RBX] == DATA + PAGE_SIZE - 25);
    memset(ram + DATA_GPA + PAGE_SIZE - 8, 0x33, 8);
    v->gpr[RBX] = DATA + 0x100;
    CHECK(run(0));
    v->check_missed = missed;
    u64 fills = v->stat[STAT_TLB_FILL];
    mmu_flush_all(v);
    CHECK(run(0));
    CHECK_EQ(v->stat[STAT_TLB_FILL], fills + 1);
    v->gpr[RBX] = DATA + PAGE_SIZE - 25;
    CHECK(run(0));

    TEST("an emptied code cache empties what was noted");
    exec_misses_forget(v);
    for (u32 i = 0; i < CROSSINGS; i++)
        CHECK_EQ(v->crossing.after[i], 0);
    for (u32 i = 0; i < MISSED_SITES; i++)
        CHECK(!v->exec->missed[i].after);

    TEST("one whose TLB entry is not there, either");
    mmu_flush_all(v);
    v->gpr[RAX] = v->gpr[RDX] = 0;
    CHECK(run(0));
    CHECK(v->gpr[RAX] == 0x3333333333333333 && v->gpr[RDX] == 0x1111111111111111);
    CHECK_EQ(v->stat[STAT_PLAIN], 1); /* those before found the access by itself in the TLB */

    TEST("the first access lies on another page than its window starts");
    memset(ram + DATA_GPA + PAGE_SIZE, 0x44, 16);
    v->gpr[RBX] = DATA + PAGE_SIZE - 16;
    for (unsigned i = 0; i < 2; i++) {
        mmu_flush_all(v);
        v->gpr[RAX] = v->gpr[RDX] = 0;
        CHECK(run(0));
        CHECK(v->gpr[RAX] == 0x4444444444444444 && v->gpr[RDX] == 0x1111111111111111);
    }

    TEST("its fault has its own address");
    map(DATA + PAGE_SIZE, 0);
    mmu_flush_all(v);
    CHECK(faults(0, 0, DATA + PAGE_SIZE + 1));
    map(DATA + PAGE_SIZE, (DATA_GPA + PAGE_SIZE) | P | W);
    map(DATA, 0);
    mmu_flush_all(v);
    CHECK(faults(0, 4, DATA + PAGE_SIZE - 16));

    TEST("by an index, where r11 holds the address");
    code_create();
    PUT(0, 0x48, 0x8b, 0x44, 0x93, 0x10 /* mov rax, [rbx+rdx*4+16] */, 0x48, 0x8b, 0x34,
        0x93 /* mov rsi, [rbx+rdx*4] */, HLT);
    memset(ram + DATA_GPA, 0x11, PAGE_SIZE);
    memset(ram + DATA_GPA + PAGE_SIZE, 0x44, 16);
    static const u64 from[] = {0x100, PAGE_SIZE - 32, PAGE_SIZE - 24, PAGE_SIZE - 16};
    for (unsigned i = 0; i < 2 * ARRAY_LEN(from); i++) {
        mmu_flush_all(v);
        v->gpr[RBX] = DATA;
        v->gpr[RDX] = from[i / 2] / 4;
        v->gpr[RAX] = v->gpr[RSI] = 0;
        CHECK(run(0));
        CHECK_EQ(v->gpr[RAX], i / 2 == 3 ? 0x4444444444444444 : 0x1111111111111111);
        CHECK_EQ(v->gpr[RSI], 0x1111111111111111);
    }

    TEST("with loans in force");
    code_create();
    /* add r14, r15 and add r15, r14 several times; mov rax, [rbx+16]; mov rdx, [rbx] */
    PUT(0, 0x4d, 0x01, 0xfe, 0x4d, 0x01, 0xf7, 0x4d, 0x01, 0xfe, 0x4d, 0x01, 0xf7, 0x4d, 0x01, 0xfe, 0x4d, 0x01, 0xf7,
        0x4d, 0x01, 0xfe, 0x48, 0x8b, 0x43, 0x10, 0x48, 0x8b, 0x13, 0x4d, 0x01, 0xf7, 0x4d, 0x01, 0xfe, 0x4d, 0x01,
        0xf7, HLT);
    CHECK(block(0)->loans && block(0)->loan_from == 0 && block(0)->loan_to > 27);
    memset(ram + DATA_GPA, 0x11, FRAMES * PAGE_SIZE);
    static const bool flushed[] = {true, true, false, false};
    for (unsigned i = 0; i < ARRAY_LEN(flushed); i++) {
        if (flushed[i])
            mmu_flush_all(v);
        for (unsigned r = 0; r < GPR_COUNT; r++)
            v->gpr[r] = 1000 + r;
        v->gpr[RBX] = DATA + (i & 1 ? PAGE_SIZE - 24 : 0x40);
        v->gpr[R14] = 1;
        v->gpr[R15] = 1;
        CHECK(run(0));
        CHECK(v->gpr[R14] == 55 + 34 && v->gpr[R15] == 89 + 55);
        CHECK(v->gpr[RAX] == 0x1111111111111111 && v->gpr[RDX] == v->gpr[RAX]);
        static const u8 untouched[] = {RCX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13};
        for (unsigned k = 0; k < ARRAY_LEN(untouched); k++)
            CHECK_EQ(v->gpr[untouched[k]], 1000u + untouched[k]);
    }
}

static void jumping(void)
{
    TEST("a jump's miss looks its target up, then the jump cache has it");
    code_create();
    PUT(0, 0xff, 0xe0 /* jmp rax */);
    PUT(PAGE_SIZE, 0xe9, 0xfb, 0x0f, 0, 0 /* jmp to the next page */);
    PUT(2 * PAGE_SIZE, 0xc3 /* ret */);
    PUT(0x80, HLT);
    u64 target = CODE + 0x80;
    memcpy(ram + DATA_GPA, &target, 8);
    for (unsigned i = 0; i < 3; i++) {
        v->gpr[RAX] = CODE + PAGE_SIZE;
        v->gpr[RSP] = DATA;
        u64 lookups = v->stat[STAT_LOOKUP];
        CHECK(run(0));
        CHECK(v->gpr[RSP] == DATA + 8 && v->rip == CODE + 0x81);
        CHECK(i == 0 || v->stat[STAT_LOOKUP] == lookups);
    }

    TEST("a request ends it at its target");
    v->request = REQ_EVENT;
    v->gpr[RAX] = CODE + PAGE_SIZE;
    v->rip = CODE;
    execute(v);
    CHECK(v->rip == CODE + PAGE_SIZE && v->request == REQ_EVENT);
    v->request = 0;
}

/* Jumps from one page to another until so many targets have been looked at. */
static void jump_often(unsigned samples)
{
    for (unsigned i = 0; i < samples; i++) {
        v->sample_left = 2; /* the dispatcher counts, too */
        CHECK(run(0));
    }
}

/* So many jumps of the dispatcher are looked at, to as many places in turn. */
static void look_at(unsigned places, unsigned jumps)
{
    for (unsigned i = 0; i < jumps; i++) {
        v->sample_left = 1;
        CHECK(run(i % places * 4));
    }
}

static void heat(void)
{
    TEST("a block that jumps often, among few others, gets code without shared checks");
    code_create();
    PUT(0, 0x8b, 3 /* mov eax, [rbx] */, 0xff, 0xe2 /* jmp rdx */);
    v->gpr[RDX] = CODE + PAGE_SIZE;
    PUT(PAGE_SIZE, HLT);
    v->gpr[RBX] = DATA;
    *(u32 *)(ram + DATA_GPA) = 5;
    jump_often(HEAT_STEADY * HEAT_WINDOW);
    struct block *before = block(0);
    CHECK(!before->hot);
    jump_often(HEAT_WINDOW + 1);
    struct block *b = block(0);
    CHECK(b->hot && b != before && !before->valid && !block(PAGE_SIZE)->hot);
    v->gpr[RAX] = 0;
    CHECK(run(0) && v->gpr[RAX] == 5);

    TEST("it still dies when its code changes, and stays hot");
    ram[CODE_GPA + 1] = 0x0b; /* mov ecx, [rbx] */
    block_invalidate(v->vm, v, vcpu_slot(v, GPA(CODE_GPA)), GPA(CODE_GPA + 1), 1);
    CHECK(!b->valid && run(0));
    CHECK(v->gpr[RCX] == 5 && block(0)->hot);

    TEST("a block that the dispatcher enters, with those that it is linked to");
    code_create();
    PUT(0, 0x75, 0x40 /* jnz */, HLT);
    PUT(0x42, 0x75, 0x3e /* jnz */, HLT);
    PUT(0x82, HLT);
    for (unsigned i = 0; i < 3; i++) { /* links are made on the way */
        rflags_set_arith(v, 0);
        CHECK(run(0));
    }
    for (unsigned i = 0; i < (HEAT_STEADY + 1) * HEAT_WINDOW + 2; i++) {
        v->sample_left = 1;
        CHECK(run(0));
    }
    CHECK(block(0)->hot && block(0x42)->hot && block(0x82)->hot);

    TEST("returns count, and what they lead to");
    code_create();
    v->exec->heat.small = 0;
    PUT(0, 0xc3 /* ret */);
    PUT(0x80, HLT);
    u64 target = CODE + 0x80;
    memcpy(ram + DATA_GPA, &target, 8);
    for (unsigned i = 0; i < (HEAT_STEADY + 2) * HEAT_WINDOW; i++) {
        v->sample_left = 2;
        v->gpr[RSP] = DATA;
        CHECK(run(0));
    }
    CHECK(block(0x80)->hot);

    TEST("many do not: their code would not fit into the host's caches");
    code_create();
    v->exec->heat.small = 0;
    for (unsigned i = 0; i <= HEAT_SET; i++)
        PUT(i * 4, HLT);
    look_at(HEAT_SET + 1, 2 * HEAT_STEADY * HEAT_WINDOW);
    for (unsigned i = 0; i <= HEAT_SET; i++)
        CHECK(!block(i * 4)->hot);

    TEST("when very many are executed for long, no block is hot any more, and becoming so takes twice as long");
    code_create();
    for (unsigned i = 0; i < COLD_SET; i++)
        PUT(i * 4, HLT);
    look_at(1, (HEAT_STEADY + 2) * HEAT_WINDOW);
    CHECK(block(0)->hot && !cache->coolings);
    look_at(COLD_SET, (HEAT_STEADY + 2) * HEAT_WINDOW);
    CHECK(!block(0)->hot && cache->coolings == 1);
    look_at(1, (HEAT_STEADY + 3) * HEAT_WINDOW);
    CHECK(!block(0)->hot);
    look_at(1, HEAT_STEADY * HEAT_WINDOW);
    CHECK(block(0)->hot);
}

/* Runs user code until HLT, which it may not execute, and there is no handler. */
static bool run_user(u32 offset)
{
    v->rip = CODE + offset;
    v->sample_left = 2;
    v->gpr[RSP] = DATA;
    execute(v);
    bool ended = v->exit != CPU_EXIT_NONE && v->rip == CODE + PAGE_SIZE;
    v->exit = CPU_EXIT_NONE;
    v->activity = ACTIVITY_ACTIVE;
    v->request = 0;
    return ended;
}

static void heat_of_user_code(void)
{
    TEST("user code gets code without shared checks when it jumps or returns often among many others, and keeps it");
    static const u8 code[][2] = {{0xff, 0xe2 /* jmp rdx */}, {0xc3 /* ret */}};
    u64 target = CODE + PAGE_SIZE;
    for (unsigned i = 0; i < ARRAY_LEN(code); i++) {
        code_create();
        cpl_set(v, 3);
        PUT(0, 0x8b, 3 /* mov eax, [rbx] */);
        put_code(2, code[i], sizeof code[i]);
        PUT(PAGE_SIZE, HLT);
        v->gpr[RBX] = DATA;
        v->gpr[RDX] = target;
        memcpy(ram + DATA_GPA, &target, 8);
        memset(&v->exec->heat, 0, sizeof v->exec->heat);
        for (unsigned n = 1; n < HEAT_OFTEN; n++)
            CHECK(run_user(0));
        CHECK(!block(0)->hot);
        CHECK(run_user(0));
        CHECK(block(0)->hot && !block(PAGE_SIZE)->hot);
        CHECK(run_user(0));
        cache->has_hot = true;
        block_cool(v);
        CHECK(block(0)->hot && cache->coolings == 1);
    }
    cpl_set(v, 0);
}

int main(void)
{
    checks();
    jumps();
    places();
    single();
    groups();
    jumping();
    heat();
    heat_of_user_code();
    return TEST_END();
}
