/*
 * Limits of a VM's CPUs as numbers for control groups; what a process uses between two looks.
 */
#include "worker/cpu_limit.h"

#include "unit/test.h"
#include "worker/pulse.h"

#include <unistd.h>

static struct vm_settings with(u32 cpus, u32 maximum, u32 reserve, u32 weight)
{
    return (struct vm_settings){.cpus = cpus, .cpu_maximum = maximum, .cpu_reserve = reserve, .cpu_weight = weight};
}

int main(void)
{
    struct vm_settings set = with(2, 100, 0, 100);

    TEST("without limits there is none");
    CHECK(!cpu_limit_wanted(&set));
    CHECK_EQ(cpu_limit_quota(&set), 0);
    CHECK_EQ(cpu_limit_weight(&set, 1000, 4), 200);

    TEST("a maximum is per cent of the VM's CPUs");
    set = with(2, 50, 0, 100);
    CHECK(cpu_limit_wanted(&set));
    CHECK_EQ(cpu_limit_quota(&set), 100000);
    set = with(1, 1, 0, 100);
    CHECK_EQ(cpu_limit_quota(&set), 1000);

    TEST("a weight counts per CPU, and has its range");
    set = with(4, 100, 0, 1);
    CHECK_EQ(cpu_limit_weight(&set, 0, 4), 4);
    set = with(4, 100, 0, 10000);
    CHECK_EQ(cpu_limit_weight(&set, 0, 4), 10000);

    TEST("what is reserved is had beside the others");
    set = with(1, 100, 100, 1); /* one CPU of four: a quarter */
    CHECK_EQ(cpu_limit_weight(&set, 300, 4), 100);
    set = with(1, 100, 50, 1000);
    CHECK_EQ(cpu_limit_weight(&set, 300, 4), 1000);
    set = with(8, 100, 100, 1); /* more than there is */
    CHECK_EQ(cpu_limit_weight(&set, 300, 4), 10000);

    TEST("a process's use is what it used between two looks");
    struct cpu_use use = {0};
    cpu_use_look(&use, 1000000000, 500);
    CHECK_EQ(use.per_mille, 0);
    cpu_use_look(&use, 3000000000, 1500);
    CHECK_EQ(use.per_mille, 500);
    cpu_use_look(&use, 4000000000, 3500);
    CHECK_EQ(use.per_mille, 2000);
    cpu_use_look(&use, 5000000000, 100); /* another process */
    CHECK_EQ(use.per_mille, 2000);
    u64 resident = 0;
    (void)process_cpu_ms(getpid(), &resident);
    CHECK(resident > 0);
    CHECK_EQ(process_cpu_ms(-5, &resident), 0);
    return TEST_END();
}
