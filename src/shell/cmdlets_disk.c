/*
 * Disks and CD drives of VMs, and images.
 */
#include "manager/disk.h"
#include "manager/qemu_img.h"

#include "shell/model.h"
#include "shell/script.h"
#include "shell/vms.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
static const struct property_row drive_rows[] = {
    {"ControllerType", PROPERTY_WORD, "bus", "VIRTIO|SCSI|LSI|SATA|NVME|IDE"},
    {"ControllerNumber", PROPERTY_VALUE, "controller"},
    {"ControllerLocation", PROPERTY_VALUE, "location"},
    {"Path", PROPERTY_VALUE, "file"},
    {"MaximumIOPS", PROPERTY_VALUE, "iops-maximum"},
    {"Size", PROPERTY_VALUE, "size"},
    {"FileSize", PROPERTY_VALUE, "bytes"},
    {"ParentPath", PROPERTY_VALUE, "base"},
    {"VhdFormat", PROPERTY_VALUE, "format"},
    {"Name", PROPERTY_VALUE, "id"},
    {"Id", PROPERTY_VALUE, "id"},
    {"VMName", PROPERTY_VALUE, "vm"},
    {0},
};
/* clang-format on */

/* Objects of vm_list have no file but the path as it is defined: absolute, or below the VM's folder. */
struct value *drive_object(struct heap *heap, const json_t *vm, const json_t *drive)
{
    bool cd = text_same(model_text(json_object_get(drive, "settings"), "kind"), "cd");
    struct value *v = model_object(heap, cd ? "DvdDrive" : "HardDiskDrive", drive_rows, drive);
    const char *path = model_text(json_object_get(drive, "settings"), "path");
    if (*path && !*model_text(drive, "file") && *path != '/')
        object_set(v, "Path", value_format(heap, "%s/%s", model_text(vm, "path"), path));
    else if (*path && !*model_text(drive, "file"))
        object_set(v, "Path", value_text(heap, path));
    object_set(v, "VMName", value_text(heap, vm ? model_text(vm, "name") : model_text(drive, "vm")));
    return v;
}

static bool is_cd(const struct call *call)
{
    return strstr(call->name, "Dvd") != NULL;
}

/* The drives of the VMs that are asked for. */
static enum flow drives(struct call *call, struct value **all)
{
    struct error error;
    json_t *vms, *vm, *list, *one;
    size_t i, j;
    *all = value_array(&call->shell->heap);
    if (call_objects(call, is_cd(call) ? "VMDvdDrive" : "VMHardDiskDrive", *all))
        return FLOW_NEXT;
    enum flow flow = vms_find(call, &vms);
    json_array_foreach (vms, i, vm) {
        if (flow != FLOW_NEXT)
            break;
        if (disk_list(call->shell->store, model_text(vm, "name"), &list, &error)) {
            flow = call_manager_error(call, &error, model_text(vm, "name"));
            continue;
        }
        json_array_foreach (list, j, one) {
            bool cd = text_same(model_text(json_object_get(one, "settings"), "kind"), "cd");
            struct value *v = drive_object(&call->shell->heap, NULL, one);
            const struct value *number = object_get(v, "ControllerNumber"),
                               *location = object_get(v, "ControllerLocation");
            const char *type = call_text(call, "ControllerType");
            s64 n;
            if (cd != is_cd(call) || (type && !text_same(type, object_get(v, "ControllerType")->text)) ||
                (call_number(call, "ControllerNumber", &n) && n != number->number) ||
                (call_number(call, "ControllerLocation", &n) && n != location->number))
                continue;
            array_add(*all, v);
        }
        json_decref(list);
    }
    json_decref(vms);
    return flow;
}

static enum flow get(struct call *call)
{
    struct value *all;
    enum flow flow = drives(call, &all);
    return flow == FLOW_NEXT ? sink_put_each(call->out, all) : flow;
}

/* What a request says of the place: "IDE", 0, 1. */
static int place(const struct call *call, struct disk_def *def, struct error *error)
{
    const char *type = call_text(call, "ControllerType");
    const struct setting *bus = setting_find(disk_settings_table, "bus", 3);
    char low[16];
    s64 number;
    if (type) {
        size_t n = 0;
        for (; type[n] && n + 1 < sizeof(low); n++)
            low[n] = (char)(type[n] | 0x20);
        low[n] = 0;
        int e = setting_parse(bus, low, def, error);
        if (e)
            return e;
    }
    if (call_number(call, "ControllerNumber", &number))
        def->controller = (u32)number;
    if (call_number(call, "ControllerLocation", &number))
        def->location = (u32)number;
    if (call_number(call, "MaximumIOPS", &number))
        def->iops_maximum = (u32)number;
    return 0;
}

