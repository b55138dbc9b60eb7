/*
 * Operations within running VMs, by the agent in the guest: docs/agent.md. They take as long as what runs there.
 */
#ifndef MANAGER_GUEST_H
#define MANAGER_GUEST_H

#include "agent/run.h"
#include "manager/progress.h"
#include "store/network.h"

#include <jansson.h>

/* Runs a command as agent_run does, and returns what that returns. -ENOTCONN: the VM does not run, or has no agent. */
int MUST_CHECK guest_exec(struct store *store, const char *vm, const struct agent_run *run, struct error *error);

struct guest_copy {
    const char *vm, *guest_path, *host_path;
    const char *user; /* in the guest; NULL: root */
    bool to_guest, recursive;
    int signals; /* a signalfd: a signal ends the copy, and what is not whole is removed; -1: none */
    /* Both are called on another thread, never at the same time. */
    void (*complain)(void *opaque, const char *text); /* "lab:/root/x: Permission denied" */
    void (*progress)(void *opaque, u64 bytes);        /* twice a second */
    void *opaque;
};
/* Returns 0, or the number of what could not be copied, which was complained of; or an error. */
int MUST_CHECK guest_copy(struct store *store, const struct guest_copy *copy, struct error *error);

/* Waits until the guest's agent answers; 0 seconds: as long as is usual. What the guest's console says is progress. */
int MUST_CHECK guest_wait(struct store *store, const char *vm, u32 seconds, const struct progress *progress,
                          struct error *error);
/* The same after -ENXIO of something that takes the agent, which is then done again: waits if the guest began not long
 * ago, and returns 0 also if no agent answers. */
int MUST_CHECK guest_await(struct store *store, const char *vm, const struct progress *progress, struct error *error);
/* What the agent reports of the guest, as docs/agent.md has it. */
int MUST_CHECK guest_info(struct store *store, const char *vm, json_t **info, struct error *error);

#endif
