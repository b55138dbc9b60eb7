/*
 * Operations in guests that have QEMU's agent and not nestbox-agent: what can be done by it.
 */
#ifndef MANAGER_GUEST_GA_H
#define MANAGER_GUEST_GA_H

#include "manager/guest.h"

/* Both are called when nestbox-agent does not answer, which `error` says already. If QEMU's agent does not either, the
 * error stays as it is, and its code is returned. */
int MUST_CHECK guest_ga_exec(struct store *store, const char *vm, const struct agent_run *run, struct error *error);
int MUST_CHECK guest_ga_copy(struct store *store, const struct guest_copy *copy, struct error *error);

#endif
