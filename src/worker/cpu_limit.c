/*
 * Control groups of VMs: see cpu_limit.h. Maximum is a quota, weight a weight per CPU of the VM, and what is reserved a
 * weight that is high enough beside those of the other groups, as they are when it is set.
 */
#include "worker/cpu_limit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PERIOD_US 100000u
#define WEIGHT_MAX 10000u
#define V1_SHARES 1024u /* of a weight of 100 */

bool cpu_limit_wanted(const struct vm_settings *set)
{
    return set->cpu_maximum != 100 || set->cpu_reserve || set->cpu_weight != 100;
}

u32 cpu_limit_quota(const struct vm_settings *set)
{
    return set->cpu_maximum == 100 ? 0 : set->cpus * set->cpu_maximum * (PERIOD_US / 100);
}

u32 cpu_limit_weight(const struct vm_settings *set, u64 others, u32 host_cpus)
{
    u64 weight = (u64)set->cpu_weight * set->cpus, reserved = (u64)set->cpu_reserve * set->cpus,
        all = 100ull * host_cpus;
    if (reserved >= all)
        return WEIGHT_MAX;
    u64 needed = reserved ? (others * reserved + all - reserved - 1) / (all - reserved) : 0;
    weight = needed > weight ? needed : weight;
    return weight > WEIGHT_MAX ? WEIGHT_MAX : weight ? (u32)weight : 1;
}

/* -- files of groups -- */

static int put(const char *folder, const char *file, const char *text)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%.4000s/%s", folder, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
    int e = n < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return e;
}

static int put_number(const char *folder, const char *file, long long number)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", number);
    return put(folder, file, text);
}

static u64 number_in(const char *folder, const char *file)
{
    char path[PATH_MAX];
    unsigned long long n = 0;
    snprintf(path, sizeof(path), "%.3000s/%.500s", folder, file);
    FILE *f = fopen(path, "re");
    if (!f || fscanf(f, "%llu", &n) != 1)
        n = 0;
    if (f)
        fclose(f);
    return n;
}

static bool lists_cpu(const char *path)
{
    char line[256] = "";
    FILE *f = fopen(path, "re");
    bool found = false;
    if (f && fgets(line, sizeof(line), f))
        for (char *save, *word = strtok_r(line, " \n", &save); word; word = strtok_r(NULL, " \n", &save))
            found |= strcmp(word, "cpu") == 0;
    if (f)
        fclose(f);
    return found;
}

/* The folder in which groups of VMs are made. Returns false if this host has none. */
static bool find_parent(const char *root, char parent[static PATH_MAX], bool *first)
{
    *first = false;
    if (geteuid() == 0)
        snprintf(parent, PATH_MAX, "%.3900s", root);
    else
        snprintf(parent, PATH_MAX, "%.3900s/user.slice/user-%u.slice/user@%u.service", root, (unsigned)geteuid(),
                 (unsigned)geteuid());
    char path[PATH_MAX + 32];
    snprintf(path, sizeof(path), "%s/cgroup.controllers", parent);
    if (lists_cpu(path))
        return true;
    *first = true;
    static const char *const mounts[] = {"cpu", "cpu,cpuacct"};
    for (unsigned i = 0; i < ARRAY_LEN(mounts); i++) {
        snprintf(parent, PATH_MAX, "%.3900s/%s", root, mounts[i]);
        snprintf(path, sizeof(path), "%s/cpu.shares", parent);
        if (access(path, F_OK) == 0)
            return true;
    }
    return false;
}

static void group_path(char group[static PATH_MAX], const char *parent, const char *id)
{
    snprintf(group, PATH_MAX, "%.3900s/nestbox-%.60s", parent, id);
}

/* The sum of the weights of the other groups there. */
static u64 weights_beside(const char *parent, const char *own, bool first)
{
    u64 sum = 0;
    DIR *folder = opendir(parent);
    for (struct dirent *d; folder && (d = readdir(folder));) {
        char file[300];
        if (d->d_name[0] == '.' || d->d_type != DT_DIR || strstr(own, d->d_name))
            continue;
        snprintf(file, sizeof(file), "%s/%s", d->d_name, first ? "cpu.shares" : "cpu.weight");
        sum += first ? number_in(parent, file) * 100 / V1_SHARES : number_in(parent, file);
    }
    if (folder)
        closedir(folder);
    return sum;
}

static int put_limits(const struct cpu_limit *limit, const char *parent, const struct vm_settings *set)
{
    char text[48];
    u32 quota = cpu_limit_quota(set);
    u32 weight =
        cpu_limit_weight(set, weights_beside(parent, limit->group, limit->first), (u32)sysconf(_SC_NPROCESSORS_ONLN));
    if (limit->first) {
        int e = put_number(limit->group, "cpu.shares", (long long)weight * V1_SHARES / 100);
        if (!e)
            e = put_number(limit->group, "cpu.cfs_period_us", PERIOD_US);
        return e ? e : put_number(limit->group, "cpu.cfs_quota_us", quota ? (long long)quota : -1);
    }
    int e = put_number(limit->group, "cpu.weight", weight);
    if (quota)
        snprintf(text, sizeof(text), "%u %u", quota, PERIOD_US);
    else
        snprintf(text, sizeof(text), "max %u", PERIOD_US);
    return e ? e : put(limit->group, "cpu.max", text);
}

int cpu_limit_set(struct cpu_limit *limit, const char *root, const char *id, pid_t process,
                  const struct vm_settings *set, struct error *error)
{
    char parent[PATH_MAX];
    bool there = find_parent(root, parent, &limit->first);
    if (there)
        group_path(limit->group, parent, id);
    bool had = there && access(limit->group, F_OK) == 0;
    if (!cpu_limit_wanted(set) && !had)
        return 0;
    int e = there ? 0 : -ENOENT;
    if (!e && !limit->first)
        (void)!put(parent, "cgroup.subtree_control", "+cpu"); /* where it is not, the files are missing */
    if (!e && mkdir(limit->group, 0755) && errno != EEXIST)
        e = -errno;
    if (!e)
        e = put_limits(limit, parent, set);
    if (!e)
        e = put_number(limit->group, "cgroup.procs", process);
    if (!e)
        return 0;
    if (there && !had)
        rmdir(limit->group);
    limit->group[0] = 0;
    error_set(error, e, "the limits of the VM's CPUs are not in force: %s",
              there ? strerror(-e) : "this host has no control groups for CPUs");
    return error_hint(error, geteuid() ? "root can have them, and users where systemd delegates them" : "");
}

void cpu_limit_remove(const char *root, const char *id)
{
    char parent[PATH_MAX], group[PATH_MAX];
    bool first;
    if (!find_parent(root, parent, &first))
        return;
    group_path(group, parent, id);
    rmdir(group);
}
