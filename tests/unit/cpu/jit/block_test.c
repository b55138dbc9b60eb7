/*
 * The code cache: what makes a block another one, links, what a store invalidates and what it spares, instructions over
 * a page end, and the cache when it is full.
 */
#include "cpu/event/debug.h"
#include "unit/code_cache.h"

#define JMP8(to, from) 0xeb, (u8)((to) - (from)-2)
#define MOV_EAX(imm) 0xb8, (u8)(imm), 0, 0, 0

static const u8 *target_of(const u8 *field)
{
    s32 rel;
    memcpy(&rel, field, 4);
    return field + 4 + rel;
}

static bool has_code(u64 page)
{
    return vm.ram->slot[0].page[page >> PAGE_SHIFT] & RAM_CODE;
}

static void store(u64 la, u8 value)
{
    CHECK(mem_write(v, la, &value, 1, ACCESS_WRITE) == CPU_OK);
}

static void finding(void)
{
    TEST("a block is found again");
    code_create();
    PUT(0, 0x90, 0x89, 0x03 /* mov [rbx], eax */, HLT);
    struct block *b = block(0);
    CHECK(b && b->valid && b->page == (u64)ram + CODE_GPA && b->offset == 0 && b->size == 4 && b->page2 == NO_PAGE);
    CHECK(block(0) == b);
    CHECK_EQ(cache->block_count, 1);

    TEST("offset and mode make it another one");
    CHECK(block(1) != b);
    struct block *step = block_in(0, MODE_STEP), *plain = block_in(0, MODE_PLAIN);
    CHECK(step != b && plain != b && step != plain);
    CHECK_EQ(step->size, 1);
    CHECK(block(0) == b);

    TEST("another linear address of the same bytes does not make it another one");
    map(DATA, CODE_GPA | P | W);
    enum outcome out;
    CHECK(block_find(v, DATA, v->mode, &out) == b && out == CPU_OK);

    TEST("a page that may not be fetched from");
    map(DATA + PAGE_SIZE, CODE_GPA | P | NX);
    CHECK(!block_find(v, DATA + PAGE_SIZE, v->mode, &out));
    CHECK(out == CPU_FAULT && v->fault.vector == EXC_PF && v->fault.payload == DATA + PAGE_SIZE);

    TEST("a page where there is no RAM");
    map(DATA + 2 * PAGE_SIZE, RAM_SIZE | P);
    CHECK(!block_find(v, DATA + 2 * PAGE_SIZE, v->mode, &out) && out == CPU_FAULT && v->fault.vector == EXC_UD);

    TEST("a block is found by a host address in it");
    struct block *other = block(1);
    CHECK(block_at(cache, b->far_entry) == b && block_at(cache, b->hot_end - 1) == b);
    CHECK(block_at(cache, other->near_entry) == other && block_at(cache, other->cold) == other);
    CHECK(block_at(cache, b->cold) == b && block_at(cache, b->cold_end - 1) == b);
    CHECK(!block_at(cache, cache->hot) && !block_at(cache, cache->cold));
    CHECK(!block_at(cache, other->far_entry - 1) || b->hot_end == other->far_entry);

    TEST("what blocks share is of none");
    CHECK(!block_at(cache, cache->code) && !block_at(cache, b->far_entry - 1));
    CHECK(!block_at(cache, cache->check[0][0]) && !block_at(cache, cache->jump[1]));
    code_create();
    CHECK(!block_at(cache, cache->code) && !block_at(cache, cache->hot) && !block_at(cache, cache->cold));

    TEST("each address of many blocks, short ones and long ones");
    memset(ram + CODE_GPA, 0x90, FRAMES * PAGE_SIZE);
    for (u32 i = 0; i < 64; i++) /* most of them have loads among their instructions */
        PUT(i * 64, 0x8b, 3, 0x8b, 0x46, (u8)i, 0x8b, 7, 0xeb, (u8)i);
    for (u32 i = 0; i < 64; i++) {
        CHECK(block(i * 64));
        CHECK(block(i * 64 + 63 - i % 8));
    }
    u32 at = 0, wrong = 0, between = 0;
    for (const u8 *p = cache->code; p < cache->hot + 1000; p++) {
        while (at < cache->block_count && cache->blocks[at].hot_end <= p)
            at++;
        bool inside = at < cache->block_count && cache->blocks[at].far_entry <= p;
        wrong += block_at(cache, p) != (inside ? &cache->blocks[at] : NULL);
        between += !inside && at > 0 && at < cache->block_count;
    }
    CHECK(cache->hot - cache->code > 8 * GRANULE && between);
    CHECK_EQ(wrong, 0);
}

