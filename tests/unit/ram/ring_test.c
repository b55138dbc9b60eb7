/*
 * Dirty rings: pages become entries, entries that were taken end the epoch of their pages, and what finds no room is
 * late.
 */
#include "ram/ram.h"
#include "ram/ring.h"
#include "unit/slots.h"
#include "unit/test.h"

#include <string.h>
#include <sys/mman.h>

#define PAGES 200u
#define START 0x10000u
#define ENTRIES 8u
#define LIMIT 6u

static struct ram *r;
static struct ram_dirty_page entry[2][ENTRIES];
static struct ram_ring ring[2];
static struct ram_ring *const rings[2] = {&ring[0], &ring[1]};
static struct {
    unsigned begun, cleared, ended;
    u64 first, pages;
} asked;

static int change(void *opaque, u32 space, const struct ram_slot *old, const struct ram_slot *now)
{
    return 0;
}

static void begin(void *opaque)
{
    asked.begun++;
}

static void cleared(void *opaque, const struct ram_slot *s, u64 first, u64 pages)
{
    asked.cleared++;
    asked.first = first;
    asked.pages = pages;
}

static void end(void *opaque)
{
    asked.ended++;
}

static const struct ram_ops ops = {
    .change_begin = change, .dirty_begin = begin, .dirty_cleared = cleared, .dirty_end = end};

static const struct ram_slot *slot(void)
{
    return &r->space[1].slot[0];
}

static void create(void)
{
    static u8 *host;
    if (!host)
        host = mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    r = ram_create();
    memset(&asked, 0, sizeof(asked));
    memset(entry, 0, sizeof(entry));
    for (unsigned i = 0; i < 2; i++)
        ring[i] = (struct ram_ring){.page = entry[i], .size = ENTRIES, .limit = LIMIT};
    const struct ram_region region = {
        .id = 5, .start = GPA(START), .size = PAGES * PAGE_SIZE, .host = host, .flags = RAM_LOG_DIRTY};
    CHECK(ram_attach(r, &ops, NULL) == 0 && ram_slot_set(r, 1, &region) == 0);
}

/* As a vCPU does it. */
static void write_page(unsigned cpu, u64 page)
{
    if (ram_mark_dirty(slot(), GPA(START + page * PAGE_SIZE)))
        ram_ring_push(&ring[cpu], slot(), page);
}

static bool is_dirty(u64 page)
{
    return ram_is_dirty(slot(), GPA(START + page * PAGE_SIZE));
}

/* As the owner does it. */
static bool take(unsigned cpu, unsigned i, u64 page)
{
    struct ram_dirty_page *p = &entry[cpu][i];
    bool right = p->flags == RAM_PAGE_DIRTY && p->slot == (1 << 16 | 5) && p->offset == page;
    p->flags |= RAM_PAGE_TAKEN;
    return right;
}

static void epochs(void)
{
    TEST("a page becomes one entry of one ring per epoch");
    create();
    write_page(0, 3);
    write_page(1, 3);
    write_page(0, 3);
    write_page(1, 100);
    CHECK(ram_ring_used(&ring[0]) == 1 && ram_ring_used(&ring[1]) == 1);

    TEST("where nothing was taken nobody is stopped");
    CHECK(ram_rings_reset(r, rings, 2) == 0 && !asked.begun);

    TEST("entries that were taken end the epoch");
    write_page(0, 7);
    CHECK(take(0, 0, 3) && take(1, 0, 100));
    CHECK_EQ(ram_rings_reset(r, rings, 2), 2);
    CHECK(asked.begun == 1 && asked.cleared == 1 && asked.ended == 1 && asked.first == 3 && asked.pages == 98);
    CHECK(!is_dirty(3) && !is_dirty(100) && is_dirty(7) && !entry[0][0].flags);
    CHECK(ram_ring_used(&ring[0]) == 1 && ram_ring_used(&ring[1]) == 0);

    TEST("the next epoch");
    write_page(1, 3);
    CHECK(take(1, 1, 3) && take(0, 1, 7) && ram_rings_reset(r, rings, 2) == 2);
    ram_destroy(r);
}

static void order(void)
{
    TEST("a reset goes up to the first entry that was not taken");
    create();
    write_page(0, 1);
    write_page(0, 2);
    CHECK(take(0, 1, 2) && ram_rings_reset(r, rings, 2) == 0);
    CHECK(take(0, 0, 1) && ram_rings_reset(r, rings, 2) == 2);

    TEST("an owner who writes nonsense");
    write_page(0, 1);
    entry[0][2] = (struct ram_dirty_page){.flags = ~0u, .slot = ~0u, .offset = ~0ull};
    CHECK_EQ(ram_rings_reset(r, rings, 2), 1);
    write_page(0, 2);
    entry[0][3] = (struct ram_dirty_page){.flags = ~0u, .slot = 1 << 16 | 5, .offset = PAGES};
    entry[0][4].flags = RAM_PAGE_TAKEN;
    CHECK(ram_rings_reset(r, rings, 2) == 1 && ram_ring_used(&ring[0]) == 0 && is_dirty(1) && is_dirty(2));

    TEST("a slot that is gone");
    write_page(0, 4);
    CHECK_EQ(ram_slot_set(r, 1, &(struct ram_region){.id = 5}), 0);
    entry[0][4].flags |= RAM_PAGE_TAKEN;
    CHECK_EQ(ram_rings_reset(r, rings, 2), 1);
    ram_destroy(r);
}

static void full(void)
{
    TEST("a full ring, and its room behind the limit");
    create();
    for (u64 page = 0; page < LIMIT; page++) {
        CHECK(!ram_ring_full(&ring[0]));
        write_page(0, page);
    }
    CHECK(ram_ring_full(&ring[0]));
    for (u64 page = LIMIT; page < ENTRIES; page++)
        write_page(0, page);
    CHECK(!ring[0].late);

    TEST("pages without an entry are late");
    write_page(0, 130);
    write_page(0, 199);
    CHECK(ring[0].late && is_dirty(130) && ram_ring_used(&ring[0]) == ENTRIES);
    ram_ring_settle(r, &ring[0]);
    CHECK(ring[0].late);

    TEST("late pages get their entries when there is room");
    for (unsigned i = 0; i < 3; i++)
        CHECK(take(0, i, i));
    CHECK_EQ(ram_rings_reset(r, rings, 1), 3);
    ram_ring_settle(r, &ring[0]);
    CHECK(ring[0].late && ram_ring_full(&ring[0]) && take(0, 0, 130));
    for (unsigned i = 3; i < ENTRIES; i++)
        CHECK(take(0, i, i));
    CHECK_EQ(ram_rings_reset(r, rings, 1), 6);
    CHECK(!is_dirty(130) && is_dirty(199));
    ram_ring_settle(r, &ring[0]);
    CHECK(!ring[0].late && take(0, 1, 199) && ram_ring_used(&ring[0]) == 1);
    ram_destroy(r);
}

int main(void)
{
    epochs();
    order();
    full();
    return TEST_END();
}
