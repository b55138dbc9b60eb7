/*
 * The tables of disks and shares, and the places at each bus: one row per bus.
 */
#include "rules/disk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char place_group[] = "Drive", limit_group[] = "Limits", share_group[] = "Share";

static const char *const bus_names[] = {
    [BUS_VIRTIO] = "virtio", [BUS_SCSI] = "scsi", [BUS_LSI] = "lsi", [BUS_SATA] = "sata",
    [BUS_NVME] = "nvme",     [BUS_IDE] = "ide",   [BUS_ANY] = NULL};
static const char *const kind_names[] = {[DISK_DISK] = "disk", [DISK_CD] = "cd", [DISK_FLOPPY] = "floppy", NULL};

/* clang-format off */
#define AT(field) offsetof(struct disk_def, field)
const struct setting disk_settings_table[] = {
    {"kind", SETTING_CHOICE, AT(kind), "KIND", "what the guest finds",
     .group = place_group, .def = "disk", .choices = kind_names},
    {"bus", SETTING_CHOICE, AT(bus), "BUS", "how it is attached",
     "How the drive is attached. A disk is at *virtio* if nothing else is said, a CD drive at *scsi*, or at *ide* in a "
     "VM of generation 1.",
     .group = place_group, .choices = bus_names, .property = "HardDiskDrive.ControllerType"},
    {"controller", SETTING_NUMBER, AT(controller), "N", "number of the bus; the first with a free place if not given",
     .group = place_group, .max = 3, .property = "HardDiskDrive.ControllerNumber"},
    {"location", SETTING_NUMBER, AT(location), "N", "place at the bus; the first that is free if not given",
     .group = place_group, .max = 63, .property = "HardDiskDrive.ControllerLocation"},
    {"path", SETTING_TEXT, AT(path), "FILE", "image; an empty path is an empty drive",
     .group = place_group, .file = true, .property = "HardDiskDrive.Path"},
    {"format", SETTING_TEXT, AT(format), "FORMAT", "format of the image; found out if not given",
     .group = place_group, .examples = "qcow2 raw vhdx vpc vmdk"},
    {"read-only", SETTING_ON_OFF, AT(read_only), "on|off", "the guest cannot write to it",
     .group = place_group, .def = "off"},
    {"iops-maximum", SETTING_NUMBER, AT(iops_maximum), "N", "limit of reads and writes per second; 0 is none",
     .group = limit_group, .def = "0", .max = 1000000000, .property = "HardDiskDrive.MaximumIOPS"},
    {"bytes-maximum", SETTING_SIZE, AT(bytes_maximum), "SIZE", "limit of bytes per second, with K, M or G; 0 is none",
     .group = limit_group, .def = "0", .max = 1ull << 40, .examples = "0 10M 100M"},
    {0},
};
#undef AT

#define AT(field) offsetof(struct share_def, field)
const struct setting share_settings_table[] = {
    {"path", SETTING_TEXT, AT(path), "FOLDER", "folder of the host",
     .group = share_group, .file = true},
    {"read-only", SETTING_ON_OFF, AT(read_only), "on|off", "the guest cannot write there",
     .group = share_group, .def = "off"},
    {0},
};
#undef AT

/* Places: of a VM of generation 1 and of generation 2; a bus that is not there has none. */
static const struct {
    u32 controllers[2], locations;
    const char *about; /* what is said of a number that is too high */
    const char *cold;  /* why nothing comes and goes there while the VM runs; NULL: it does */
} buses[] = {
    [BUS_VIRTIO] = {{1, 1}, 24, "virtio has locations 0 to 23"},
    [BUS_SCSI] = {{4, 4}, 64, "scsi has controllers 0 to 3 with locations 0 to 63"},
    [BUS_LSI] = {{4, 4}, 7, "lsi has controllers 0 to 3 with locations 0 to 6",
                 "the guest is not told of changes at bus lsi"},
    [BUS_SATA] = {{1, 1}, 6, "sata has locations 0 to 5",
                  "drives at bus sata come and go only while a VM is off"},
    [BUS_NVME] = {{1, 1}, 16, "nvme has locations 0 to 15"},
    [BUS_IDE] = {{2, 0}, 2, "ide has controllers 0 and 1 with locations 0 and 1, in a VM of generation 1",
                 "drives at bus ide come and go only while a VM is off"},
};
/* clang-format on */

const char *bus_name(enum bus bus)
{
    return bus_names[bus];
}

const char *disk_kind_name(enum disk_kind kind)
{
    return kind_names[kind];
}

void disk_id(enum disk_kind kind, u32 n, char id[static ID_TEXT_MAX])
{
    snprintf(id, ID_TEXT_MAX, "%.6s%u", kind_names[kind], n % 100);
}

