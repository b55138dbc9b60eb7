/*
 * Limits of a VM's CPUs as numbers for control groups; what a process uses between two looks.
 */
#include "worker/cpu_limit.h"

#include "unit/test.h"
#include "worker/pulse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct vm_settings with(u32 cpus, u32 maximum, u32 reserve, u32 weight)
{
    return (struct vm_settings){.cpus = cpus, .cpu_maximum = maximum, .cpu_reserve = reserve, .cpu_weight = weight};
}

/* -- a folder with the files that the kernel has -- */

static char top[] = "/tmp/groups-XXXXXX";

static void put(const char *path, const char *text)
{
    char all[200];
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(all, sizeof(all), "%s/%.*s", top, (int)(slash - path), path);
        mkdir(all, 0700);
    }
    snprintf(all, sizeof(all), "%s/%s", top, path);
    FILE *f = fopen(all, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static bool has(const char *path, const char *text)
{
    char all[200], got[80] = "";
    snprintf(all, sizeof(all), "%s/%s", top, path);
    FILE *f = fopen(all, "r");
    bool read = f && fgets(got, sizeof(got), f);
    if (f)
        fclose(f);
    return read && strcmp(got, text) == 0;
}

/* Where this user's groups of version 2 are. */
static const char *at(const char *name)
{
    static char path[2][160];
    static unsigned turn;
    char *to = path[turn++ % 2];
    if (geteuid() == 0)
        snprintf(to, 160, "%s", name);
    else
        snprintf(to, 160, "user.slice/user-%u.slice/user@%u.service/%s", (unsigned)geteuid(), (unsigned)geteuid(),
                 name);
    return to;
}

static void test_groups(void)
{
    struct vm_settings set = with(2, 40, 0, 100);
    struct cpu_limit limit = {0};
    struct error error = {0};
    char command[96];
    CHECK(mkdtemp(top) != NULL);
    CHECK_EQ(cpu_limit_set(&limit, top, "lab", 77, &set, &error), -ENOENT);
    CHECK(strstr(error.text, "no control groups") && !limit.group[0]);

    TEST("groups of version 2");
    put(at("cgroup.controllers"), "cpuset cpu io\n");
    put(at("cgroup.subtree_control"), "");
    put(at("system.slice/cpu.weight"), "300\n");
    put(at("nestbox-lab/cpu.weight"), ""); /* the kernel makes these with the group */
    put(at("nestbox-lab/cpu.max"), "");
    put(at("nestbox-lab/cgroup.procs"), "");
    CHECK_EQ(cpu_limit_set(&limit, top, "lab", 77, &set, &error), 0);
    CHECK(!limit.first && has(at("cgroup.subtree_control"), "+cpu") && has(at("nestbox-lab/cpu.max"), "80000 100000"));
    CHECK(has(at("nestbox-lab/cpu.weight"), "200") && has(at("nestbox-lab/cgroup.procs"), "77"));
    put(at("nestbox-lab/cpu.max"), "");
    set = with(2, 100, 0, 50);
    CHECK_EQ(cpu_limit_set(&limit, top, "lab", 77, &set, &error), 0);
    CHECK(has(at("nestbox-lab/cpu.max"), "max 100000"));
    CHECK_EQ(cpu_limit_set(&limit, top, "other", 78, &set, &error), -ENOENT); /* a group without files: not delegated */
    char group[200];
    struct stat st;
    snprintf(group, sizeof(group), "%s/%s", top, at("nestbox-other"));
    CHECK(stat(group, &st) != 0 && !limit.group[0]);
    mkdir(group, 0700);
    cpu_limit_remove(top, "other");
    CHECK(stat(group, &st) != 0);

    TEST("groups of version 1");
    put(at("cgroup.controllers"), "cpuset io\n");
    put("cpu/cpu.shares", "1024\n");
    put("cpu/nestbox-lab/cpu.shares", "");
    put("cpu/nestbox-lab/cpu.cfs_period_us", "");
    put("cpu/nestbox-lab/cpu.cfs_quota_us", "");
    put("cpu/nestbox-lab/cgroup.procs", "");
    set = with(1, 30, 0, 200);
    CHECK_EQ(cpu_limit_set(&limit, top, "lab", 79, &set, &error), 0);
    CHECK(limit.first && has("cpu/nestbox-lab/cpu.shares", "2048") && has("cpu/nestbox-lab/cpu.cfs_quota_us", "30000"));
    CHECK(has("cpu/nestbox-lab/cpu.cfs_period_us", "100000") && has("cpu/nestbox-lab/cgroup.procs", "79"));
    snprintf(command, sizeof(command), "rm -rf %s", top);
    CHECK_EQ(system(command), 0);
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

    TEST("a host without control groups");
    test_groups();

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
