/* Coalesced writes: zones, and a ring that the program shares. */
#include "kvmapi/coalesced.h"
#include "unit/test.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct coalesced c;
static struct kvm_coalesced_mmio_ring *ring;

static int add(u64 address, u32 size, u32 pio)
{
    return coalesced_add(&c, &(struct kvm_coalesced_mmio_zone){.addr = address, .size = size, .pio = pio});
}

static int drop(u64 address, u32 size, u32 pio)
{
    return coalesced_remove(&c, &(struct kvm_coalesced_mmio_zone){.addr = address, .size = size, .pio = pio});
}

static bool writes(bool port, u64 address, unsigned size)
{
    const u64 value = 0x8877665544332211ull;
    return coalesced_write(&c, port, address, &value, size);
}

static void test_zones(void)
{
    TEST("writes that lie in a zone are put into the ring");
    CHECK_EQ(add(0xa0000, 0x10, 2), -EINVAL);
    CHECK_EQ(add(0xa0000, 0x10, 0), 0);
    CHECK_EQ(add(0xcf8, 4, 1), 0);
    CHECK(!writes(false, 0xa0000, 4)); /* no ring yet */
    c.ring = ring;
    CHECK(writes(false, 0xa000c, 4));
    CHECK(!writes(false, 0xa000e, 4));
    CHECK(!writes(true, 0xa0000, 4));
    CHECK(!writes(false, 0x9ffff, 1));
    CHECK(writes(true, 0xcf8, 2));
    CHECK_EQ(ring->first, 0);
    CHECK_EQ(ring->last, 2);
    const struct kvm_coalesced_mmio *e = ring->coalesced_mmio;
    CHECK(e[0].phys_addr == 0xa000c && e[0].len == 4 && !e[0].pio && !memcmp(e[0].data, "\x11\x22\x33\x44", 4));
    CHECK(e[1].phys_addr == 0xcf8 && e[1].len == 2 && e[1].pio);

    TEST("a zone ends with any part of it");
    CHECK_EQ(drop(0xa0000, 0x11, 0), 0);
    CHECK(writes(false, 0xa0000, 4));
    CHECK_EQ(drop(0xa0000, 0x10, 1), 0);
    CHECK(writes(false, 0xa0000, 4));
    CHECK_EQ(drop(0xa0004, 4, 0), 0);
    CHECK(!writes(false, 0xa0000, 4));
}

static void test_ring(void)
{
    TEST("a full ring takes no more");
    unsigned n = 0;
    ring->first = ring->last = 3;
    while (writes(true, 0xcf8, 4))
        n++;
    CHECK_EQ(n, KVM_COALESCED_MMIO_MAX - 1);
    ring->first = 5;
    CHECK(writes(true, 0xcf8, 4) && writes(true, 0xcf8, 4) && !writes(true, 0xcf8, 4));

    TEST("the ring holds, whatever the program writes into it");
    ring->last = 0xffffffff;
    CHECK(writes(true, 0xcf8, 4));
    CHECK(ring->last < KVM_COALESCED_MMIO_MAX);
    ring->first = 0x12345678;
    for (unsigned i = 0; i < 2 * KVM_COALESCED_MMIO_MAX; i++)
        writes(true, 0xcf8, 4);
    CHECK(ring->last < KVM_COALESCED_MMIO_MAX);

    TEST("the number of zones is limited");
    for (n = c.count; n < COALESCED_ZONES_MAX; n++)
        CHECK_EQ(add(n, 1, 1), 0);
    CHECK_EQ(add(n, 1, 1), -ENOSPC);
}

int main(void)
{
    ring = calloc(1, PAGE_SIZE);
    coalesced_init(&c);
    test_zones();
    test_ring();
    coalesced_destroy(&c);
    free(ring);
    return TEST_END();
}
