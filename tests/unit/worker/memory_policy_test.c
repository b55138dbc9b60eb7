/*
 * Dynamic memory: what a VM is to have next, by what it uses, what the host has left, and its settings.
 */
#include "worker/memory_policy.h"

#include "unit/test.h"

#define M (1ull << 20)
#define G (1ull << 30)

static const struct vm_settings dynamic = {.memory = 1 * G,
                                           .dynamic_memory = true,
                                           .memory_minimum = 512 * M,
                                           .memory_maximum = 4 * G,
                                           .memory_buffer = 20,
                                           .memory_priority = 50};

/* A guest with `assigned` in all, of which it uses `used`, on a host of 100 GiB. */
static struct memory_facts facts(u64 assigned, u64 used, u64 host_available)
{
    return (struct memory_facts){.assigned = assigned,
                                 .guest_total = assigned,
                                 .guest_available = assigned - used,
                                 .host_total = 100 * G,
                                 .host_available = host_available,
                                 .limit = 8 * G};
}

int main(void)
{
    struct vm_settings set = dynamic;
    struct memory_facts f = facts(1 * G, 1000 * M, 50 * G);

    TEST("a guest that needs more gets it with its buffer");
    struct memory_wish wish = memory_wish(&set, &f);
    CHECK_EQ(wish.demand / M, 1200);
    CHECK_EQ(wish.target / M, 1200);
    CHECK_EQ(wish.status, MEMORY_LOW);
    f = facts(1 * G, 1020 * M, 50 * G);
    CHECK_EQ(memory_wish(&set, &f).status, MEMORY_WARNING);
    f = facts(1200 * M, 1001 * M, 50 * G); /* it has what it needs, in whole units */
    CHECK_EQ(memory_wish(&set, &f).status, MEMORY_OK);

    TEST("but no more than its maximum, its cap, and what the machine has room for");
    f = facts(4 * G - 100 * M, 4 * G - 200 * M, 50 * G);
    CHECK_EQ(memory_wish(&set, &f).target, 4 * G);
    f = facts(2900 * M, 2800 * M, 50 * G);
    set.memory_cap = 3 * G;
    CHECK_EQ(memory_wish(&set, &f).target, 3 * G);
    set = dynamic;
    f = facts(1900 * M, 1850 * M, 50 * G);
    f.limit = 2 * G;
    CHECK_EQ(memory_wish(&set, &f).target, 2 * G);

    TEST("what is too much goes by halves, down to the minimum");
    f = facts(2 * G, 200 * M, 50 * G);
    wish = memory_wish(&set, &f);
    CHECK_EQ(wish.target / M, 2048 - (2048 - 512) / 2);
    CHECK_EQ(wish.status, MEMORY_OK);
    f = facts(520 * M, 100 * M, 50 * G);
    CHECK_EQ(memory_wish(&set, &f).target, 520 * M);

    TEST("a host that is short gives nothing, and takes what is not used");
    f = facts(1 * G, 900 * M, 1 * G);
    wish = memory_wish(&set, &f);
    CHECK_EQ(wish.target / M, 900);
    CHECK_EQ(wish.status, MEMORY_LOW);
    f = facts(2 * G, 100 * M, memory_kept(100 * G, 50) - 10 * M);
    CHECK_EQ(memory_wish(&set, &f).target / M, 1280);
    f = facts(600 * M, 590 * M, 1 * G);
    CHECK_EQ(memory_wish(&set, &f).target / M, 590);

    TEST("who has a low priority gives first");
    CHECK(memory_kept(100 * G, 0) > memory_kept(100 * G, 50));
    CHECK(memory_kept(100 * G, 50) > memory_kept(100 * G, 100));
    f = facts(1 * G, 900 * M, memory_kept(100 * G, 50));
    set.memory_priority = 100;
    CHECK(memory_wish(&set, &f).target > 1 * G);
    set.memory_priority = 0;
    CHECK(memory_wish(&set, &f).target < 1 * G);
    set = dynamic;

    TEST("a rule that forbids it, and a guest that says nothing, leave it as it is");
    f = facts(1 * G, 1000 * M, 50 * G);
    f.frozen = true;
    CHECK_EQ(memory_wish(&set, &f).target, 1 * G);
    CHECK_EQ(memory_wish(&set, &f).demand / M, 1200);
    f.guest_total = 0;
    wish = memory_wish(&set, &f);
    CHECK_EQ(wish.target, 1 * G);
    CHECK_EQ(wish.status, MEMORY_UNKNOWN);

    TEST("a guest that fell silent gets what it needed, then more by steps, while the host has room; it loses nothing");
    f = (struct memory_facts){
        .assigned = 1 * G, .silent_demand = 1300 * M, .host_total = 100 * G, .host_available = 50 * G, .limit = 8 * G};
    wish = memory_wish(&set, &f);
    CHECK_EQ(wish.target, 1300 * M);
    CHECK_EQ(wish.demand, 1300 * M);
    CHECK_EQ(wish.status, MEMORY_WARNING);
    f.assigned = 1600 * M;
    CHECK_EQ(memory_wish(&set, &f).target, 1800 * M);
    f.host_available = memory_kept(100 * G, 50) + 100 * M;
    CHECK_EQ(memory_wish(&set, &f).target, 1700 * M);
    f.host_available = 1 * G;
    CHECK_EQ(memory_wish(&set, &f).target, 1600 * M);
    f.host_available = 50 * G;
    f.assigned = 4 * G - 10 * M;
    CHECK_EQ(memory_wish(&set, &f).target, 4 * G);
    f.assigned = 5 * G;
    CHECK_EQ(memory_wish(&set, &f).target, 5 * G);
    f.assigned = 1 * G;
    f.frozen = true;
    CHECK_EQ(memory_wish(&set, &f).target, 1 * G);

    TEST("how far memory can grow");
    CHECK_EQ(memory_limit_of(&set, 64 * G), 4 * G);
    CHECK_EQ(memory_limit_of(&set, 2 * G), 2 * G);
    set.memory_cap = 3 * G;
    CHECK_EQ(memory_limit_of(&set, 64 * G), 3 * G);
    set.dynamic_memory = false;
    CHECK_EQ(memory_limit_of(&set, 64 * G), 3 * G);
    CHECK_EQ(memory_limit_of(&set, 2 * G), 2 * G);
    set.memory_cap = 0;
    CHECK_EQ(memory_limit_of(&set, 64 * G), 16 * G);
    CHECK_EQ(memory_limit_of(&set, 10 * G), 10 * G);
    CHECK_EQ(memory_limit_of(&set, 512 * M), 1 * G);
    return TEST_END();
}
