/*
 * Disks and CD drives of VMs, and images.
 */
#include "manager/disk.h"

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

static bool is_cd(const struct call *call)
{
    return strstr(call->name, "Dvd") != NULL;
}

static const char *type_of(const struct call *call)
{
    return is_cd(call) ? "DvdDrive" : "HardDiskDrive";
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
            struct value *v = model_object(&call->shell->heap, type_of(call), drive_rows, one);
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
    struct value *v = model_object(&call->shell->heap, type_of(call), drive_rows, object);
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

static enum flow remove_drives(struct call *call)
{
    struct value *all;
    struct error error;
    enum flow flow = drives(call, &all);
    bool go;
    for (size_t i = 0; i < all->array.count && flow == FLOW_NEXT; i++) {
        const struct value *vm = object_get(all->array.item[i], "VMName"), *id = object_get(all->array.item[i], "Id");
        char title[160];
        snprintf(title, sizeof(title), "%s/%s", vm->kind == VALUE_TEXT ? vm->text : "",
                 id->kind == VALUE_TEXT ? id->text : "");
        flow = call_should(call, title, &go);
        if (flow == FLOW_NEXT && go && !model_store(call, &flow))
            return flow;
        if (flow == FLOW_NEXT && go && disk_remove(call->shell->store, title, false, &error))
            flow = call_manager_error(call, &error, title);
    }
    return flow;
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
     .gives = "HardDiskDrive"},
    {"Add-VMHardDiskDrive", NULL, add_disk_parameters, IMPACT_MEDIUM, .process = add,
     .summary = "Adds a disk to VMs"},
    {"Remove-VMHardDiskDrive", NULL, remove_disk_parameters, IMPACT_MEDIUM, .process = remove_drives,
     .summary = "Takes disks from VMs; their images stay"},
    {"Get-VMDvdDrive", NULL, get_disk_parameters, .process = get, .summary = "Lists CD drives of VMs",
     .gives = "DvdDrive"},
    {"Add-VMDvdDrive", NULL, add_cd_parameters, IMPACT_MEDIUM, .process = add, .summary = "Adds a CD drive to VMs"},
    {"Remove-VMDvdDrive", NULL, remove_cd_parameters, IMPACT_MEDIUM, .process = remove_drives,
     .summary = "Takes CD drives from VMs"},
    {0},
};
/* clang-format on */
