/*
 * Slots: what is refused and how, finding them, both address spaces, words shared by slots of the same memory, and what
 * the accelerator is asked.
 */
#include "ram/ram.h"
#include "unit/test.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define MIB (1ull << 20)
#define HOST_SIZE (4 * MIB)

static u8 *host;
static struct ram *r;

static struct {
    unsigned begun, ended;
    int refuse;
    struct ram_slot old, now; /* of the last change; size 0: NULL */
} asked;

static int begin(void *opaque, u32 space, const struct ram_slot *old, const struct ram_slot *now)
{
    asked.begun++;
    asked.old = old ? *old : (struct ram_slot){0};
    asked.now = now ? *now : (struct ram_slot){0};
    return asked.refuse;
}

static void end(void *opaque, u32 space, const struct ram_slot *old, const struct ram_slot *now)
{
    asked.ended++;
}

static const struct ram_ops ops = {.change_begin = begin, .change_end = end};

static void create(void)
{
    ram_destroy(r);
    r = ram_create();
    memset(&asked, 0, sizeof(asked));
    CHECK_EQ(ram_attach(r, &ops, NULL), 0);
}

static int set(u32 space, u32 id, u64 start, u64 size, u64 offset, u32 flags)
{
    struct ram_region g = {.id = id, .flags = flags, .start = GPA(start), .size = size, .host = host + offset};
    return ram_slot_set(r, space, &g);
}

static struct ram_slot *at(u32 space, u64 gpa)
{
    return ram_find(&r->space[space], GPA(gpa));
}

static void refusals(void)
{
    static const struct {
        const char *what;
        u32 space, id, flags;
        u64 start, size, offset;
        int result;
    } rows[] = {
        /* slot 1 lies at 1 MiB for 1 MiB, slot 2 is ROM at 4 MiB */
        {"a third space", 2, 0, 0, 0, MIB, 0, -EINVAL},
        {"a slot number too high", 0, RAM_SLOT_IDS, 0, 0, MIB, 0, -EINVAL},
        {"the highest slot number", 0, RAM_SLOT_IDS - 1, 0, 0, MIB, 0, 0},
        {"an unknown flag", 0, 0, BIT(3), 0, MIB, 0, -EINVAL},
        {"an odd address", 0, 0, 0, 0x800, MIB, 0, -EINVAL},
        {"an odd size", 0, 0, 0, 0, 0x1800, 0, -EINVAL},
        {"odd memory", 0, 0, 0, 0, MIB, 0x800, -EINVAL},
        {"an address that wraps", 0, 0, 0, ~PAGE_MASK, 2 * PAGE_SIZE, 0, -EINVAL},
        {"beyond 2^52", 0, 0, 0, BIT64(52), PAGE_SIZE, 0, -EINVAL},
        {"the last page below", 0, 0, 0, BIT64(52) - PAGE_SIZE, PAGE_SIZE, 0, 0},
        {"more than 2^31 - 1 pages", 0, 0, 0, 8 * MIB, BIT64(43), 0, -EINVAL},
        {"one that is not there goes", 0, 0, 0, 0, 0, 0, -EINVAL},
        {"one that is there goes", 0, 1, 0, 0, 0, 0, 0},
        {"over the start of another", 0, 0, 0, MIB - PAGE_SIZE, 2 * PAGE_SIZE, 0, -EEXIST},
        {"over the end of another", 0, 0, 0, 2 * MIB - PAGE_SIZE, MIB, 0, -EEXIST},
        {"within another", 0, 0, 0, MIB + PAGE_SIZE, PAGE_SIZE, 0, -EEXIST},
        {"around another", 0, 0, 0, 0, 3 * MIB, 0, -EEXIST},
        {"between others", 0, 0, 0, 2 * MIB, 2 * MIB, 0, 0},
        {"the same place in the other space", 1, 0, 0, MIB, MIB, 0, 0},
        {"other memory", 0, 1, 0, MIB, MIB, MIB, -EINVAL},
        {"another size", 0, 1, 0, MIB, MIB / 2, 0, -EINVAL},
        {"RAM becomes ROM", 0, 1, RAM_READONLY, MIB, MIB, 0, -EINVAL},
        {"ROM becomes RAM", 0, 2, 0, 4 * MIB, PAGE_SIZE, 2 * MIB, -EINVAL},
        {"nothing changes", 0, 1, 0, MIB, MIB, 0, 0},
        {"logging begins", 0, 1, RAM_LOG_DIRTY, MIB, MIB, 0, 0},
        {"a move", 0, 1, 0, 8 * MIB, MIB, 0, 0},
        {"a move by less than the size", 0, 1, 0, MIB + PAGE_SIZE, MIB, 0, 0},
        {"a move onto another", 0, 1, 0, 4 * MIB - PAGE_SIZE, MIB, 0, -EEXIST},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        TEST(rows[i].what);
        create();
        CHECK_EQ(set(0, 1, MIB, MIB, 0, 0), 0);
        CHECK_EQ(set(0, 2, 4 * MIB, PAGE_SIZE, 2 * MIB, RAM_READONLY), 0);
        asked.begun = 0;
        CHECK_EQ(set(rows[i].space, rows[i].id, rows[i].start, rows[i].size, rows[i].offset, rows[i].flags),
                 rows[i].result);
        if (rows[i].result) {
            CHECK(!asked.begun && r->space[0].count == 2 && !r->space[1].count && at(0, MIB) && at(0, 4 * MIB));
        } else if (rows[i].size) {
            const struct ram_slot *s = at(rows[i].space, rows[i].start);
            CHECK(s && s->id == rows[i].id && s->host == host + rows[i].offset && s->size == rows[i].size);
            CHECK(s && s->flags == rows[i].flags && !s->dirty == !(s->flags & RAM_LOG_DIRTY));
        }
    }
}

