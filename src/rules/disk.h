/*
 * Disks, CD drives and shared folders of a VM: their settings as tables, and which places the buses have.
 */
#ifndef RULES_DISK_H
#define RULES_DISK_H

#include "rules/name.h"
#include "rules/setting.h"

/* In a request, BUS_ANY and DISK_ANYWHERE stand for the first that fits. */
enum bus { BUS_VIRTIO, BUS_SCSI, BUS_LSI, BUS_SATA, BUS_NVME, BUS_IDE, BUS_ANY };
enum disk_kind { DISK_DISK, DISK_CD, DISK_FLOPPY };
#define DISK_ANYWHERE UINT32_MAX

struct disk_def {
    char id[ID_TEXT_MAX]; /* "disk0": names the drive in QEMU, and stays */
    enum bus bus;
    enum disk_kind kind;
    u32 controller, location;
    const char *path;   /* absolute, or relative to the VM's folder; NULL: an empty drive */
    const char *format; /* "qcow2", "raw", as QEMU names them */
    bool read_only;
    u32 iops_maximum; /* per second; 0: no limit */
    u64 bytes_maximum;
};

struct share_def {
    char tag[37];     /* the name that the guest mounts */
    const char *path; /* a folder of the host */
    bool read_only;
};

extern const struct setting disk_settings_table[], share_settings_table[];
const char *bus_name(enum bus bus);
const char *disk_kind_name(enum disk_kind kind);

/* Writes the id that drive number `n` of its kind would have. */
void disk_id(enum disk_kind kind, u32 n, char id[static ID_TEXT_MAX]);
/* Fills in what a request leaves open: a bus after the kind and the VM's generation, and the first place at the bus
 * that none of the others has. Refuses what is no place, or is taken. Returns 0 or -EINVAL, -EEXIST, -ENOSPC. */
int MUST_CHECK disk_place(struct disk_def *disk, u32 generation, const struct disk_def *others, u32 count,
                          struct error *error);
/* Refuses a drive that no guest could take while it runs, or would not notice. Returns 0 or -EPERM. */
int MUST_CHECK disk_hot(const struct disk_def *disk, struct error *error);
/* A tag is what a guest writes after `mount -t virtiofs`. Returns 0 or -EINVAL. */
int MUST_CHECK share_check(const struct share_def *share, struct error *error);

#endif
