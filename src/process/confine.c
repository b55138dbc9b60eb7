/*
 * Rights are capabilities with no_new_privs. The rights of files are those of Landlock's first version, and, where the
 * host has them, moving and truncating.
 */
#include "process/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

bool confine_has_sanitizer(void)
{
    return strcmp(NESTBOX_BUILD, "release") != 0 && strcmp(NESTBOX_BUILD, "debug") != 0;
}

/* -- rights -- */

static int get_capabilities(struct __user_cap_data_struct data[static 2])
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    return syscall(SYS_capget, &header, data) ? -errno : 0;
}

static bool has_capability(u32 number)
{
    struct __user_cap_data_struct data[2];
    return get_capabilities(data) == 0 && (data[number / 32].effective >> number % 32 & 1);
}

/* Leaves those of `left`. */
static int keep_capabilities(u64 left)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    int e = get_capabilities(data);
    if (e)
        return e;
    for (int i = 0; i <= CAP_LAST_CAP && has_capability(CAP_SETPCAP); i++)
        if (!(left >> i & 1) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0) && errno != EINVAL)
            return -errno;
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (u32 i = 0; i < 2; i++) {
        data[i].effective &= (u32)(left >> 32 * i);
        data[i].permitted = data[i].effective;
        data[i].inheritable &= data[i].effective;
    }
    return syscall(SYS_capset, &header, data) ? -errno : 0;
}

int confine_rights(u64 left)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : keep_capabilities(left);
}

/* -- network -- */

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : write(fd, text, strlen(text));
    int e = n < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return e;
}

/* A user namespace in which the user stays who they are, and a network in it. */
static int enter_spaces(void)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    char users[40], groups[40];
    snprintf(users, sizeof(users), "%u %u 1", uid, uid);
    snprintf(groups, sizeof(groups), "%u %u 1", gid, gid);
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC))
        return -errno;
    int e = write_file("/proc/self/setgroups", "deny");
    if (!e)
        e = write_file("/proc/self/uid_map", users);
    return e ? e : write_file("/proc/self/gid_map", groups);
}

/* A user namespace that is made and cannot be set up would be a bad place, so a child tries it first. */
int confine_network(bool *among_strangers)
{
    int status;
    if (has_capability(CAP_SYS_ADMIN))
        return unshare(CLONE_NEWNET | CLONE_NEWIPC) ? -errno : 0;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        _exit(-enter_spaces());
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child < 0 || !WIFEXITED(status))
        return -EAGAIN;
    *among_strangers = !WEXITSTATUS(status);
    return WEXITSTATUS(status) ? -WEXITSTATUS(status) : enter_spaces();
}

/* -- files -- */

#define READ_ONLY (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define OF_FILES (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_EXECUTE | TRUNCATE)
#define FIRST_VERSION ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1) /* all rights of the first version */
#define TRUNCATE (1ull << 14)                                  /* of the third */
#define NOT_OURS (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK)

static const u64 accesses[] = {
    [CONFINE_READ] = READ_ONLY,
    [CONFINE_WRITE] = READ_ONLY | LANDLOCK_ACCESS_FS_WRITE_FILE | TRUNCATE,
    [CONFINE_OWN] = ~(u64)NOT_OURS,
    [CONFINE_MAKE] = LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK,
};

/* What the host's version knows. */
static int all_rights(u64 *rights)
{
    if (confine_has_sanitizer()) /* it reads files of its own */
        return -ENOTSUP;
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    *rights = FIRST_VERSION | (version >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0) | (version >= 3 ? TRUNCATE : 0);
    return version < 0 ? -errno : 0;
}

static u64 taken; /* which rights the rules are about */

int confine_files_begin(bool reads)
{
    struct landlock_ruleset_attr attr = {0};
    u64 all;
    int e = all_rights(&all);
    if (e)
        return e;
    taken = attr.handled_access_fs = reads ? all : all & ~(READ_ONLY | LANDLOCK_ACCESS_FS_EXECUTE);
    int rules = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr.handled_access_fs), 0);
    return rules < 0 ? -errno : rules;
}

int confine_files_allow(int rules, const char *path, enum confine_access access)
{
    struct landlock_path_beneath_attr rule = {.parent_fd = open(path, O_PATH | O_CLOEXEC)};
    struct stat st;
    if (rule.parent_fd < 0)
        return 0;
    rule.allowed_access = accesses[access] & taken;
    if (!fstat(rule.parent_fd, &st) && !S_ISDIR(st.st_mode))
        rule.allowed_access &= OF_FILES;
    int e =
        rule.allowed_access && syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) ? -errno : 0;
    close(rule.parent_fd);
    return e;
}

int confine_files_end(int rules, int e)
{
    if (!e && syscall(SYS_landlock_restrict_self, rules, 0))
        e = -errno;
    close(rules);
    return e;
}