static void finding(void)
{
    TEST("all slots of a space, set in no order, are found");
    create();
    const u32 n = RAM_SLOT_IDS;
    for (u32 i = 0; i < n; i++) {
        u64 place = (u64)i * 211 % n; /* n is prime */
        CHECK_EQ(set(0, i, place * 2 * PAGE_SIZE, PAGE_SIZE, place * PAGE_SIZE, 0), 0);
    }
    CHECK_EQ(r->space[0].count, n);
    for (u64 place = 0; place < n; place++) {
        const struct ram_slot *s = at(0, place * 2 * PAGE_SIZE + 0xfff);
        CHECK(s && ram_host(s, GPA(place * 2 * PAGE_SIZE + 0xfff)) == host + place * PAGE_SIZE + 0xfff);
        CHECK(!at(0, (place * 2 + 1) * PAGE_SIZE));
    }
    CHECK(!at(0, ~0ull) && !at(1, 0));
    for (u32 i = 0; i < n; i += 2)
        CHECK_EQ(set(0, i, 0, 0, 0, 0), 0);
    for (u32 i = 0; i < n; i++)
        CHECK_EQ(at(0, (u64)i * 211 % n * 2 * PAGE_SIZE) != NULL, i % 2);
}

static void changes(void)
{
    TEST("the accelerator is asked, once for each change, and may refuse");
    create();
    CHECK_EQ(set(0, 3, MIB, MIB, 0, RAM_LOG_DIRTY), 0);
    CHECK(asked.begun == 1 && asked.ended == 1 && !asked.old.size && asked.now.start.a == MIB && asked.now.id == 3);
    u64 *dirty = at(0, MIB)->dirty;
    ram_mark_dirty(at(0, MIB), GPA(MIB + 5 * PAGE_SIZE));
    CHECK_EQ(set(0, 3, 2 * MIB, MIB, 0, RAM_LOG_DIRTY), 0);
    CHECK(asked.begun == 2 && asked.old.start.a == MIB && asked.now.start.a == 2 * MIB);
    CHECK(at(0, 2 * MIB)->dirty == dirty && ram_is_dirty(at(0, 2 * MIB), GPA(2 * MIB + 5 * PAGE_SIZE)));
    CHECK_EQ(set(0, 3, 2 * MIB, MIB, 0, RAM_LOG_DIRTY), 0);
    CHECK_EQ(asked.begun, 2);
    asked.refuse = -EPERM;
    CHECK_EQ(set(0, 3, 0, 0, 0, 0), -EPERM);
    CHECK_EQ(set(0, 4, 8 * MIB, MIB, 2 * MIB, RAM_LOG_DIRTY), -EPERM);
    CHECK(asked.begun == 4 && asked.ended == 2 && r->space[0].count == 1 && at(0, 2 * MIB)->dirty == dirty);
    asked.refuse = 0;
    CHECK_EQ(set(0, 3, 2 * MIB, MIB, 0, 0), 0);
    CHECK(!at(0, 2 * MIB)->dirty && asked.old.dirty && !asked.now.dirty);
    CHECK_EQ(set(0, 3, 0, 0, 0, 0), 0);
    CHECK(asked.old.size == MIB && !asked.now.size && !at(0, 2 * MIB));

    TEST("an accelerator that attaches later learns of the slots that there are");
    create();
    ram_detach(r);
    CHECK_EQ(set(0, 0, 0, MIB, 0, 0), 0);
    CHECK_EQ(set(1, 0, 0, MIB, MIB, 0), 0);
    CHECK_EQ(asked.begun, 0);
    CHECK_EQ(ram_attach(r, &ops, NULL), 0);
    CHECK(asked.begun == 2 && asked.ended == 2 && asked.now.host == host + MIB);
    ram_detach(r);
    asked.refuse = -ENOSPC;
    CHECK_EQ(ram_attach(r, &ops, NULL), -ENOSPC);
    CHECK(!r->ops);
}

