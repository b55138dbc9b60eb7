/*
 * VMs on the host's disk. A VM is a folder, `vms/NAME` in the home folder (lower case):
 *
 *   vm.json        the definition: name, id, generation, version, settings, disks, where it stands in its checkpoints
 *   nics.json log  its cards (store/network.h) and its log
 *   disks/         images that were made for it
 *   bases.json     images elsewhere that its disks were made to stand on
 *   firmware.fd    variables of UEFI; tpm/: state of the TPM
 *   running.json   while it runs, or if it ran when the host stopped
 *   saved/         memory and devices of a saved VM; saved.json, once all is there
 *   checkpoints/ID/  one folder per checkpoint
 *
 * A folder without vm.json is no VM: it has the cards of a QEMU that somebody else runs, and a VM of that name takes
 * them.
 *
 * Whoever changes a VM holds its lock from before it reads until after it wrote; it is a lock of that VM alone.
 */
#ifndef STORE_VM_H
#define STORE_VM_H

#include "rules/disk.h"
#include "rules/vm_settings.h"
#include "store/network.h"

#include <jansson.h>

#define UUID_TEXT_MAX 37
#define VM_DISKS_MAX 64
#define VM_SHARES_MAX 8
#define VM_SAVED_FILE "saved/saved.json" /* while it is there, the VM is saved */
#define VERSION_NEWEST 120               /* configuration versions times ten */

struct vm_def {
    char name[NAME_MAX_LEN + 1];
    char id[UUID_TEXT_MAX];
    u32 version; /* times ten */
    s64 created; /* seconds since 1970 */
    struct vm_settings set;
    struct disk_def disk[VM_DISKS_MAX];
    struct share_def share[VM_SHARES_MAX];
    u32 disks, shares;
    char checkpoint[UUID_TEXT_MAX]; /* the one that it stands on; empty: none */
    bool saved;                     /* there is a saved state to start from: VM_SAVED_FILE, not the definition */
};

/* Lists are sorted by name, without case. Texts belong to the definitions. */
int MUST_CHECK store_vms(struct store *store, struct vm_def **list, u32 *count, struct error *error);
/* The same without those whose definition is damaged. `damage` gets these, and is free()d by the caller; NULL: they are
 * left out without a word. */
int MUST_CHECK store_vms_some(struct store *store, struct vm_def **list, u32 *count, struct damage *damage,
                              struct error *error);
void vm_defs_free(struct vm_def *list, u32 count);
/* -ENOENT with an error that names what is close. `name` may be a UUID. */
int MUST_CHECK store_vm(struct store *store, const char *name, struct vm_def *def, struct error *error);
/* The same of a VM that is to be ended or deleted: if its definition is damaged, *def has only the name and whether it
 * is saved, which its folder says. */
int MUST_CHECK store_vm_even_damaged(struct store *store, const char *name, struct vm_def *def, struct error *error);
void vm_def_free(struct vm_def *def);
/* Makes the texts of a definition its own; after -ENOMEM there is nothing to release. */
int MUST_CHECK vm_def_own(struct vm_def *def);
/* Reads a definition that lies elsewhere, as vm_def_json makes it. */
int MUST_CHECK vm_def_read(const json_t *object, struct vm_def *def, struct error *error);
int MUST_CHECK store_vm_put(struct store *store, const struct vm_def *def, struct error *error);
/* Refuses a name that is taken, fills in id, version and time, and writes the definition. */
int MUST_CHECK store_vm_create(struct store *store, struct vm_def *def, struct error *error);
/* Removes the folder with all that is in it: once begun, it is finished by whoever locks the VM next. */
int MUST_CHECK store_vm_remove(struct store *store, const char *name, struct error *error);
/* Gives a VM another name; its folder and its cards follow. Both names are locked. */
int MUST_CHECK store_vm_rename(struct store *store, struct vm_def *def, const char *name, struct error *error);
/* The definition as it is in the file; NULL if there is no memory. */
json_t *vm_def_json(const struct vm_def *def);
json_t *vm_disk_json(const struct disk_def *disk);
/* A random UUID. */
int MUST_CHECK uuid_make(char uuid[static UUID_TEXT_MAX], struct error *error);

/* Images outside of the home folder that disks of the VM were made to stand on, by their real paths. One within is not
 * listed. `to` gets a list of its own. */
bool store_vm_base(struct store *store, const char *vm, const char *path);
int MUST_CHECK store_vm_base_add(struct store *store, const char *vm, const char *path, struct error *error);
int MUST_CHECK store_vm_bases_copy(struct store *store, const char *from, const char *to, struct error *error);

/* Whether a VM runs, for the time after the host has gone down: marked when it starts, and no longer when it ends by
 * itself or by its user. */
int MUST_CHECK store_vm_mark(struct store *store, const char *name, bool runs, struct error *error);
bool store_vm_marked(const struct store *store, const char *name);

/* The lock of a VM. Waits for `wait_ms`; then -EBUSY with an error that says which command holds it since when.
 * `what`: what this one does, "start". Returns a descriptor; closing it releases the lock, as does the process's end.
 * The VM need not exist. What a command left unfinished is finished or undone first (store/intent.h). */
int MUST_CHECK store_vm_lock(struct store *store, const char *name, const char *what, u32 wait_ms, struct error *error);
#define VM_LOCK_WAIT_MS 60000u
/* Releases it, and removes its file if there is no such VM, or none any more. */
void store_vm_unlock(struct store *store, const char *name, int lock);
/* Paths: within the VM's folder; of a socket in the run folder (`vms/NAME/WHAT`), which is created. `what` may be
 * empty.
 */
int MUST_CHECK store_vm_path(const struct store *store, const char *vm, const char *what, char *path, size_t size,
                             struct error *error);
int MUST_CHECK store_vm_socket(const struct store *store, const char *vm, const char *what, char *path, size_t size,
                               struct error *error);
/* The absolute path of a drive's image; the drive has one. */
int MUST_CHECK store_disk_path(const struct store *store, const struct vm_def *def, const struct disk_def *disk,
                               char *path, size_t size, struct error *error);

#endif
