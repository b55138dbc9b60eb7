/*
 * Folders of the host that a VM's guest mounts by virtiofs.
 */
#ifndef MANAGER_SHARE_H
#define MANAGER_SHARE_H

#include "store/vm.h"

/* The VM must be off. The folder must be there; without a tag it is the folder's name. */
int MUST_CHECK share_add(struct store *store, const char *vm, const struct share_def *share, struct error *error);
int MUST_CHECK share_remove(struct store *store, const char *vm, const char *tag, struct error *error);

#endif
