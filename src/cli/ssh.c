/*
 * nestbox ssh: becomes ssh, whose connection is this program again, as its proxy.
 */
#include "manager/ssh.h"

#include "cli/command.h"
#include "cli/guest.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ARGUMENTS_MAX 256

struct options {
    const char *user;
    bool proxy;
};

#define AT(field) offsetof(struct options, field)
/* clang-format off */
static const struct setting rows[] = {
    {"user", SETTING_TEXT, AT(user), "NAME", "the user in the guest; root without it", .letter = 'u'},
    {"proxy", SETTING_FLAG, AT(proxy), NULL, "speaks with the guest's sshd on standard streams",
     "Does not start ssh but speaks with the guest's sshd on standard input and output: for *ProxyCommand* in "
     "_~/.ssh/config_, and so for scp, sftp and rsync."},
    {0},
};
/* clang-format on */

static int proxy(struct store *store, const char *vm)
{
    struct error error;
    signal(SIGPIPE, SIG_DFL);
    int e = ssh_serve(store, vm, STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, &error);
    if (e == -ENXIO && !(e = guest_await_here(store, vm, &error)))
        e = ssh_serve(store, vm, STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, &error);
    store_close(store);
    if (e < 0)
        complain_error(&error);
    return e < 0 ? STATUS_NO_SESSION : e;
}

/* What ssh must not take for its own: the percent sign of its tokens. */
static void put_escaped(const char *text, char *to, size_t size)
{
    size_t n = 0;
    for (; *text && n + 6 < size; text++) {
        if (*text == '%')
            to[n++] = '%';
        if (*text == '\'') {
            memcpy(to + n, "'\\''", 4);
            n += 4;
        } else {
            to[n++] = *text;
        }
    }
    to[n] = 0;
}

static int become(struct store *store, const char *vm, const char *user, int argc, char **argv)
{
    static char self[PATH_MAX], quoted[PATH_MAX], command[2 * PATH_MAX], hosts[PATH_MAX + 64], alias[128], where[300];
    struct ssh_files files;
    struct error error;
    int e = ssh_prepare(store, vm, &files, &error);
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (!e && (n < 0 || argc > ARGUMENTS_MAX - 24))
        e = error_set(&error, -E2BIG, n < 0 ? "this program's path cannot be read" : "too many arguments for ssh");
    if (!e) {
        put_escaped(self, quoted, sizeof(quoted));
        snprintf(command, sizeof(command), "ProxyCommand='%s' ssh --proxy '%s'", quoted, vm);
        put_escaped(files.known_hosts, quoted, sizeof(quoted));
        snprintf(hosts, sizeof(hosts), "UserKnownHostsFile=\"%s\"", quoted);
        snprintf(alias, sizeof(alias), "HostKeyAlias=%s", files.alias);
        snprintf(where, sizeof(where), "%s@%s", user, files.alias);
        const char *ssh[ARGUMENTS_MAX] = {
            "ssh", "-o",      command, "-o", hosts, "-o", alias, "-o", "StrictHostKeyChecking=accept-new",
            "-i",  files.key, where};
        u32 count = 12;
        for (int i = 0; i < argc; i++)
            ssh[count++] = argv[i];
        store_close(store);
        execvp("ssh", (char **)(uintptr_t)ssh);
        e = error_set(&error, -errno, "ssh cannot be started: %s", strerror(errno));
        error_hint(&error, "as root: apt-get install openssh-client");
    } else {
        store_close(store);
    }
    complain_error(&error);
    return STATUS_NO_SESSION;
}

static int run(const struct verb *verb, int argc, char **argv)
{
    struct options o = {0};
    int status, rest;
    verb_defaults(verb, &o);
    if (verb_options(verb, argc, argv, &o, &rest, &status))
        return status;
    if (rest == argc || argv[rest][0] == '-') {
        complain("ssh without VM: nestbox ssh %s (see nestbox ssh --help)", verb->usage);
        return STATUS_USAGE;
    }
    const char *vm = argv[rest++];
    struct store *store = command_open();
    if (!store)
        return STATUS_NO_SESSION;
    return o.proxy ? proxy(store, vm) : become(store, vm, o.user ? o.user : "root", argc - rest, argv + rest);
}

const struct verb verb_ssh = {
    .name = "ssh",
    .summary = "Opens an SSH connection with a VM through its agent",
    .usage = "[OPTION]... VM [COMMAND [ARGUMENT]...]",
    .options = {{rows}},
    .words = {{"VM", WORD_VM}},
    .about = "Opens an SSH connection with a running VM through its agent: no network and no password. "
             "The guest needs an sshd, which need not be running, and takes a key that the VM has in its folder. "
             "What stands behind the VM is the command, as *ssh* has it.",
    .run = run,
};