static const struct disk_def *disk_at(const struct disk_def *others, u32 count, const struct disk_def *disk)
{
    for (u32 i = 0; i < count; i++)
        if ((others[i].kind == DISK_FLOPPY) == (disk->kind == DISK_FLOPPY) && others[i].bus == disk->bus &&
            others[i].controller == disk->controller && others[i].location == disk->location)
            return &others[i];
    return NULL;
}

static int refuse_place(const char *about, const struct disk_def *disk, struct error *error)
{
    if (disk->controller == DISK_ANYWHERE)
        error_set(error, -EINVAL, "there is no location %u at bus %s", disk->location, bus_names[disk->bus]);
    else if (disk->location == DISK_ANYWHERE)
        error_set(error, -EINVAL, "there is no controller %u of bus %s", disk->controller, bus_names[disk->bus]);
    else
        error_set(error, -EINVAL, "there is no place %u:%u at bus %s", disk->controller, disk->location,
                  bus_names[disk->bus]);
    return error_hint(error, about);
}

static int find_place(struct disk_def *disk, u32 controllers, u32 locations, const struct disk_def *others, u32 count,
                      struct error *error)
{
    const u32 controller = disk->controller, location = disk->location;
    for (u32 c = 0; c < controllers; c++)
        for (u32 l = 0; l < locations; l++) {
            if ((controller != DISK_ANYWHERE && controller != c) || (location != DISK_ANYWHERE && location != l))
                continue;
            disk->controller = c;
            disk->location = l;
            if (!disk_at(others, count, disk))
                return 0;
        }
    const struct disk_def *other = disk_at(others, count, disk);
    if (controller != DISK_ANYWHERE && location != DISK_ANYWHERE && other)
        return error_set(error, -EEXIST, "%s is at place %u:%u of bus %s", other->id, controller, location,
                         bus_names[disk->bus]);
    disk->controller = controller;
    disk->location = location;
    return error_set(error, -ENOSPC, "there is no free place at bus %s",
                     disk->kind == DISK_FLOPPY ? "floppy" : bus_names[disk->bus]);
}

int disk_place(struct disk_def *disk, u32 generation, const struct disk_def *others, u32 count, struct error *error)
{
    if (disk->kind == DISK_FLOPPY) {
        disk->bus = BUS_IDE; /* no bus of its own in the list; drives of floppies have places of their own */
        if (generation != 1)
            return error_set(error, -EINVAL, "only a VM of generation 1 has a floppy drive");
        return find_place(disk, 1, 2, others, count, error);
    }
    if (disk->bus == BUS_ANY)
        disk->bus = disk->kind == DISK_DISK ? BUS_VIRTIO : generation == 1 ? BUS_IDE : BUS_SCSI;
    u32 controllers = buses[disk->bus].controllers[generation == 1 ? 0 : 1], locations = buses[disk->bus].locations;
    if (disk->kind == DISK_CD && (disk->bus == BUS_VIRTIO || disk->bus == BUS_NVME)) {
        error_set(error, -EINVAL, "there are no CD drives at bus %s", bus_names[disk->bus]);
        return error_hint(error, "scsi, sata and ide have them");
    }
    if (!controllers) {
        error_set(error, -EINVAL, "a VM of generation 2 has no bus %s", bus_names[disk->bus]);
        return error_hint(error, "virtio, scsi, sata and nvme are there");
    }
    if ((disk->controller != DISK_ANYWHERE && disk->controller >= controllers) ||
        (disk->location != DISK_ANYWHERE && disk->location >= locations))
        return refuse_place(buses[disk->bus].about, disk, error);
    return find_place(disk, controllers, locations, others, count, error);
}

int disk_hot(const struct disk_def *disk, struct error *error)
{
    const char *cold =
        disk->kind == DISK_FLOPPY ? "drives of floppies come and go only while a VM is off" : buses[disk->bus].cold;
    if (!cold)
        return 0;
    error_set(error, -EPERM, "%s", cold);
    return error_hint(error, disk->kind == DISK_FLOPPY
                                 ? "stop it first; a floppy in the drive can be changed at any time"
                             : disk->kind == DISK_CD ? "stop it first, or take bus scsi"
                                                     : "stop it first, or take bus scsi, virtio or nvme");
}

int share_check(const struct share_def *share, struct error *error)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strlen(share->tag);
    if (!length || length >= sizeof(share->tag) || strspn(share->tag, allowed) != length) {
        error_set(error, -EINVAL, "'%.40s' is no name for a share", share->tag);
        return error_hint(error, "letters, digits, dots, dashes and underscores, at most 36 characters");
    }
    return 0;
}
