/*
 * Operations on the network cards of VMs. A card is named "VM/CARD", or "VM" where the VM has one.
 */
#ifndef MANAGER_CARD_H
#define MANAGER_CARD_H

#include "manager/change.h"
#include "store/networks.h"

#include <jansson.h>

/* Adds a card to `def->vm`: an empty name becomes the first free of nic0, nic1, ...; without an address a random one is
 * made up. The id, the name and the address are filled in. */
int MUST_CHECK nic_add(struct store *store, struct card_def *def, json_t **object, struct error *error);
/* The same, for an operation that has the lock of the VM, which is not attached: it does not run. */
int MUST_CHECK nic_add_locked(struct store *store, struct card_def *def, json_t **object, struct error *error);
int MUST_CHECK nic_set(struct store *store, const char *name, const struct change *change, struct error *error);
int MUST_CHECK nic_remove(struct store *store, const char *name, struct error *error);
/* One element of what nic_list has. */
int MUST_CHECK nic_show(struct store *store, const char *name, json_t **object, struct error *error);
/* An array of objects: "id", "vm", "name", "mac", "switch", "settings", "socket", "qemu": the options that attach any
 * QEMU, "linked" and "addresses", which are null where the switch does not run. `vm` NULL: of all VMs. */
int MUST_CHECK nic_list(struct store *store, const char *vm, json_t **list, struct error *error);

#endif
