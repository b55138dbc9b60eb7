/*
 * Which accelerator a VM gets: by name, and by auto, which follows the probe of /dev/kvm.
 */
#include "accel/accel.h"
#include "accel/hostcpu.h"
#include "accel/probe.h"
#include "unit/test.h"

#include <string.h>
#include <time.h>

int main(void)
{
    struct error why;
    struct hostcpu cpu;
    hostcpu_read(&cpu);
    const struct accel_ops *engine = hostcpu_suits_engine(&cpu, &why) ? &accel_engine : NULL;
    struct probe p;

    TEST("the probe is quick and gives a reason");
    struct timespec a, b;
    clock_gettime(CLOCK_MONOTONIC, &a);
    probe_kvm(&p);
    clock_gettime(CLOCK_MONOTONIC, &b);
    printf("# %s\n", p.why.text);
    CHECK((b.tv_sec - a.tv_sec) * 1000 + (b.tv_nsec - a.tv_nsec) / 1000000 < 2000);
    CHECK(strlen(p.why.text) > 10);
    CHECK(!(p.why.code && p.usable));

    TEST("an accelerator is taken by its name");
    CHECK(accel_select(ACCEL_ENGINE, NESTED_INTEL, &why) == engine);
    CHECK(accel_select(ACCEL_KVM, NESTED_OFF, &why) == (p.why.code ? NULL : &accel_kvm));

    TEST("auto takes /dev/kvm only if it is usable and nests");
    CHECK(accel_select(ACCEL_AUTO, NESTED_OFF, &why) == (p.usable ? &accel_kvm : engine));
    CHECK(accel_select(ACCEL_AUTO, NESTED_INTEL, &why) == (p.usable && p.nests_intel ? &accel_kvm : engine));
    CHECK(accel_select(ACCEL_AUTO, NESTED_AMD, &why) == (p.usable && p.nests_amd ? &accel_kvm : engine));
    CHECK(strlen(why.text) > 10);
    return TEST_END();
}