static void shared_memory(void)
{
    TEST("slots of the same memory share the words of its pages");
    create();
    CHECK_EQ(set(0, 0, 0, MIB, 0, 0), 0);
    *ram_page_word(at(0, 0), GPA(0x5000)) = RAM_CODE | 1;
    CHECK_EQ(set(1, 0, 16 * MIB, PAGE_SIZE * 2, 0x4000, RAM_READONLY), 0);
    CHECK(ram_page_word(at(1, 16 * MIB), GPA(16 * MIB + 0x1000)) == ram_page_word(at(0, 0), GPA(0x5000)));

    TEST("they share them if the new slot is larger, too, or reaches over the end");
    CHECK_EQ(set(1, 1, 32 * MIB, MIB, MIB - PAGE_SIZE, 0), 0);
    CHECK_EQ(set(0, 1, 64 * MIB, 3 * MIB, 0, 0), 0);
    CHECK_EQ(*ram_page_word(at(0, 64 * MIB), GPA(64 * MIB + 0x5000)), RAM_CODE | 1);
    *ram_page_word(at(0, 0), GPA(MIB - PAGE_SIZE)) = 7;
    CHECK_EQ(*ram_page_word(at(1, 32 * MIB), GPA(32 * MIB)), 7);
    CHECK_EQ(*ram_page_word(at(0, 64 * MIB), GPA(65 * MIB - PAGE_SIZE)), 7);
    CHECK_EQ(*ram_page_word(at(1, 16 * MIB), GPA(16 * MIB + 0x1000)), RAM_CODE | 1);

    TEST("the words stay until the last of these slots goes");
    CHECK_EQ(set(0, 0, 0, 0, 0, 0), 0);
    CHECK_EQ(set(0, 1, 0, 0, 0, 0), 0);
    CHECK_EQ(set(1, 0, 0, 0, 0, 0), 0);
    CHECK_EQ(*ram_page_word(at(1, 32 * MIB), GPA(32 * MIB)), 7);
    CHECK_EQ(set(1, 1, 0, 0, 0, 0), 0);
    CHECK_EQ(set(0, 0, 0, MIB, 0, 0), 0);
    CHECK_EQ(*ram_page_word(at(0, 0), GPA(0x5000)), 0);

    TEST("neighbours share nothing");
    CHECK_EQ(set(0, 1, MIB, MIB, MIB, 0), 0);
    CHECK(at(0, 0)->pages != at(0, MIB)->pages);
}

int main(void)
{
    host = mmap(NULL, HOST_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    refusals();
    finding();
    changes();
    shared_memory();
    ram_destroy(r);
    return TEST_END();
}