static void linking(void)
{
    TEST("a branch within the page is chained by its first run");
    code_create();
    PUT(0, JMP8(0x40, 0));
    PUT(0x40, MOV_EAX(7), HLT);
    struct block *from = block(0);
    const struct exit_link *link = from->links;
    CHECK(from->link_count == 1 && link->target == 0x40 && !link->to && target_of(link->field) == link->stub);
    CHECK(run(0));
    CHECK_EQ(v->gpr[RAX], 7);
    struct block *to = block(0x40);
    CHECK(link->to == to && to->in == link && target_of(link->field) == to->near_entry);
    u64 lookups = v->stat[STAT_LOOKUP];
    CHECK(run(0));
    CHECK_EQ(v->stat[STAT_LOOKUP], lookups);

    TEST("a dead target sends its links back");
    store(CODE + 0x41, 8);
    CHECK(!to->valid && !link->to && target_of(link->field) == link->stub && from->valid);
    CHECK(run(0));
    CHECK_EQ(v->gpr[RAX], 8);
    CHECK(link->to && link->to != to && link->to->valid);

    TEST("no link to what the branch does not mean");
    code_create();
    PUT(0, JMP8(0x40, 0));
    PUT(0x40, HLT);
    PUT(0x50, HLT);
    PUT(PAGE_SIZE + 0x40, HLT);
    struct exit_link *l = block(0)->links;
    block_link(v, l, block(0x50), 0);
    block_link(v, l, block(PAGE_SIZE + 0x40), 0);
    block_link(v, l, block_in(0x40, MODE_STEP), 0);
    CHECK(!l->to && target_of(l->field) == l->stub);
    to = block(0x40);
    store(CODE + 0x40, 0x90);
    block_link(v, l, to, 0);
    CHECK(!to->valid && !l->to);
    store(CODE, 0xeb);
    to = block(0x40);
    block_link(v, l, to, 0); /* of a dead block */
    CHECK(to->valid && !l->to);
}

/* The guard's displacement of a link to another page, but for the good sum of a block that is not hot. */
static s32 guard_of(const struct exit_link *link)
{
    return *(const s32 *)link->stub - !link->from->hot;
}