static enum flow add_one(struct call *call, const char *name)
{
    const char *given = call_text(call, "Path");
    char *path = given ? script_path(given) : NULL;
    struct disk_new disk;
    struct error error;
    json_t *object = NULL;
    enum flow flow = FLOW_NEXT;
    s64 size;
    disk_new_init(&disk);
    disk.def.kind = is_cd(call) ? DISK_CD : DISK_DISK;
    disk.def.path = path;
    if (call_number(call, "NewVHDSizeBytes", &size))
        disk.size = (u64)size;
    int e = place(call, &disk.def, &error);
    if (!e)
        e = disk_add(call->shell->store, name, &disk, &object, &error);
    free(path);
    if (e)
        return call_manager_error(call, &error, name);
    struct value *v = drive_object(&call->shell->heap, NULL, object);
    object_set(v, "VMName", value_text(&call->shell->heap, name));
    if (call_on(call, "Passthru"))
        flow = call_put(call, v);
    json_decref(object);
    return flow;
}

static enum flow add(struct call *call)
{
    return vms_each(call, add_one, NULL);
}

/* Changes drives; NULL: they are removed. */
static enum flow change_drives(struct call *call, const struct change *change)
{
    struct value *all;
    struct error error;
    enum flow flow = drives(call, &all);
    bool go;
    if (flow == FLOW_NEXT && !all->array.count && !call->failed)
        return call_error(call, OBJECT_NOT_FOUND, "ObjectNotFound", NULL, "there is no such drive");
    for (size_t i = 0; i < all->array.count && flow == FLOW_NEXT; i++) {
        const struct value *vm = object_get(all->array.item[i], "VMName"), *id = object_get(all->array.item[i], "Id");
        char title[160];
        snprintf(title, sizeof(title), "%s/%s", vm->kind == VALUE_TEXT ? vm->text : "",
                 id->kind == VALUE_TEXT ? id->text : "");
        flow = call_should(call, title, &go);
        if (flow == FLOW_NEXT && go && !model_store(call, &flow))
            return flow;
        if (flow != FLOW_NEXT || !go)
            continue;
        if (change ? disk_set(call->shell->store, title, change, &error)
                   : disk_remove(call->shell->store, title, false, &error))
            flow = call_manager_error(call, &error, title);
    }
    return flow;
}

static enum flow remove_drives(struct call *call)
{
    return change_drives(call, NULL);
}

static enum flow set_drives(struct call *call)
{
    struct model_change change;
    for (unsigned i = 0; call->parameters[i].name; i++) {
        struct value *v = call->bound[i];
        if (strcmp(call->parameters[i].name, "Path") != 0 || !v)
            continue;
        char *path = v->kind == VALUE_TEXT && v->length ? script_path(v->text) : NULL;
        call->bound[i] = value_text(&call->shell->heap, path ? path : ""); /* $null takes the medium out */
        free(path);
    }
    model_change(&change, call, disk_settings_table);
    return change_drives(call, &change.change);
}

/* -- images that belong to no VM, or to one that is off -- */

static struct value *image_object(struct heap *heap, const char *path, const json_t *info)
{
    static const char *const formats[] = {"vhdx", "VHDX", "vpc", "VHD", "qcow2", "QCOW2", "raw", "RAW"};
    const char *format = model_text(info, "format"), *base = model_text(info, "full-backing-filename");
    struct value *v = value_object(heap, "VirtualHardDisk");
    for (unsigned i = 0; i < ARRAY_LEN(formats); i += 2)
        if (strcmp(formats[i], format) == 0)
            format = formats[i + 1];
    object_set(v, "Path", value_text(heap, path));
    object_set(v, "VhdFormat", value_text(heap, format));
    object_set(v, "VhdType", value_text(heap, *base ? "Differencing" : "Dynamic"));
    object_set(v, "FileSize", value_number(heap, json_integer_value(json_object_get(info, "actual-size"))));
    object_set(v, "Size", value_number(heap, json_integer_value(json_object_get(info, "virtual-size"))));
    object_set(v, "ParentPath", value_text(heap, base));
    object_set(v, "Attached", &value_false);
    return v;
}

