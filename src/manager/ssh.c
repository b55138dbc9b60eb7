/*
 * See ssh.h. `sshd -i` serves one connection on its standard streams, whether or not the guest's ssh service runs.
 */
#include "manager/ssh.h"

#include "manager/guest.h"
#include "manager/life.h"
#include "process/program.h"
#include "store/vm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* In the guest; $1 is the public key. */
static const char serve[] =
    "sshd=$(command -v sshd || echo /usr/sbin/sshd)\n"
    "[ -x \"$sshd\" ] || { echo 'the guest has no sshd; Debian has it in openssh-server' >&2; exit 127; }\n"
    "ls /etc/ssh/ssh_host_*_key >/dev/null 2>&1 || ssh-keygen -A >/dev/null || exit 1\n"
    "mkdir -p /run/sshd /run/nestbox-agent && printf '%s\\n' \"$1\" >/run/nestbox-agent/ssh.new &&\n"
    "mv /run/nestbox-agent/ssh.new /run/nestbox-agent/ssh.pub || exit 1\n"
    "exec \"$sshd\" -i -o 'AuthorizedKeysFile=/run/nestbox-agent/ssh.pub .ssh/authorized_keys' -o "
    "PermitRootLogin=prohibit-password";

static int make_key(const char *path, struct error *error)
{
    char program[PATH_MAX];
    int e = program_locate("ssh-keygen", "openssh-client", program, sizeof(program), error);
    const char *const argv[] = {program, "-q", "-t", "ed25519", "-N", "", "-C", "nestbox", "-f", path, NULL};
    return e ? e : program_run(argv, NULL, NULL, error);
}

int ssh_prepare(struct store *store, const char *vm, struct ssh_files *files, struct error *error)
{
    struct vm_def def;
    int e = store_vm(store, vm, &def, error);
    if (e)
        return e;
    int worker = life_reach(store, def.name, error); /* or ssh itself would complain, too */
    if (worker < 0) {
        vm_def_free(&def);
        return worker;
    }
    close(worker);
    e = store_vm_path(store, def.name, "ssh", files->key, sizeof(files->key), error);
    if (!e && mkdir(files->key, 0700) && errno != EEXIST)
        e = error_path(error, -errno, files->key);
    if (!e)
        e = store_vm_path(store, def.name, "ssh/key", files->key, sizeof(files->key), error);
    if (!e)
        e = store_vm_path(store, def.name, "ssh/known_hosts", files->known_hosts, sizeof(files->known_hosts), error);
    snprintf(files->alias, sizeof(files->alias), "nestbox-%s", def.id);
    if (!e && access(files->key, F_OK)) {
        /* Two commands at once: one waits, and finds the other's. */
        int lock = store_vm_lock(store, def.name, "ssh", VM_LOCK_WAIT_MS, error);
        e = lock < 0 ? lock : access(files->key, F_OK) ? make_key(files->key, error) : 0;
        if (lock >= 0)
            close(lock);
    }
    vm_def_free(&def);
    return e;
}

int ssh_serve(struct store *store, const char *vm, int in, int out, int errors, struct error *error)
{
    struct ssh_files files;
    char path[PATH_MAX + 8], key[512] = "";
    int e = ssh_prepare(store, vm, &files, error);
    if (e)
        return e;
    snprintf(path, sizeof(path), "%s.pub", files.key);
    FILE *file = fopen(path, "re");
    if (!file || !fgets(key, sizeof(key), file))
        e = error_set(error, -ENOENT, "%.200s: the VM's key cannot be read", path);
    if (file)
        fclose(file);
    key[strcspn(key, "\n")] = 0;
    const char *const argument[] = {"sh", "-c", serve, "sh", key, NULL};
    const struct agent_run run = {.argument = argument, .in = in, .out = out, .error = errors, .signals = -1};
    return e ? e : guest_exec(store, vm, &run, error);
}