static void across(void)
{
    TEST("a branch to another page is chained by its first run");
    code_create();
    PUT(0, 0xe9, 0x3b, 0x10, 0, 0 /* jmp to the next page */);
    PUT(PAGE_SIZE + 0x40, MOV_EAX(7), HLT);
    struct block *from = block(0);
    const struct exit_link *link = from->links;
    CHECK(from->link_count == 1 && link->across && link->target == 0x40 && !link->to && !guard_of(link));
    CHECK(run(0));
    CHECK_EQ(v->gpr[RAX], 7);
    struct block *to = block(PAGE_SIZE + 0x40);
    CHECK(link->to == to && to->in == link && target_of(link->field) == to->far_entry);
    CHECK_EQ(guard_of(link), -(s32)(CODE_GPA / PAGE_SIZE + 1 + 0x40));
    u64 lookups = v->stat[STAT_LOOKUP];
    CHECK(run(0));
    CHECK_EQ(v->stat[STAT_LOOKUP], lookups);
    CHECK_EQ(v->page_la, CODE + PAGE_SIZE);

    TEST("it is not taken where another page is mapped, and taken again where the page is");
    PUT(2 * PAGE_SIZE + 0x40, MOV_EAX(8), HLT);
    map(CODE + PAGE_SIZE, (CODE_GPA + 2 * PAGE_SIZE) | P | W | U);
    mmu_flush_page(v, 0, true, 0, CODE + PAGE_SIZE);
    CHECK(run(0));
    CHECK_EQ(v->gpr[RAX], 8);
    CHECK(link->to == to);
    map(CODE + PAGE_SIZE, (CODE_GPA + PAGE_SIZE) | P | W | U);
    mmu_flush_all(v);
    CHECK(run(0));
    CHECK_EQ(v->gpr[RAX], 7);
    map(CODE + PAGE_SIZE, 0);
    mmu_flush_all(v);
    v->rip = CODE;
    execute(v);
    CHECK(v->rip == CODE + PAGE_SIZE + 0x40 && v->fault.valid);

    TEST("a dead target opens it to the next one");
    code_create();
    PUT(0, 0xe9, 0x3b, 0x10, 0, 0);
    PUT(PAGE_SIZE + 0x40, MOV_EAX(7), HLT);
    CHECK(run(0));
    link = block(0)->links;
    to = link->to;
    store(CODE + PAGE_SIZE + 0x41, 9);
    CHECK(!to->valid && !link->to && !guard_of(link));
    CHECK(run(0));
    CHECK_EQ(v->gpr[RAX], 9);
    v->sample_left = 2; /* the jump cache knows the way: the link is chained when the jump is looked at */
    CHECK(run(0));
    CHECK(link->to && link->to != to && guard_of(link));

    TEST("a hot block has another good sum, and looks at the return stack's mask");
    code_create();
    memset(cache->hot_hash, 0xff, sizeof cache->hot_hash);
    PUT(0, 0xe9, 0x3b, 0x10, 0, 0);
    PUT(PAGE_SIZE + 0x40, MOV_EAX(7), 0x85, 0xdb /* test ebx, ebx */, 0x0f, 0x85, 0xb3, 0xef, 0xff, 0xff /* jnz back */,
        HLT);
    v->gpr[RBX] = 0;
    link = block(0)->links;
    CHECK(link->from->hot && link->across && !guard_of(link));
    CHECK(run(0));
    CHECK(link->to == block(PAGE_SIZE + 0x40));
    CHECK_EQ(guard_of(link), -(s32)(CODE_GPA / PAGE_SIZE + 1 + 0x40));
    CHECK_EQ(v->gpr[RAX], 7);
    lookups = v->stat[STAT_LOOKUP];
    CHECK(run(0));
    CHECK_EQ(v->stat[STAT_LOOKUP], lookups);
    v->return_mask = 0; /* by a request that is gone */
    CHECK(run(0));
    CHECK(v->return_mask);
    v->gpr[RBX] = 1;
    request_raise(v, REQ_LEAVE);
    v->rip = CODE;
    execute(v);
    CHECK(v->request && (v->rip == CODE || v->rip == CODE + PAGE_SIZE + 0x40));
    v->request = 0;
    v->gpr[RBX] = 0;
    store(CODE + PAGE_SIZE + 0x41, 9);
    CHECK(!link->to && !guard_of(link));
    CHECK(run(0));
    CHECK_EQ(v->gpr[RAX], 9);

    TEST("a page in memory too high for guards, and one with a debugger's breakpoint, get none");
    CHECK(LINK_PAGES < TLB_SIZE * PAGE_SIZE && LINK_PAGES + PAGE_SIZE < (u64)INT32_MAX);
    struct cpu_debug d = {.on = CPU_DEBUG_HW, .dr = {CODE + PAGE_SIZE + 0x40}, .dr7 = 2};
    debug_set(v, &d);
    v->rip = CODE;
    for (unsigned i = 0; i < 10 && v->exit == CPU_EXIT_NONE; i++)
        execute(v);
    CHECK(v->exit == CPU_EXIT_DEBUG && v->rip == CODE + PAGE_SIZE + 0x40);
    v->exit = CPU_EXIT_NONE;
    debug_set(v, &(struct cpu_debug){0});

    TEST("a request ends a link back at its target");
    code_create();
    PUT(PAGE_SIZE, 0xe9, 0xfb, 0xef, 0xff, 0xff /* jmp to the page before */);
    PUT(0, HLT);
    CHECK(run(PAGE_SIZE) && run(PAGE_SIZE));
    CHECK(block(PAGE_SIZE)->links->to == block(0));
    v->request = REQ_EVENT;
    v->rip = CODE + PAGE_SIZE;
    execute(v);
    CHECK(v->rip == CODE && v->request == REQ_EVENT);
    v->request = 0;
}

