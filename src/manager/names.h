/*
 * What there is by name, for completions and for whoever mistyped one.
 */
#ifndef MANAGER_NAMES_H
#define MANAGER_NAMES_H

#include "store/networks.h"

/* Calls `each` with the names of a kind: "switches", "nats", "vms", "cards", "disks", "images", "profiles" (of
 * images), "interfaces" (of the host); with `of`, a VM or a NAT network, also "checkpoints", "shares" and "leases". */
void names_each(const char *kind, const char *of, void (*each)(const char *name, void *opaque), void *opaque);

/* Each finds a thing, or fills `error` with -ENOENT and what may have been meant, and returns NULL. */
struct switch_def *names_switch(const struct networks *networks, const char *name, struct error *error);
struct nat_def *names_nat(const struct networks *networks, const char *name, struct error *error);
/* "VM/CARD", or "VM" of a VM with one card. */
struct card_def *names_card(const struct networks *networks, const char *name, struct error *error);
/* Returns true if the VM has cards. */
bool names_vm(const struct networks *networks, const char *vm, struct error *error);

#define CARD_NAME_MAX (2 * NAME_MAX_LEN + 2)
/* Writes "VM/CARD". */
void card_title(const struct card_def *card, char title[static CARD_NAME_MAX]);

#endif
