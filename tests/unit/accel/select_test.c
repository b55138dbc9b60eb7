/*
 * Which accelerator a VM gets: by name, and by auto, which follows the probe of /dev/kvm.
 */
#include "accel/accel.h"
#include "accel/hostcpu.h"
#include "accel/probe.h"
#include "unit/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

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

    TEST("a verdict that is kept is read again, and dropped when it is another boot's");
    char file[] = "/tmp/nestbox-probe-XXXXXX", line[1024];
    int fd = mkstemp(file);
    struct probe kept;
    CHECK(fd >= 0 && !unlink(file));
    close(fd);
    probe_kvm_kept(file, &p);
    if (!p.why.code) {
        probe_kvm_kept(file, &kept);
        CHECK(kept.usable == p.usable && kept.loop_ns == p.loop_ns && strcmp(kept.why.text, p.why.text) == 0);
        FILE *f = fopen(file, "r+");
        CHECK(f && fgets(line, sizeof(line), f));
        rewind(f);
        fprintf(f, "another");
        fclose(f);
        probe_kvm_kept(file, &kept);
        CHECK(kept.usable == p.usable);
        f = fopen(file, "r");
        char again[1024] = "";
        CHECK(f && fgets(again, sizeof(again), f) && strcmp(again, line) == 0);
        fclose(f);
        CHECK(!chmod(file, 0666));
        kept.loop_ns = 0;
        probe_kvm_kept(file, &kept);
        CHECK(kept.loop_ns != 0);
        unlink(file);
    }

    TEST("an accelerator is taken by its name");
    CHECK(accel_select(ACCEL_ENGINE, NESTED_INTEL, NULL, &why) == engine);
    CHECK(accel_select(ACCEL_KVM, NESTED_OFF, NULL, &why) == (p.why.code ? NULL : &accel_kvm));

    TEST("auto takes /dev/kvm only if it is usable and nests");
    CHECK(accel_select(ACCEL_AUTO, NESTED_OFF, NULL, &why) == (p.usable ? &accel_kvm : engine));
    CHECK(accel_select(ACCEL_AUTO, NESTED_INTEL, NULL, &why) == (p.usable && p.nests_intel ? &accel_kvm : engine));
    CHECK(accel_select(ACCEL_AUTO, NESTED_AMD, NULL, &why) == (p.usable && p.nests_amd ? &accel_kvm : engine));
    CHECK(strlen(why.text) > 10);
    return TEST_END();
}
