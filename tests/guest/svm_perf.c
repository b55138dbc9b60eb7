/*
 * Performance counters that count in L1 only or in L2 only. See perf.c.
 * Source: AMD APM volume 2, "Performance Event-Select Registers".
 */
#include "svm.h"

#define CYCLES 0x430076u
#define GUEST_ONLY BIT64(40)
#define HOST_ONLY BIT64(41)
#define COUNTER(i) (MSR_K7_EVNTSEL0 + 4 + (i))

/* Takes about 20 ms. */
L2(l2_loop, "mov $30000000, %eax; 1: dec %eax; jnz 1b", "nop", "");
L2(l2_rdpmc, "xor %ecx, %ecx", "rdpmc", "");

int main(void)
{
    if (!svm_begin())
        return 0;
    static const u64 levels[] = {0, GUEST_ONLY, HOST_ONLY, GUEST_ONLY | HOST_ONLY};
    u64 count[4], inside, reads;
    unsigned tries = 20;
    do { /* a busy host may stop everything for long between two reads of counters */
        for (u32 i = 0; i < 4; i++) {
            wrmsr(COUNTER(i), 0);
            wrmsr(MSR_K7_EVNTSEL0 + i, CYCLES | levels[i]);
        }
        prepare(l2_loop);
        u64 begin = rdtsc();
        resume();
        inside = rdtsc() - begin;
        while (rdtsc() - begin < inside * 3)
            ;
        reads = rdtsc();
        for (u32 i = 4; i--;)
            count[i] = rdmsr(COUNTER(i));
        reads = rdtsc() - reads;
    } while (reads > inside / 10 && --tries);
    check(count[0] >= inside * 3 && count[3] >= inside * 3, "counters of both levels");
    check(count[1] && count[1] <= inside, "a counter of L2 only");
    check(count[2] >= inside * 2 && count[2] <= count[0], "a counter of L1 only");
    u64 sum = count[1] + count[2];
    check(sum > count[0] - inside / 2 && sum < count[0] + inside / 2, "the counters of L1 and L2 make up the whole");
    start_with(l2_rdpmc, SVM_EXIT_RDPMC);
    exits(SVM_EXIT_RDPMC, l2_rdpmc_at, 0, "RDPMC intercept");
    return 0;
}
