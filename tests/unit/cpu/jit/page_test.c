/*
 * Pages with code: which lines have code, what stores beside it do, and what is compared, spared and killed in memory
 * that others write without notice.
 */
#include "cpu/jit/page.h"
#include "unit/code_cache.h"

#define MOV_EAX(imm) 0xb8, (u8)(imm), 0, 0, 0

static void create(bool foreign)
{
    code_create();
    v->running = true; /* as in cpu_run */
    vm.foreign = foreign;
    vm.ram->slot[0].flags = foreign ? RAM_FOREIGN : 0;
}

static struct page_code *page(u32 offset)
{
    return page_find(cache, (u64)ram + CODE_GPA + offset);
}

static void store(u64 la, u8 value)
{
    CHECK(mem_write(v, la, &value, 1, ACCESS_WRITE) == CPU_OK);
}

/* Somebody else writes; then the page is compared. */
static void foreign_store(u32 offset, u8 value)
{
    ram[CODE_GPA + offset] = value;
    block_check(v, &vm.ram->slot[0], GPA(CODE_GPA + offset));
}

static void lines(void)
{
    TEST("lines of a range");
    CHECK_EQ(page_lines(0, 1), 1);
    CHECK_EQ(page_lines(63, 2), 3);
    CHECK_EQ(page_lines(0, PAGE_SIZE), ~0ull);
    CHECK_EQ(page_lines(PAGE_SIZE - 1, 1), BIT64(63));

    TEST("a page has the lines of its blocks, and none before and after");
    create(false);
    PUT(0x3f, MOV_EAX(1), HLT);
    PUT(0x100, HLT);
    CHECK(!page(0));
    struct block *first = block(0x3f), *second = block(0x100);
    CHECK_EQ(page(0)->lines, 3 | BIT64(4));
    CHECK(!page(0)->original && !page(PAGE_SIZE));

    TEST("stores to other lines are nothing to the blocks");
    u64 beside = v->stat[STAT_BESIDE];
    store(CODE + 0x80, 1);
    store(CODE + PAGE_SIZE - 1, 1);
    CHECK(first->valid && second->valid && !v->code_changed);
    CHECK_EQ(v->stat[STAT_BESIDE], beside + 2);

    TEST("stores to other bytes of a line with code are nothing to them, either");
    store(CODE + 0x3e, 1);
    store(CODE + 0x101, 1);
    CHECK(first->valid && second->valid && !v->code_changed);
    CHECK_EQ(v->stat[STAT_BESIDE], beside + 2);

    TEST("a store over several lines kills, and their code is forgotten");
    u8 wide[0x40] = {0};
    CHECK(mem_write(v, CODE + 0x20, wide, sizeof(wide), ACCESS_WRITE) == CPU_OK);
    CHECK(!first->valid && second->valid && v->code_changed);
    CHECK_EQ(page(0)->lines, BIT64(4));
    store(CODE + 0x100, 0x90);
    CHECK(!second->valid && !page(0)->lines && !page(0)->blocks);
    CHECK(!(vm.ram->slot[0].page[CODE_GPA >> PAGE_SHIFT] & RAM_CODE));

    TEST("a vCPU outside of cpu_run takes the lock");
    PUT(0, HLT);
    first = block(0);
    v->running = false;
    beside = v->stat[STAT_BESIDE];
    store(CODE + 0x200, 1);
    CHECK(first->valid && v->stat[STAT_BESIDE] == beside);
}

static void compared(void)
{
    TEST("others write: blocks that were made from other bytes die, the rest lives");
    create(true);
    PUT(0, MOV_EAX(1), HLT);
    PUT(0x10, MOV_EAX(2), HLT);
    PUT(0x200, MOV_EAX(3), HLT);
    struct block *first = block(0), *second = block(0x10), *third = block(0x200);
    CHECK(!page_differs(page(0)));
    foreign_store(0x11, 7);
    CHECK(first->valid && !second->valid && third->valid && v->code_changed);
    CHECK(!page_differs(page(0)));
    CHECK_EQ(v->stat[STAT_CODE_STALE], 1);
    v->code_changed = false;

    TEST("bytes between blocks: none dies, and the next comparison is short again");
    ram[CODE_GPA + 8] = 1;
    CHECK(page_differs(page(0)));
    foreign_store(9, 1);
    CHECK(first->valid && third->valid && !v->code_changed && !page_differs(page(0)));

    TEST("lines without code are not compared");
    ram[CODE_GPA + 0x400] = 1;
    CHECK(!page_differs(page(0)));

    TEST("a new block finds that others are made from what is no more");
    PUT(0x300, 0x90, MOV_EAX(4), HLT);
    struct block *outer = block(0x300), *inner = block(0x301);
    ram[CODE_GPA + 0x302] = 5;
    struct block *last = block(0x306);
    CHECK(!outer->valid && !inner->valid && last->valid && v->code_changed);
    CHECK(block(0x301) != inner && run(0x300));
    CHECK_EQ(v->gpr[RAX], 5);

    TEST("all die: the page is data");
    foreign_store(1, 9);
    foreign_store(0x201, 9);
    foreign_store(0x302, 9);
    CHECK(!first->valid && !third->valid);
    foreign_store(0x306, 0x90);
    CHECK(!last->valid && !page(0)->blocks);
    CHECK(!(vm.ram->slot[0].page[CODE_GPA >> PAGE_SHIFT] & RAM_CODE));
}

/* mov rax, imm64 over the end of the first page */
#define CROSSING (PAGE_SIZE - 3)
static void crossing(void)
{
    TEST("an instruction over a page end is compared in both pages");
    for (u32 i = 0; i < 2; i++) {
        create(true);
        PUT(CROSSING, 0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8, HLT);
        struct block *b = block(CROSSING);
        CHECK(b && b->page2 != NO_PAGE);
        CHECK_EQ(page(0)->lines, BIT64(63));
        CHECK_EQ(page(PAGE_SIZE)->lines, 1);
        foreign_store(i ? PAGE_SIZE - 1 : PAGE_SIZE + 6, 9);
        CHECK(!b->valid);
        CHECK(run(CROSSING));
        CHECK_EQ(v->gpr[RAX], i ? 0x0807060504030209 : 0x0907060504030201);
    }

    TEST("over the end of a page into the same one");
    create(true);
    map(CODE + PAGE_SIZE, CODE_GPA | P | W);
    PUT(CROSSING, 0x48, 0xb8, 1);
    PUT(0, 2, 3, 4, 5, 6, 7, 8, HLT);
    struct block *b = block(CROSSING);
    CHECK(b && b->page == b->page2);
    CHECK_EQ(page(0)->lines, BIT64(63) | 1);
    foreign_store(6, 9);
    CHECK(!b->valid && run(CROSSING));
    CHECK_EQ(v->gpr[RAX], 0x0907060504030201);
    b = block(CROSSING);
    store(CODE, 1);
    CHECK(!b->valid && run(CROSSING));
    CHECK_EQ(v->gpr[RAX], 0x0907060504030101);
}

static void forgotten(void)
{
    TEST("the slot goes");
    create(true);
    PUT(0, HLT);
    PUT(PAGE_SIZE, HLT);
    struct block *first = block(0), *second = block(PAGE_SIZE);
    block_forget(&vm, &vm.ram->slot[0]);
    CHECK(!first->valid && !second->valid && !page(0)->blocks && !page(PAGE_SIZE)->lines);
    CHECK(block(0)->valid);
}

int main(void)
{
    lines();
    compared();
    crossing();
    forgotten();
    return TEST_END();
}
