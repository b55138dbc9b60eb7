#include "accel/accel.h"
#include "accel/hostcpu.h"
#include "accel/probe.h"
#include "unit/test.h"

#include <string.h>
#include <time.h>

int main(void)
{
    char reason[256];
    struct hostcpu cpu;
    hostcpu_read(&cpu);
    char why[256];
    const struct accel_ops *engine = hostcpu_suits_engine(&cpu, why, sizeof(why)) ? &accel_engine : NULL;
    struct probe p;

    TEST("the probe is quick and speaks");
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    probe_kvm(&p);
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("# %s\n", p.reason);
    CHECK((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 < 2000);
    CHECK(strlen(p.reason) > 10);
    CHECK(!(p.error && p.usable));

    TEST("by name");
    CHECK(accel_select("engine", NESTED_INTEL, reason, sizeof(reason)) == engine);
    CHECK(accel_select("kvm", NESTED_OFF, reason, sizeof(reason)) == (p.error ? NULL : &accel_kvm));
    CHECK(!accel_select("fast", NESTED_OFF, reason, sizeof(reason)) && strstr(reason, "fast"));

    TEST("auto takes /dev/kvm only if it is usable and nests");
    CHECK(accel_select("auto", NESTED_OFF, reason, sizeof(reason)) == (p.usable ? &accel_kvm : engine));
    CHECK(accel_select(NULL, NESTED_INTEL, reason, sizeof(reason)) ==
          (p.usable && p.nests_intel ? &accel_kvm : engine));
    CHECK(accel_select("auto", NESTED_AMD, reason, sizeof(reason)) == (p.usable && p.nests_amd ? &accel_kvm : engine));
    CHECK(strlen(reason) > 10);
    return TEST_END();
}