static void invalidation(void)
{
    TEST("a store kills the blocks that it touches and no other");
    code_create();
    PUT(0, 0x90, HLT);
    PUT(0x10, 0x90, 0x90, HLT);
    PUT(0x20, HLT);
    struct block *first = block(0), *second = block(0x10), *third = block(0x20);
    CHECK(has_code(CODE_GPA));
    store(CODE + 0x11, 0x90);
    CHECK(first->valid && !second->valid && third->valid && v->code_changed && has_code(CODE_GPA));
    CHECK(block(0x10) != second && block(0) == first);

    TEST("bytes between blocks");
    v->code_changed = false;
    store(CODE + 2, 1);
    store(CODE + 0x13, 1);
    CHECK(first->valid && third->valid && !v->code_changed);

    TEST("a store over all of them; the page is data again");
    u8 wide[0x30] = {0};
    CHECK(mem_write(v, CODE, wide, sizeof wide, ACCESS_WRITE) == CPU_OK);
    CHECK(!first->valid && !third->valid && !has_code(CODE_GPA));
    bool filled;
    CHECK(mmu_fill(v, CODE, ACCESS_WRITE, &filled) == CPU_OK && filled);

    TEST("translation takes a write mapping away, and fills none");
    PUT(0, MOV_EAX(1), HLT);
    first = block(0);
    CHECK(mmu_fill(v, CODE, ACCESS_WRITE, &filled) == CPU_OK && !filled);
    CHECK(mmu_fill(v, CODE, ACCESS_READ, &filled) == CPU_OK && filled);
    store(CODE + 1, 2);
    CHECK(!first->valid && run(0));
    CHECK_EQ(v->gpr[RAX], 2);

    TEST("the far entry of a dead block leads out of it, wherever it lies");
    for (unsigned i = 0; i < 8; i++) {
        cache->hot += i;
        v->code_changed = false;
        first = block(0);
        u8 *far_entry = first->far_entry;
        store(CODE + 1, (u8)(3 + i));
        v->code_changed = false;
        v->resume = (u64)far_entry;
        v->resume_r11 = CODE;
        v->gpr[RAX] = 0;
        v->activity = ACTIVITY_ACTIVE;
        exec_enter(v);
        CHECK(v->gpr[RAX] == 3u + i && v->activity == ACTIVITY_HLT);
    }
    v->activity = ACTIVITY_ACTIVE;
    v->code_changed = false;

    TEST("a device's write");
    first = block(0);
    v->code_changed = false;
    ram[CODE_GPA + 1] = 4;
    block_invalidate(&vm, NULL, &memory->space[0].slot[0], GPA(CODE_GPA), PAGE_SIZE);
    CHECK(!first->valid && !v->code_changed && (v->request & REQ_EXCLUSIVE));
    v->request = 0;
    CHECK(run(0));
    CHECK_EQ(v->gpr[RAX], 4);
}

/* A second vCPU in the state of the first, which runs nothing. */
static struct vcpu *second_vcpu(void)
{
    struct vcpu *w = pages(sizeof *w + 4096);
    memcpy(w, v, sizeof *w);
    w->index = w->apic_id = 1;
    lapic_create(w, pages(lapic_size()));
    mmu_init(w, pages(mmu_size()));
    vm.vcpu[1] = w;
    vm.vcpu_count = 2;
    return w;
}

static void other_vcpu(void)
{
    TEST("translation takes the write mappings of other vCPUs away");
    code_create();
    struct vcpu *w = second_vcpu();
    bool filled;
    u8 nop = 0x90;
    PUT(0, HLT);
    CHECK(mmu_fill(w, CODE, ACCESS_WRITE, &filled) == CPU_OK && filled);
    CHECK(mmu_fill(w, DATA, ACCESS_WRITE, &filled) == CPU_OK && filled);
    CHECK_EQ(vm.ram->slot[0].page[CODE_GPA >> PAGE_SHIFT], BIT(1));
    mmu_attach(v);
    struct block *b = block(0);
    CHECK(b->valid && !vm.exclusive);
    CHECK_EQ(vm.ram->slot[0].page[CODE_GPA >> PAGE_SHIFT], RAM_CODE);
    CHECK_EQ(vm.ram->slot[0].page[DATA_GPA >> PAGE_SHIFT], BIT(1));

    TEST("their stores invalidate, and are no news to the running block of this one");
    v->request = w->request = 0;
    CHECK(mem_write(w, CODE, &nop, 1, ACCESS_WRITE) == CPU_OK && !b->valid);
    CHECK(w->code_changed && !v->code_changed && v->request == REQ_EXCLUSIVE && !w->request);
    mmu_attach(v);
    v->request = 0;
    vm.vcpu_count = 1;
}

/* mov rax, imm64 over the end of the first page of CODE */
#define CROSSING (PAGE_SIZE - 3)
static void put_crossing(u8 imm)
{
    PUT(CROSSING, 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, imm, HLT);
}