static enum flow put_image(struct call *call, const char *name)
{
    char path[PATH_MAX];
    struct error error;
    json_t *info;
    if (disk_find_file(name, path, &error) || qemu_img_info(path, NULL, &info, &error))
        return call_manager_error(call, &error, name);
    struct value *v = image_object(&call->shell->heap, path, info);
    json_decref(info);
    return call_put(call, v);
}

/* For each image of -Path, after the question whether it should be done. */
static enum flow images_each(struct call *call, enum flow (*one)(struct call *call, const char *path))
{
    enum flow flow = FLOW_NEXT;
    bool go;
    for (size_t i = 0; i < call_count(call, "Path") && flow == FLOW_NEXT; i++) {
        char *path = script_path(call_at(call, "Path", i));
        flow = call->cmdlet->impact ? call_should(call, path, &go) : FLOW_NEXT;
        if (flow == FLOW_NEXT && (!call->cmdlet->impact || go) && model_store(call, &flow))
            flow = one(call, path);
        free(path);
    }
    return flow;
}

static enum flow get_image(struct call *call)
{
    return images_each(call, put_image);
}

static enum flow new_image_one(struct call *call, const char *path)
{
    const char *parent = call_text(call, "ParentPath");
    char *base = parent ? script_path(parent) : NULL;
    struct error error;
    s64 size = 0;
    call_number(call, "SizeBytes", &size);
    int e = disk_create(path, NULL, (u64)size, base, &error);
    free(base);
    return e ? call_manager_error(call, &error, path) : put_image(call, path);
}

static enum flow new_image(struct call *call)
{
    return images_each(call, new_image_one);
}

static enum flow passthru(struct call *call, int e, const struct error *error, const char *path)
{
    if (e)
        return call_manager_error(call, error, path);
    return call_on(call, "Passthru") ? put_image(call, path) : FLOW_NEXT;
}

static enum flow resize_one(struct call *call, const char *path)
{
    struct error error;
    s64 size = 0;
    call_number(call, "SizeBytes", &size);
    int e = disk_resize(call->shell->store, path, (u64)size, false, &error);
    return passthru(call, e, &error, path);
}

static enum flow resize_image(struct call *call)
{
    return images_each(call, resize_one);
}

static enum flow optimize_one(struct call *call, const char *path)
{
    struct error error;
    u64 before, after;
    int e = disk_compact(call->shell->store, path, NULL, &before, &after, &error);
    return passthru(call, e, &error, path);
}

static enum flow optimize_image(struct call *call)
{
    return images_each(call, optimize_one);
}

static enum flow convert_one(struct call *call, const char *path)
{
    char *to = script_path(call_text(call, "DestinationPath"));
    struct error error;
    int e = disk_convert(call->shell->store, path, to, NULL, NULL, &error);
    enum flow flow = passthru(call, e, &error, to);
    free(to);
    return flow;
}

static enum flow convert_image(struct call *call)
{
    return images_each(call, convert_one);
}

static enum flow merge_one(struct call *call, const char *path)
{
    const char *into = call_text(call, "DestinationPath");
    char *to = into ? script_path(into) : NULL;
    struct error error;
    int e = disk_merge(call->shell->store, path, to, NULL, &error);
    free(to);
    return e ? call_manager_error(call, &error, path) : FLOW_NEXT;
}

static enum flow merge_image(struct call *call)
{
    return images_each(call, merge_one);
}

static enum flow test_one(struct call *call, const char *path)
{
    struct error error;
    json_t *report;
    if (disk_check(call->shell->store, path, false, &report, &error))
        return call_manager_error(call, &error, path);
    bool good = !json_integer_value(json_object_get(report, "corruptions")) &&
                !json_integer_value(json_object_get(report, "failures"));
    json_decref(report);
    return call_put(call, value_bool(good));
}

static enum flow test_image(struct call *call)
{
    return images_each(call, test_one);
}

/* clang-format off */
#define OBJECTS(parameter, type) \
    {parameter, PARAMETER_OBJECT, MANDATORY | BY_VALUE, 1, .words = type, .sets = BIT(2), \
     .help = "drives from the pipeline"}
#define PLACE \
    {"ControllerType", PARAMETER_CHOICE, 0, 2, .words = "IDE|SCSI|VIRTIO|SATA|NVME|LSI", .help = "the bus"}, \
    {"ControllerNumber", PARAMETER_NUMBER, 0, 3, .most = 1000, .help = "which controller"}, \
    {"ControllerLocation", PARAMETER_NUMBER, 0, 4, .most = 1000, .help = "the place at it"}
