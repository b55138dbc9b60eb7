/*
 * Devices of a VM that runs: attached and detached by QEMU's commands, through the VM's worker. The caller holds the
 * VM's lock, and changes the definition after what was done here, or so that its old one is what a crash leaves.
 */
#ifndef MANAGER_HOT_H
#define MANAGER_HOT_H

#include "manager/now.h"

/* Asks QEMU one command, and releases its arguments. `result` gets what it returned, which the caller releases; NULL:
 * it is not wanted. */
int MUST_CHECK hot_ask(struct store *store, const char *vm, const char *command, json_t *arguments, json_t **result,
                       struct error *error);

/* The drive is attached, or nothing has changed. */
int MUST_CHECK hot_disk_add(struct store *store, const struct vm_def *def, const struct disk_def *disk,
                            struct error *error);
/* Waits until the guest has let go of it. -EBUSY: it does not, and the drive stays. One that is not there is no error.
 */
int MUST_CHECK hot_disk_remove(struct store *store, const struct vm_def *def, const struct disk_def *disk,
                               struct error *error);
/* The limits of `new`; the medium, where that is another: the place must be the same. */
int MUST_CHECK hot_disk_set(struct store *store, const struct vm_def *def, const struct disk_def *old,
                            const struct disk_def *new, struct error *error);
/* The same of a network card. */
int MUST_CHECK hot_card_add(struct store *store, const struct vm_def *def, const struct card_def *card,
                            struct error *error);
int MUST_CHECK hot_card_remove(struct store *store, const struct vm_def *def, const struct card_def *card,
                               struct error *error);
/* The bus for one more PCI device: NULL in `bus` stands for the one that the machine has. -ENOSPC: there is no place.
 */
#define HOT_BUS_MAX 16
int MUST_CHECK hot_bus(struct store *store, const struct vm_def *def, char bus[static HOT_BUS_MAX],
                       struct error *error);
bool hot_has(struct store *store, const char *vm, const char *id);

#endif