static void second_page(void)
{
    const u64 first = CODE_GPA, second = CODE_GPA + PAGE_SIZE, other = DATA_GPA;
    TEST("an instruction over a page end is a block of its own");
    code_create();
    put_crossing(8);
    PUT(CROSSING - 2, 0x90, 0x90);
    struct block *before = block(CROSSING - 2), *b = block(CROSSING);
    CHECK(before->size == 2 && before->page2 == NO_PAGE);
    CHECK(b->page == (u64)ram + first && b->page2 == (u64)ram + second && b->size == 10 && has_code(first) &&
          has_code(second));
    CHECK(run(CROSSING - 2));
    CHECK_EQ(v->gpr[RAX], 0x0807060504030201);

    TEST("it is found by both pages");
    memcpy(ram + other, ram + second, 64);
    ram[other + 6] = 9;
    map(CODE + PAGE_SIZE, other | P | W);
    mmu_flush_page(v, 0, true, 0, CODE + PAGE_SIZE);
    struct block *b2 = block(CROSSING);
    CHECK(b2 && b2 != b && b2->page2 == (u64)ram + other && b->valid);
    CHECK(run(CROSSING - 2));
    CHECK_EQ(v->gpr[RAX], 0x0907060504030201);
    map(CODE + PAGE_SIZE, second | P | W);
    mmu_flush_page(v, 0, true, 0, CODE + PAGE_SIZE);
    CHECK(block(CROSSING) == b && run(CROSSING - 2));
    CHECK_EQ(v->gpr[RAX], 0x0807060504030201);

    TEST("stores to either of its pages kill it");
    store(CODE + PAGE_SIZE + 7, HLT); /* behind it */
    CHECK(b->valid);
    store(CODE + PAGE_SIZE + 6, 7);
    CHECK(!b->valid && b2->valid && !has_code(second));
    store(CODE + PAGE_SIZE - 1, 5);
    CHECK(!b2->valid);
    CHECK(run(CROSSING));
    CHECK_EQ(v->gpr[RAX], 0x0707060504030205);

    TEST("its second page is absent, or is no RAM");
    enum outcome out;
    map(CODE + PAGE_SIZE, 0);
    mmu_flush_page(v, 0, true, 0, CODE + PAGE_SIZE);
    for (unsigned i = 0; i < 2; i++) { /* with a block that is known, and without */
        CHECK(!block_find(v, CODE + CROSSING, v->mode, &out));
        CHECK(out == CPU_FAULT && v->fault.vector == EXC_PF && v->fault.payload == CODE + PAGE_SIZE);
        block_invalidate(&vm, v, &memory->space[0].slot[0], GPA(first), PAGE_SIZE);
    }
    map(CODE + PAGE_SIZE, RAM_SIZE | P);
    mmu_flush_page(v, 0, true, 0, CODE + PAGE_SIZE);
    CHECK(!block_find(v, CODE + CROSSING, v->mode, &out) && out == CPU_FAULT && v->fault.vector == EXC_UD);

    TEST("the walk to it invalidates blocks");
    code_create();
    put_crossing(8);
    u64 *entry = entry_at(CODE + PAGE_SIZE, 1);
    u64 table = (u64)((u8 *)entry - ram) & ~PAGE_MASK;
    map(DATA, table | P | W);
    memcpy(ram + table + 0xc00, (u8[]){0x90, HLT}, 2);
    struct block *in_table = block_find(v, DATA + 0xc00, v->mode, &out);
    CHECK(in_table && block(CROSSING));
    *entry &= ~A;
    mmu_flush_page(v, 0, true, 0, CODE + PAGE_SIZE);
    CHECK(block(CROSSING) && *entry & A && in_table->valid);
}

/* Translates at every address, each way, until the cache is flushed. Returns false if it was not flushed. */
static bool fill_cache(void)
{
    const u32 places = FRAMES * PAGE_SIZE - 16;
    for (u32 i = 0; i < 2 * places && !cache->flushes; i++)
        if (!block_in(i % places, i < places ? 0 : MODE_PLAIN))
            return false;
    return cache->flushes;
}

static void full(void)
{
    for (unsigned i = 0; i < 4; i++) {
        static const char *const names[] = {"full of code", "full of data", "no block left", "no link left"};
        TEST(names[i]);
        code_create();
        memset(ram + CODE_GPA, 0x90, FRAMES * PAGE_SIZE);
        PUT(0, MOV_EAX(1), HLT);
        CHECK(run(0) && jump_find(v->tlb, CODE));
        u64 generation = cache->generation;
        if (i == 1)
            cache->data_next = cache->data_end - CACHE_ROOM - 4096;
        else if (i == 2)
            cache->block_max = cache->block_count + 4;
        else if (i == 3)
            cache->link_max = cache->link_count + 256;
        CHECK(fill_cache());
        CHECK(cache->generation == generation + 1 && !jump_find(v->tlb, CODE) && !vm.exclusive);
        CHECK_EQ(cache->block_count, 1);
        CHECK(block_at(cache, cache->blocks[0].far_entry) == cache->blocks && cache->blocks[0].valid);
        CHECK(!block_at(cache, cache->code) && cache->blocks[0].far_entry > cache->jump[1]);
        CHECK(run(0));
    }
}

int main(void)
{
    finding();
    linking();
    across();
    invalidation();
    other_vcpu();
    second_page();
    full();
    return TEST_END();
}
