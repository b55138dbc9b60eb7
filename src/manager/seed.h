/*
 * The seed of a VM: what cloud-init in the guest takes its name, its keys and more from (NoCloud). It is a small CD in
 * the VM's folder.
 */
#ifndef MANAGER_SEED_H
#define MANAGER_SEED_H

#include "store/vm.h"

struct seed {
    const char *user_data;       /* a file for cloud-init; NULL: none */
    struct setting_list ssh_key; /* files with public keys of whoever may log in as the image's user */
};

/* Adds the CD to a definition that is not yet written; the folder of the VM's disks is there. */
int MUST_CHECK seed_add(struct store *store, struct vm_def *def, const struct seed *seed, struct error *error);

/* Is it the drive of a seed that seed_add made? */
bool seed_is(const struct disk_def *disk);
/* Writes the seed of a clone, whose folder is there: that of `from` with the name and the UUID of `to`, which gets one.
 * Then cloud-init in the clone sets it up as a machine of its own. */
int MUST_CHECK seed_clone(struct store *store, const struct vm_def *from, struct vm_def *to, struct error *error);

/* Writes the name that a guest gets: that of the VM as names of hosts are. */
void seed_hostname(const char *vm, char name[static NAME_MAX_LEN + 1]);

#endif