static const struct parameter get_disk_parameters[] = {VMS_OF_PARTS(1), PLACE, {0}};
static const struct parameter add_disk_parameters[] = {
    VMS_OF_PARTS(1), PLACE,
    {"Path", PARAMETER_TEXT, 0, 5, .setting = "path", .help = "an image that is there"},
    {"NewVHDSizeBytes", PARAMETER_NUMBER, .most = INT64_MAX, .help = "a new image of that size in the VM's folder"},
    {"MaximumIOPS", PARAMETER_NUMBER, .most = INT32_MAX, .help = "limit of requests per second; 0 is none"},
    {"Passthru", PARAMETER_SWITCH, .help = "puts the drives out"}, {0},
};
static const struct parameter set_disk_parameters[] = {
    VMS_OF_PARTS(1), OBJECTS("VMHardDiskDrive", "HardDiskDrive"), PLACE,
    {"Path", PARAMETER_TEXT, 0, 5, .setting = "path", .help = "another image"},
    {"ToControllerType", PARAMETER_CHOICE, .words = "IDE|SCSI|VIRTIO|SATA|NVME|LSI", .setting = "bus",
     .help = "another bus"},
    {"ToControllerNumber", PARAMETER_NUMBER, .setting = "controller", .help = "another controller"},
    {"ToControllerLocation", PARAMETER_NUMBER, .setting = "location", .help = "another place"},
    {"MaximumIOPS", PARAMETER_NUMBER, .setting = "iops-maximum", .help = "limit of requests per second; 0 is none"},
    {0},
};
static const struct parameter set_cd_parameters[] = {
    VMS_OF_PARTS(1), OBJECTS("VMDvdDrive", "DvdDrive"), PLACE,
    {"Path", PARAMETER_ANY, 0, 5, .setting = "path", .help = "the image of a CD; $null takes it out"}, {0},
};
#define IMAGES {"Path", PARAMETER_TEXTS, MANDATORY | BY_VALUE | BY_NAME, 1, .help = "images"}
#define IMAGE_PASSTHRU {"Passthru", PARAMETER_SWITCH, .help = "puts the image out"}
static const struct parameter get_image_parameters[] = {IMAGES, {0}};
static const struct parameter new_image_parameters[] = {
    {"Path", PARAMETER_TEXTS, MANDATORY | BY_VALUE | BY_NAME, 1,
     .help = "the file; its ending is the format: .qcow2, .raw, .vhdx, .vhd"},
    {"SizeBytes", PARAMETER_NUMBER, MANDATORY, 2, .most = INT64_MAX, .sets = BIT(0), .help = "how large the disk is"},
    {"Dynamic", PARAMETER_SWITCH, .sets = BIT(0), .help = "it grows with what is written, as without it"},
    {"ParentPath", PARAMETER_TEXT, MANDATORY, 2, .sets = BIT(1),
     .help = "an image that it stands on, and that stays as it is"},
    {"Differencing", PARAMETER_SWITCH, .sets = BIT(1), .help = "it keeps only what differs from that"}, {0},
};
static const struct parameter resize_image_parameters[] = {
    IMAGES, {"SizeBytes", PARAMETER_NUMBER, MANDATORY, 2, .most = INT64_MAX, .help = "how large the disk becomes"},
    IMAGE_PASSTHRU, {0},
};
static const struct parameter convert_image_parameters[] = {
    IMAGES,
    {"DestinationPath", PARAMETER_TEXT, MANDATORY, 2, .help = "the new file; its ending is the format"},
    IMAGE_PASSTHRU, {0},
};
static const struct parameter merge_image_parameters[] = {
    IMAGES, {"DestinationPath", PARAMETER_TEXT, 0, 2, .help = "the image that it stands on"}, {0},
};
static const struct parameter optimize_image_parameters[] = {IMAGES, IMAGE_PASSTHRU, {0}};
static const struct parameter remove_disk_parameters[] = {
    VMS_OF_PARTS(1), OBJECTS("VMHardDiskDrive", "HardDiskDrive"), PLACE, {0}};
