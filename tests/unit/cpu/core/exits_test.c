/*
 * Which level a VMCS or VMCB is counted for, and the rows of reasons.
 */
#include "cpu/core/exits.h"

#include "unit/test.h"

#include <string.h>

enum { OF_L2 = 0x1000, OF_L3 = 0x2000, OF_L4 = 0x3000, OF_L5 = 0x4000, OF_OTHER = 0x8000 };
#define SLOT 7

static struct exits e;

/* L1 enters a guest, which leaves again: by a VM-entry instruction of its own if `entry`. Returns its depth. */
static u32 round_trip(u64 control, bool entry)
{
    exits_entered(&e, control);
    exits_left(&e, SLOT, entry);
    return e.depth;
}

int main(void)
{
    TEST("one guest after the other is L2");
    CHECK_EQ(round_trip(OF_L2, false), 0);
    CHECK_EQ(round_trip(OF_OTHER, false), 0);
    CHECK_EQ(round_trip(OF_L2, false), 0);
    CHECK_EQ(e.count[0][SLOT], 3);

    TEST("what L1 enters for a VM entry of L2 is L3, and stays L3");
    CHECK_EQ(round_trip(OF_L2, true), 0);
    CHECK_EQ(round_trip(OF_L3, false), 1);
    CHECK_EQ(round_trip(OF_L2, false), 0);
    CHECK_EQ(round_trip(OF_L3, false), 1);
    CHECK_EQ(e.count[1][SLOT], 2);

    TEST("a VM entry of L2 that fails makes no L3");
    CHECK_EQ(round_trip(OF_L2, true), 0);
    CHECK_EQ(round_trip(OF_L2, false), 0);
    CHECK_EQ(round_trip(OF_OTHER, false), 0);

    TEST("L4, with which everything deeper is counted");
    CHECK_EQ(round_trip(OF_L3, true), 1);
    CHECK_EQ(round_trip(OF_L4, true), 2);
    CHECK_EQ(round_trip(OF_L5, false), 2);

    TEST("with many guests, those that were forgotten are found anew");
    for (u64 i = 0; i < 2 * EXIT_DEEP_MAX; i++) {
        CHECK_EQ(round_trip(OF_L2, true), 0);
        CHECK_EQ(round_trip(0x10000 + i * 0x1000, false), 1);
    }
    CHECK_EQ(round_trip(OF_L2, true), 0);
    CHECK_EQ(round_trip(0x10000, false), 1);

    TEST("each reason has a row, which leads back to it");
    const u64 codes[] = {0, 0x40, 0x7b, 0xa2, 0x400, 0x403, ~0ull};
    for (unsigned i = 0; i < ARRAY_LEN(codes); i++)
        CHECK_EQ(exits_code(VENDOR_AMD, exits_slot(VENDOR_AMD, codes[i])), codes[i]);
    for (unsigned i = 0; i < 70; i++)
        CHECK_EQ(exits_code(VENDOR_INTEL, exits_slot(VENDOR_INTEL, i)), i);
    return TEST_END();
}
