/*
 * SSH with a guest by way of its agent: no network, no password. Each VM has a key of its own in its folder, which the
 * guest's sshd is told to take for that connection.
 */
#ifndef MANAGER_SSH_H
#define MANAGER_SSH_H

#include "agent/run.h"
#include "store/network.h"

#include <limits.h>

struct ssh_files {
    char key[PATH_MAX], known_hosts[PATH_MAX];
    char alias[64]; /* by which the guest's own key is known */
};

/* Names the files, and makes the key if there is none. */
int MUST_CHECK ssh_prepare(struct store *store, const char *vm, struct ssh_files *files, struct error *error);
/* Starts an sshd in the guest and speaks with it on `in` and `out`, until either ends. Returns as agent_run does. */
int MUST_CHECK ssh_serve(struct store *store, const char *vm, int in, int out, int errors, struct error *error);

#endif