static const struct parameter add_cd_parameters[] = {
    VMS_OF_PARTS(1), PLACE,
    {"Path", PARAMETER_TEXT, 0, 5, .setting = "path", .help = "the image of a CD; without it the drive is empty"},
    {"Passthru", PARAMETER_SWITCH, .help = "puts the drives out"}, {0},
};
static const struct parameter remove_cd_parameters[] = {
    VMS_OF_PARTS(1), OBJECTS("VMDvdDrive", "DvdDrive"), PLACE, {0}};
const struct cmdlet cmdlets_disk[] = {
    {"Get-VMHardDiskDrive", NULL, get_disk_parameters, .process = get, .summary = "Lists disks of VMs",
     .gives = "HardDiskDrive",
     .examples = "Get-VMHardDiskDrive lab\n"
                 "Get-VMHardDiskDrive * | Select-Object VMName, Path, FileSize"},
    {"Add-VMHardDiskDrive", NULL, add_disk_parameters, IMPACT_MEDIUM, .process = add,
     .summary = "Adds a disk to VMs",
     .examples = "Add-VMHardDiskDrive lab SCSI -NewVHDSizeBytes 20GB\n"
                 "Add-VMHardDiskDrive lab -Path ./data.qcow2"},
    {"Set-VMHardDiskDrive", NULL, set_disk_parameters, IMPACT_MEDIUM, .process = set_drives,
     .summary = "Changes disks of VMs: their image, their place, their limit",
     .examples = "Get-VMHardDiskDrive lab | Set-VMHardDiskDrive -MaximumIOPS 500"},
    {"Remove-VMHardDiskDrive", NULL, remove_disk_parameters, IMPACT_MEDIUM, .process = remove_drives,
     .summary = "Takes disks from VMs; their images stay",
     .examples = "Remove-VMHardDiskDrive lab SCSI 0 1"},
    {"Get-VMDvdDrive", NULL, get_disk_parameters, .process = get, .summary = "Lists CD drives of VMs",
     .gives = "DvdDrive",
     .examples = "Get-VMDvdDrive lab"},
    {"Add-VMDvdDrive", NULL, add_cd_parameters, IMPACT_MEDIUM, .process = add, .summary = "Adds a CD drive to VMs",
     .examples = "Add-VMDvdDrive lab -Path ./debian.iso"},
    {"Set-VMDvdDrive", NULL, set_cd_parameters, IMPACT_MEDIUM, .process = set_drives,
     .summary = "Changes the medium in CD drives of VMs",
     .examples = "Set-VMDvdDrive lab -Path ./debian.iso\n"
                 "Set-VMDvdDrive lab -Path $null"},
    {"Remove-VMDvdDrive", NULL, remove_cd_parameters, IMPACT_MEDIUM, .process = remove_drives,
     .summary = "Takes CD drives from VMs",
     .examples = "Remove-VMDvdDrive lab"},
    {"Get-VHD", NULL, get_image_parameters, .process = get_image, .summary = "Shows images of disks",
     .gives = "VirtualHardDisk",
     .examples = "Get-VHD ./data.qcow2"},
    {"New-VHD", NULL, new_image_parameters, IMPACT_MEDIUM, .process = new_image,
     .summary = "Makes an image of a disk that belongs to no VM", .gives = "VirtualHardDisk",
     .examples = "New-VHD ./data.qcow2 20GB\n"
                 "New-VHD ./child.qcow2 -ParentPath ./data.qcow2 -Differencing"},
    {"Resize-VHD", NULL, resize_image_parameters, IMPACT_MEDIUM, .process = resize_image,
     .summary = "Makes images of disks larger",
     .examples = "Resize-VHD ./data.qcow2 40GB"},
    {"Convert-VHD", NULL, convert_image_parameters, IMPACT_MEDIUM, .process = convert_image,
     .summary = "Writes an image in another format",
     .examples = "Convert-VHD ./data.vhdx ./data.qcow2"},
    {"Merge-VHD", NULL, merge_image_parameters, IMPACT_HIGH, .process = merge_image,
     .summary = "Writes images into those that they stand on, and removes them",
     .examples = "Merge-VHD ./over.qcow2 -Confirm:$false"},
    {"Optimize-VHD", NULL, optimize_image_parameters, IMPACT_MEDIUM, .process = optimize_image,
     .summary = "Gives room back that images have and their disks do not use",
     .examples = "Optimize-VHD ./data.qcow2"},
    {"Test-VHD", NULL, get_image_parameters, .process = test_image,
     .summary = "Returns whether images are without damage",
     .examples = "Test-VHD ./data.qcow2"},
    {0},
};
/* clang-format on */
