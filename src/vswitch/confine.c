/*
 * Confinement: see confine.h. A row per kind says what is left to it.
 *
 * Rights are capabilities (capabilities(7)) with no_new_privs. A network of its own needs a user namespace where the
 * caller is not root. Files are limited by Landlock (landlock(7)), system calls by a filter (confine_calls.c). Both are
 * inherited by programs, which need more, so a switch that starts programs of the host has neither.
 */
#include "vswitch/confine.h"

#include "vswitch/confine_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CAP(name) (1ull << CAP_##name)

const char *const confine_names[CONFINE_PARTS] = {
    [CONFINE_NETWORK] = "network", [CONFINE_RIGHTS] = "rights", [CONFINE_FILES] = "files", [CONFINE_CALLS] = "calls"};

/* DAC_OVERRIDE is for sockets of QEMUs that run as other users than root. */
static const struct row {
    u64 capabilities; /* that are left, of those that there are */
    bool takes[CONFINE_PARTS];
    bool tun, names;    /* files of the host that it needs: /dev/net/tun; the list of name servers */
    const int *domains; /* of sockets; ends with 0 */
} rows[] = {
    [CONFINE_PRIVATE] = {CAP(DAC_OVERRIDE), {true, true, true, true}, .domains = (const int[]){AF_UNIX, 0}},
    [CONFINE_SLIRP] = {CAP(DAC_OVERRIDE) | CAP(NET_BIND_SERVICE) | CAP(NET_RAW),
                       {false, true, true, true},
                       .names = true,
                       .domains = (const int[]){AF_UNIX, AF_INET, AF_INET6, 0}},
    [CONFINE_INTERNAL] = {CAP(DAC_OVERRIDE) | CAP(NET_ADMIN),
                          {false, true, true, true},
                          .tun = true,
                          .domains = (const int[]){AF_UNIX, AF_NETLINK, AF_INET, 0}},
    [CONFINE_PROGRAMS] = {CAP(DAC_OVERRIDE) | CAP(NET_ADMIN) | CAP(NET_RAW) | CAP(NET_BIND_SERVICE) | CAP(KILL) |
                              CAP(SETUID) | CAP(SETGID) | CAP(SETPCAP),
                          {false, true}},
};

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

static int take_rights(const struct row *row)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : keep_capabilities(row->capabilities);
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
static int take_network(bool *among_strangers)
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
#define READ_WRITE (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE)
#define FIRST_VERSION ((LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1) /* all rights of the first version */
#define TRUNCATE (1ull << 14)                                  /* of the third */
#define NOT_OURS (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK)

/* Paths that are not there need no rule. */
static int allow(int rules, const char *path, u64 rights)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = rights, .parent_fd = open(path, O_PATH | O_CLOEXEC)};
    if (rule.parent_fd < 0)
        return 0;
    int e = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) ? -errno : 0;
    close(rule.parent_fd);
    return e;
}

/* The list of name servers, where its name says that it is, and where it is. */
static int allow_names(int rules)
{
    char real[PATH_MAX];
    int e = allow(rules, "/etc", READ_ONLY);
    return e || !realpath("/etc/resolv.conf", real) ? e : allow(rules, dirname(real), READ_ONLY);
}

/* A run folder that somebody removes is made again, with its sockets: place.h. */
static int allow_above(int rules, const char *run)
{
    char above[PATH_MAX];
    snprintf(above, sizeof(above), "%s", run);
    return allow(rules, dirname(above), LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_SOCK);
}

static int take_files(const struct row *row, const char *home, const char *run)
{
    if (confine_has_sanitizer()) /* it reads files of its own */
        return -ENOTSUP;
    long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 0)
        return -errno;
    struct landlock_ruleset_attr all = {FIRST_VERSION | (version >= 2 ? LANDLOCK_ACCESS_FS_REFER : 0) |
                                        (version >= 3 ? TRUNCATE : 0)};
    int rules = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all.handled_access_fs), 0);
    if (rules < 0)
        return -errno;
    int e = allow(rules, home, all.handled_access_fs & ~NOT_OURS);
    if (!e)
        e = allow(rules, run, all.handled_access_fs & ~NOT_OURS);
    if (!e)
        e = allow_above(rules, run);
    if (!e)
        e = allow(rules, "/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE);
    if (!e && row->tun)
        e = allow(rules, "/dev/net/tun", READ_WRITE);
    if (!e && row->names)
        e = allow_names(rules);
    if (!e && syscall(SYS_landlock_restrict_self, rules, 0))
        e = -errno;
    close(rules);
    return e;
}

/* -- all of it -- */

enum confine_kind confine_kind(const struct definitions *defined)
{
    switch (defined->own->set.type) {
    case SWITCH_PRIVATE: return CONFINE_PRIVATE;
    case SWITCH_INTERNAL: return CONFINE_INTERNAL;
    case SWITCH_EXTERNAL: return CONFINE_PROGRAMS;
    case SWITCH_NAT: break;
    }
    bool slirp = defined->nat && defined->nat->set.backend == NAT_SLIRP;
    return slirp || geteuid() ? CONFINE_SLIRP : CONFINE_PROGRAMS;
}

void confine(enum confine_kind kind, const char *home, const char *run, struct confined *confined)
{
    static const char *const what[CONFINE_PARTS] = {
        [CONFINE_RIGHTS] = "the rights of this process cannot be limited",
        [CONFINE_NETWORK] = "this process has no network of its own, which keeps guests from the host's",
        [CONFINE_FILES] = "the host cannot limit the files that this process may reach (Landlock)",
        [CONFINE_CALLS] = "the host cannot limit the system calls of this process (seccomp)"};
    const struct row *row = &rows[kind];
    *confined = (struct confined){.kind = kind};
    tzset(); /* reads a file of the host's, for the logs */
    for (enum confine_part part = 0; part < CONFINE_PARTS; part++) {
        int e = 0;
        if (!row->takes[part])
            continue;
        switch (part) {
        case CONFINE_NETWORK: e = take_network(&confined->among_strangers); break;
        case CONFINE_RIGHTS: e = take_rights(row); break;
        case CONFINE_FILES: e = take_files(row, home, run); break;
        default: e = confine_calls(row->domains); break;
        }
        confined->taken[part] = !e;
        if (e)
            snprintf(confined->note[part], sizeof(confined->note[part]), "%s: %s", what[part], strerror(-e));
    }
}
