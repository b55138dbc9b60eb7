/*
 * Access by devices and loaders: bounds, ROM, ranges over several slots, and the notice of each write.
 */
#include "ram/ram.h"
#include "unit/slots.h"
#include "unit/test.h"

#include <string.h>
#include <sys/mman.h>

#define MIB (1ull << 20)

static struct ram *r;
static u8 *low, *high, *rom;
static struct {
    unsigned calls;
    u64 at, size;
} notice;

static void code_written(void *opaque, const struct ram_slot *s, gpa_t at, u64 size)
{
    notice.calls++;
    notice.at = at.a;
    notice.size = size;
    CHECK(at.a - s->start.a < s->size);
}

static int begin(void *opaque, u32 space, const struct ram_slot *old, const struct ram_slot *now)
{
    return 0;
}

static const struct ram_ops ops = {.change_begin = begin, .code_written = code_written};

static u8 *pages(u64 size)
{
    return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* RAM up to 2 MiB in two slots, whose memory is apart; ROM behind it; more RAM in the other space. */
static void create(void)
{
    low = pages(MIB);
    high = pages(MIB);
    rom = pages(PAGE_SIZE);
    r = slots_create(low, MIB);
    slot_put(r, 1, MIB, MIB, high, RAM_LOG_DIRTY);
    slot_put(r, 2, 2 * MIB, PAGE_SIZE, rom, RAM_READONLY);
    if (ram_slot_set(r, 1, &(struct ram_region){.start = GPA(8 * MIB), .size = MIB, .host = low}))
        abort();
    CHECK_EQ(ram_attach(r, &ops, NULL), 0);
    memset(&notice, 0, sizeof(notice));
}

static void mark_code(u64 at)
{
    *ram_page_word(ram_find(&r->space[0], GPA(at)), GPA(at)) |= RAM_CODE;
}

static bool dirty(u64 at)
{
    return ram_is_dirty(ram_find(&r->space[0], GPA(at)), GPA(at));
}

static void bounds(void)
{
    u8 buf[64] = {1, 2, 3, 4}, back[64];
    TEST("accesses over the border of two slots");
    create();
    CHECK(ram_write(r, GPA(MIB - 2), buf, 4));
    CHECK(low[MIB - 2] == 1 && low[MIB - 1] == 2 && high[0] == 3 && high[1] == 4);
    CHECK(ram_read(r, GPA(MIB - 3), back, 6) && !memcmp(back, "\0\1\2\3\4\0", 6));
    CHECK(ram_fill(r, GPA(MIB - 1), 0xee, 2) && low[MIB - 1] == 0xee && high[0] == 0xee && high[1] == 4);
    CHECK(!ram_pointer(r, GPA(MIB - 1), 2));

    TEST("an access is done whole or not at all");
    CHECK(ram_read(r, GPA(2 * MIB - 4), back, 8));
    CHECK(!ram_write(r, GPA(2 * MIB - 4), buf, 8) && !high[MIB - 4]);
    CHECK(!ram_fill(r, GPA(2 * MIB - 4), 1, 8) && !high[MIB - 4]);
    memset(back, 9, sizeof(back));
    CHECK(!ram_read(r, GPA(2 * MIB + PAGE_SIZE - 4), back, 8) && back[0] == 9);
    CHECK(!ram_read(r, GPA(~0ull - 3), back, 8) && !ram_read(r, GPA(0), back, ~0ull));

    TEST("ROM can only be read, and nobody gets a pointer to it");
    CHECK(!ram_write(r, GPA(2 * MIB), buf, 1) && !rom[0] && !ram_pointer(r, GPA(2 * MIB), 1));
    rom[1] = 5;
    CHECK(ram_read(r, GPA(2 * MIB + 1), back, 1) && back[0] == 5);

    TEST("an access of no bytes always succeeds");
    CHECK(ram_read(r, GPA(64 * MIB), back, 0) && ram_write(r, GPA(64 * MIB), buf, 0));

    TEST("devices see space 0");
    CHECK(!ram_read(r, GPA(8 * MIB), back, 1));

    TEST("from host memory to its address");
    gpa_t at;
    CHECK(ram_gpa(r, high + 17, &at) && at.a == MIB + 17);
    CHECK(ram_gpa(r, rom, &at) && at.a == 2 * MIB);
    CHECK(!ram_gpa(r, buf, &at));
}

static void notices(void)
{
    u8 buf[3 * PAGE_SIZE] = {0};
    TEST("a write to a page with code is noted, page by page");
    create();
    mark_code(0x3000);
    mark_code(0x4000);
    CHECK(ram_write(r, GPA(0x1ff0), buf, 32));
    CHECK_EQ(notice.calls, 0);
    CHECK(ram_write(r, GPA(0x2ff0), buf, 32));
    CHECK(notice.calls == 1 && notice.at == 0x3000 && notice.size == 16);
    CHECK(ram_write(r, GPA(0x2800), buf, sizeof(buf)));
    CHECK(notice.calls == 3 && notice.at == 0x4000 && notice.size == PAGE_SIZE);
    CHECK(ram_fill(r, GPA(0x4001), 1, 1));
    CHECK(notice.calls == 4 && notice.at == 0x4001 && notice.size == 1);

    TEST("a pointer for writing is noted, and so is what others wrote");
    CHECK(ram_pointer(r, GPA(0x3000), 8) == low + 0x3000);
    CHECK(notice.calls == 5 && notice.at == 0x3000 && notice.size == 8);
    ram_written(r, GPA(0x3ff8), 2 * PAGE_SIZE);
    CHECK(notice.calls == 7 && notice.at == 0x4000 && notice.size == PAGE_SIZE);

    TEST("a read is not noted");
    CHECK(ram_read(r, GPA(0x3000), buf, PAGE_SIZE));
    CHECK_EQ(notice.calls, 7);

    TEST("pages that are logged become dirty by writes only");
    CHECK(ram_read(r, GPA(MIB), buf, sizeof(buf)) && !dirty(MIB));
    CHECK(ram_write(r, GPA(MIB + 0xfff), buf, 2) && dirty(MIB) && dirty(MIB + 0x1000) && !dirty(MIB + 0x2000));
    CHECK(!ram_write(r, GPA(2 * MIB - 1), buf, 2) && !dirty(2 * MIB - 1));
    CHECK(ram_pointer(r, GPA(MIB + 0x5000), PAGE_SIZE) && dirty(MIB + 0x5000) && !dirty(MIB + 0x6000));
}

int main(void)
{
    bounds();
    notices();
    return TEST_END();
}
