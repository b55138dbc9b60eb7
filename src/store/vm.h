/*
 * VMs on the host's disk. A VM is a folder, `vms/NAME` in the home folder (lower case):
 *
 *   vm.json        the definition: name, id, generation, version, settings, disks, where it stands in its checkpoints
 *   nics.json log  its cards (store/network.h) and its log
 *   disks/         images that were made for it
 *   firmware.fd    variables of UEFI; tpm/: state of the TPM
 *   saved/         memory and devices of a saved VM
 *   checkpoints/ID/  one folder per checkpoint
 *   intent.json    an operation of several steps that is under way
 *
 * Whoever changes a VM holds its lock from before it reads until after it wrote; it is a lock of that VM alone.
 */
#ifndef STORE_VM_H
#define STORE_VM_H

#include "rules/name.h"
#include "rules/vm_settings.h"
#include "store/network.h"

#define UUID_TEXT_MAX 37
#define VM_DISKS_MAX 64
#define VM_SHARES_MAX 8
#define VERSION_NEWEST 120 /* configuration versions times ten */

enum bus { BUS_VIRTIO, BUS_SCSI, BUS_LSI, BUS_SATA, BUS_NVME, BUS_IDE };
enum disk_kind { DISK_DISK, DISK_CD, DISK_FLOPPY };

struct disk_def {
    char id[ID_TEXT_MAX]; /* names the drive in QEMU, and stays */
    enum bus bus;
    enum disk_kind kind;
    u32 controller, location;
    const char *path;   /* absolute, or relative to the VM's folder; NULL: an empty drive */
    const char *format; /* "qcow2", "raw" */
    bool read_only;
    u64 iops_maximum, bytes_maximum; /* per second; 0: no limit */
};

struct share_def {
    char tag[37];     /* the name that the guest mounts */
    const char *path; /* a folder of the host */
    bool read_only;
};

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
    bool saved;                     /* there is a saved state to start from */
};

/* Lists are sorted by name. Texts belong to the definitions. */
int MUST_CHECK store_vms(struct store *store, struct vm_def **list, u32 *count, struct error *error);
void vm_defs_free(struct vm_def *list, u32 count);
/* -ENOENT with an error that names what is close. `name` may be a UUID. */
int MUST_CHECK store_vm(struct store *store, const char *name, struct vm_def *def, struct error *error);
void vm_def_free(struct vm_def *def);
int MUST_CHECK store_vm_put(struct store *store, const struct vm_def *def, struct error *error);
/* Creates the folder, refuses a name that is taken. */
int MUST_CHECK store_vm_create(struct store *store, struct vm_def *def, struct error *error);
/* Removes the folder with all that is in it. */
int MUST_CHECK store_vm_remove(struct store *store, const char *name, struct error *error);

/* The lock of a VM. Waits for `wait_ms`; then -EBUSY with an error that says which command holds it since when.
 * `what`: what this one does, "start". Returns a descriptor; closing it releases the lock, as does the process's end.
 */
int MUST_CHECK store_vm_lock(struct store *store, const char *name, const char *what, u32 wait_ms, struct error *error);
/* Paths: within the VM's folder; of a socket in the run folder (`vms/NAME/WHAT`), which is created. */
int MUST_CHECK store_vm_path(const struct store *store, const char *vm, const char *what, char *path, size_t size,
                             struct error *error);
int MUST_CHECK store_vm_socket(const struct store *store, const char *vm, const char *what, char *path, size_t size,
                               struct error *error);

#endif
