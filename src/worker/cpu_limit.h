/*
 * How much of the host's CPUs a VM may use: a control group of its own for QEMU, version 1 or 2, as far as the host
 * lets this user have one. Root has it below the root of the hierarchy, others in what systemd gave their user manager.
 */
#ifndef WORKER_CPU_LIMIT_H
#define WORKER_CPU_LIMIT_H

#include "rules/vm_settings.h"

#include <limits.h>
#include <sys/types.h>

#define CPU_LIMIT_ROOT "/sys/fs/cgroup" /* where the host has them; `root` below */

struct cpu_limit {
    char group[PATH_MAX]; /* empty: none yet */
    bool first;           /* it is of version 1 */
};

/* Do the settings limit anything? */
bool cpu_limit_wanted(const struct vm_settings *set);
/* Puts the process, with all its threads, under the limits of the settings: `id` names the group. Takes new settings of
 * the same VM, too. Without limits there is no group unless there was one. Returns 0 or an error. */
int MUST_CHECK cpu_limit_set(struct cpu_limit *limit, const char *root, const char *id, pid_t process,
                             const struct vm_settings *set, struct error *error);
/* The process has ended. */
void cpu_limit_remove(const char *root, const char *id);

/* Pure: microseconds per 100 ms, 0 without a limit; the weight that gives the VM its share and what is reserved for it
 * beside `others`, the sum of the weights of other groups, on a host with that many CPUs: 1 to 10000. */
u32 cpu_limit_quota(const struct vm_settings *set);
u32 cpu_limit_weight(const struct vm_settings *set, u64 others, u32 host_cpus);

#endif
