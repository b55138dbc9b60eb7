/*
 * What the engine knows of the host: the rate of its TSC.
 */
#include "accel/engine_host.h"

#include "unit/test.h"

int main(void)
{
    TEST("the rate of the TSC is the same each time, as a VM that moves to another process needs it");
    u64 lowest = ~0ull, highest = 0;
    for (int i = 0; i < 8; i++) {
        u64 khz = engine_host_tsc_khz();
        lowest = khz < lowest ? khz : lowest;
        highest = khz > highest ? khz : highest;
    }
    CHECK(lowest > 100000);
    CHECK((highest - lowest) * 10000 < highest); /* 100 ppm */
    return TEST_END();
}
