/*
 * Epochs of dirty pages, as the dirty log of the KVM API needs them: what a bitmap says, what is cleared, and when
 * vCPUs are stopped for it.
 */
#include "ram/ram.h"
#include "unit/slots.h"
#include "unit/test.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define PAGES 200u /* not whole words */
#define WORDS 4u

static struct ram *r;
static struct {
    unsigned begun, ended;
    u64 first, pages;
    u64 fetch; /* what the accelerator adds to word 0 */
    int refuse;
} asked;

static int change(void *opaque, u32 space, const struct ram_slot *old, const struct ram_slot *now)
{
    return 0;
}

static int fetch(void *opaque, u32 space, struct ram_slot *s)
{
    s->dirty[0] |= asked.fetch;
    return asked.refuse;
}

static void begin(void *opaque)
{
    asked.begun++;
}

static void cleared(void *opaque, const struct ram_slot *s, u64 first, u64 pages)
{
    asked.first = first;
    asked.pages = pages;
}

static void end(void *opaque)
{
    asked.ended++;
}

static const struct ram_ops ops = {
    .change_begin = change, .dirty_fetch = fetch, .dirty_begin = begin, .dirty_cleared = cleared, .dirty_end = end};

static int set(u32 flags)
{
    static u8 *host;
    if (!host)
        host = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return ram_slot_set(
        r, 1,
        &(struct ram_region){.id = 5, .start = GPA(0x10000), .size = PAGES * PAGE_SIZE, .host = host, .flags = flags});
}

static void create(u32 flags)
{
    r = ram_create();
    memset(&asked, 0, sizeof(asked));
    CHECK(ram_attach(r, &ops, NULL) == 0 && set(flags) == 0);
}

static void mark(u64 page)
{
    ram_mark_dirty(&r->space[1].slot[0], GPA(0x10000 + page * PAGE_SIZE));
}

static void get(void)
{
    u64 map[WORDS];
    TEST("an epoch ends with the pages that were written");
    create(RAM_LOG_DIRTY);
    mark(0);
    mark(63);
    mark(64);
    mark(199);
    mark(199);
    CHECK_EQ(ram_dirty_get(r, 1, 5, map, false), 0);
    CHECK(map[0] == (BIT64(63) | 1) && map[1] == 1 && map[2] == 0 && map[3] == BIT64(7));
    CHECK(asked.begun == 1 && asked.ended == 1 && asked.first == 0 && asked.pages == PAGES);

    TEST("the next epoch begins empty, and nobody is stopped for it");
    CHECK(ram_dirty_get(r, 1, 5, map, false) == 0 && !map[0] && !map[1] && !map[2] && !map[3]);
    CHECK_EQ(asked.begun, 1);

    TEST("what the accelerator logs by itself");
    asked.fetch = BIT64(9);
    CHECK(ram_dirty_get(r, 1, 5, map, false) == 0 && map[0] == BIT64(9) && asked.begun == 2);
    asked.refuse = -EIO;
    CHECK_EQ(ram_dirty_get(r, 1, 5, map, false), -EIO);

    TEST("slots that are not there or not logged");
    CHECK_EQ(ram_dirty_get(r, 1, 4, map, false), -ENOENT);
    CHECK_EQ(ram_dirty_get(r, 0, 5, map, false), -ENOENT);
    CHECK_EQ(ram_dirty_get(r, 2, 5, map, false), -ENOENT);
    CHECK_EQ(set(0), 0);
    CHECK_EQ(ram_dirty_get(r, 1, 5, map, false), -ENOENT);

    TEST("logging begins anew");
    CHECK_EQ(set(RAM_LOG_DIRTY), 0);
    asked.refuse = 0;
    asked.fetch = 0;
    CHECK(ram_dirty_get(r, 1, 5, map, false) == 0 && !map[0]);

    TEST("logging begins with all pages dirty");
    CHECK_EQ(set(0), 0);
    CHECK_EQ(set(RAM_LOG_DIRTY | RAM_ALL_DIRTY), 0);
    CHECK(ram_dirty_get(r, 1, 5, map, false) == 0 && map[0] == ~0ull && map[2] == ~0ull && map[3] == 0xff);
    ram_destroy(r);
}

static void clear(void)
{
    u64 map[WORDS], some[WORDS] = {0};
    TEST("an epoch that goes on");
    create(RAM_LOG_DIRTY);
    mark(3);
    mark(70);
    mark(199);
    CHECK(ram_dirty_get(r, 1, 5, map, true) == 0 && map[0] == 8 && map[1] == 64 && map[3] == BIT64(7));
    CHECK(ram_dirty_get(r, 1, 5, map, true) == 0 && map[0] == 8);
    CHECK(asked.begun == 2 && asked.ended == 2 && asked.pages == 0);

    TEST("an epoch ends for single pages");
    some[0] = BIT64(6) | BIT64(7); /* pages 70 and 71 */
    CHECK_EQ(ram_dirty_clear(r, 1, 5, 64, 128, some), 0);
    CHECK(asked.begun == 3 && asked.ended == 3 && asked.first == 64 && asked.pages == 128);
    CHECK(ram_dirty_get(r, 1, 5, map, true) == 0 && map[0] == 8 && map[1] == 0 && map[3] == BIT64(7));
    some[0] = BIT64(7);
    CHECK_EQ(ram_dirty_clear(r, 1, 5, 192, 8, some), 0);
    CHECK(ram_dirty_get(r, 1, 5, map, true) == 0 && map[0] == 8 && map[3] == 0);

    TEST("for no pages nobody is stopped");
    asked.begun = 0;
    some[0] = 0;
    CHECK(ram_dirty_clear(r, 1, 5, 0, 64, some) == 0 && !asked.begun);

    static const struct {
        u64 first, count;
        int result;
    } rows[] = {
        {0, PAGES, 0},      {0, 128, 0},        {192, 8, 0},       {1, 64, -EINVAL},       {0, 100, -EINVAL},
        {64, 200, -EINVAL}, {192, 64, -EINVAL}, {256, 0, -EINVAL}, {~63ull, 128, -EINVAL},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        TEST("ranges");
        CHECK_EQ(ram_dirty_clear(r, 1, 5, rows[i].first, rows[i].count, some), rows[i].result);
    }
    CHECK_EQ(ram_dirty_clear(r, 1, 6, 0, 64, some), -ENOENT);
    ram_destroy(r);
}

int main(void)
{
    get();
    clear();
    return TEST_END();
}
