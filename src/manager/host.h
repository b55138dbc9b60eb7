/*
 * The host: its settings, and its rules asked of a VM.
 */
#ifndef MANAGER_HOST_H
#define MANAGER_HOST_H

#include "manager/change.h"
#include "manager/now.h"
#include "store/host.h"

int MUST_CHECK host_show(struct store *store, json_t **object, struct error *error);
int MUST_CHECK host_set(struct store *store, const struct change *change, struct error *error);
/* An array of rules: "id", "kind" ("refuses", "warns", "behaves"), "profiles", "summary", "message", "remedy", "seed".
 * `profile` NULL: all of them. */
int MUST_CHECK rules_list(const char *profile, json_t **list, struct error *error);

/* Asks the rules of the host's profile at `points` (RULE_*). A refusal is the error, -EPERM; warnings are noted.
 * `wanted`: the settings as they would be; NULL: they do not change. `device`: of RULE_ADD_DEVICE. */
int MUST_CHECK host_rules(struct store *store, const struct vm_def *def, const struct vm_now *now,
                          const struct vm_settings *wanted, const char *device, u32 points, struct error *error);

/* Adds what the rules say of VMs without an operation, as findings of check (manager/check.h). `vm` NULL: of all. */
int MUST_CHECK host_check(struct store *store, const char *vm, json_t *findings, struct error *error);

#endif
