/*
 * VMs: listed, created, changed, renamed, deleted.
 */
#include "manager/card.h"
#include "manager/checkpoint.h"
#include "manager/image.h"
#include "manager/vm.h"

#include "shell/model.h"
#include "shell/vms.h"

#include "rules/vm_settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* clang-format off */
static const struct property_row vm_rows[] = {
    {"ParentCheckpointId", PROPERTY_VALUE, "checkpoint"},
    {"ParentCheckpointName", PROPERTY_NOTHING},
    {"VMName", PROPERTY_VALUE, "name"},
    {"VMId", PROPERTY_VALUE, "id"},
    {"CheckpointFileLocation", PROPERTY_VALUE, "path"},
    {"ConfigurationLocation", PROPERTY_VALUE, "path"},
    {"SmartPagingFileInUse", PROPERTY_FALSE},
    {"SnapshotFileLocation", PROPERTY_VALUE, "path"},
    {"AutomaticStartAction", PROPERTY_WORD, "auto-start", "Nothing|StartIfRunning|Start"},
    {"AutomaticStartDelay", PROPERTY_DIVIDED, "start-delay", .constant = 1000},
    {"AutomaticStopAction", PROPERTY_WORD, "auto-stop", "TurnOff|Save|ShutDown"},
    {"AutomaticCriticalErrorAction", PROPERTY_WORD, "error-action", "None|Pause"},
    {"AutomaticCriticalErrorActionTimeout", PROPERTY_DIVIDED, "error-timeout", .constant = 60000},
    {"AutomaticCheckpointsEnabled", PROPERTY_FALSE},
    {"CPUUsage", PROPERTY_NUMBER, .constant = 0},
    {"MemoryAssigned", PROPERTY_NUMBER, .constant = 0},
    {"MemoryDemand", PROPERTY_NUMBER, .constant = 0},
    {"MemoryStatus", PROPERTY_NOTHING},
    {"NumaAligned", PROPERTY_NOTHING},
    {"NumaNodesCount", PROPERTY_NUMBER, .constant = 1},
    {"NumaSocketCount", PROPERTY_NUMBER, .constant = 1},
    {"Heartbeat", PROPERTY_NOTHING},
    {"Uptime", PROPERTY_CONSTANT, .words = "00:00:00"},
    {"OperationalStatus", PROPERTY_LIST, .words = "Ok"},
    {"PrimaryOperationalStatus", PROPERTY_CONSTANT, .words = "Ok"},
    {"SecondaryOperationalStatus", PROPERTY_NOTHING},
    {"StatusDescriptions", PROPERTY_NOTHING},
    {"PrimaryStatusDescription", PROPERTY_NOTHING},
    {"SecondaryStatusDescription", PROPERTY_NOTHING},
    {"Status", PROPERTY_CONSTANT, .words = "Operating normally"},
    {"ReplicationHealth", PROPERTY_CONSTANT, .words = "NotApplicable"},
    {"ReplicationMode", PROPERTY_CONSTANT, .words = "None"},
    {"ReplicationState", PROPERTY_CONSTANT, .words = "Disabled"},
    {"ResourceMeteringEnabled", PROPERTY_TRUE, "metering"},
    {"CheckpointType", PROPERTY_WORD, "checkpoints", "Disabled|ProductionOnly|Production|Standard"},
    {"Groups", PROPERTY_LIST, .words = ""},
    {"Version", PROPERTY_VALUE, "configuration"},
    {"VirtualMachineType", PROPERTY_CONSTANT, .words = "RealizedVirtualMachine"},
    {"VirtualMachineSubType", PROPERTY_NOTHING},
    {"Notes", PROPERTY_VALUE, "notes"},
    {"State", PROPERTY_VALUE, "state"},
    {"DVDDrives", PROPERTY_LIST, .words = ""},
    {"FibreChannelHostBusAdapters", PROPERTY_LIST, .words = ""},
    {"FloppyDrive", PROPERTY_NOTHING},
    {"HardDrives", PROPERTY_LIST, .words = ""},
    {"DynamicMemoryEnabled", PROPERTY_VALUE, "dynamic-memory"},
    {"MemoryMaximum", PROPERTY_VALUE, "memory-maximum"},
    {"MemoryMinimum", PROPERTY_VALUE, "memory-minimum"},
    {"MemoryStartup", PROPERTY_VALUE, "memory"},
    {"ProcessorCount", PROPERTY_VALUE, "cpus"},
    {"Generation", PROPERTY_VALUE, "generation"},
    {"IsClustered", PROPERTY_FALSE},
    {"ParentSnapshotId", PROPERTY_VALUE, "checkpoint"},
    {"ParentSnapshotName", PROPERTY_NOTHING},
    {"Path", PROPERTY_VALUE, "path"},
    {"CreationTime", PROPERTY_NOTHING},
    {"Id", PROPERTY_VALUE, "id"},
    {"Name", PROPERTY_VALUE, "name"},
    {"NetworkAdapters", PROPERTY_LIST, .words = ""},
    {"ComputerName", PROPERTY_HOST},
    {"IsDeleted", PROPERTY_FALSE},
    /* what Hyper-V has not */
    {"NestedHypervisorActive", PROPERTY_VALUE, "hypervisor_active"},
    {"Accelerator", PROPERTY_VALUE, "accelerator"},
    {0},
};
/* clang-format on */

/* Adds its drives, each to the property of its kind. */
static void put_drives(struct heap *heap, struct value *v, const json_t *vm)
{
    struct value *disks = value_array(heap), *cds = value_array(heap);
    const json_t *one;
    size_t index;
    json_array_foreach (json_object_get(vm, "disks"), index, one) {
        const char *kind = model_text(json_object_get(one, "settings"), "kind");
        struct value *drive = drive_object(heap, vm, one);
        if (text_same(kind, "floppy"))
            object_set(v, "FloppyDrive", drive);
        else
            array_add(text_same(kind, "cd") ? cds : disks, drive);
    }
    object_set(v, "HardDrives", disks);
    object_set(v, "DVDDrives", cds);
}

struct value *vm_object(struct heap *heap, const json_t *json)
{
    struct value *v = model_object(heap, "VirtualMachine", vm_rows, json), *cards = value_array(heap);
    const json_t *memory = json_object_get(json, "memory"), *agent = json_object_get(json, "agent"), *one;
    const json_t *problem = json_object_get(json, "problem");
    const json_t *uptime = json_object_get(json, "uptime_ms");
    time_t created = (time_t)json_integer_value(json_object_get(json, "created"));
    char text[40];
    struct tm tm;
    size_t index;
    bool runs = !text_listed("Off|Saved", model_text(json, "state"));
    if (runs)
        object_set(v, "MemoryAssigned", value_number(heap, json_integer_value(memory)));
    if (runs)
        object_set(v, "CPUUsage", value_number(heap, json_integer_value(json_object_get(json, "cpu_usage"))));
    if (runs && json_object_get(json, "memory_demand")) {
        const char *status = model_text(json, "memory_status");
        object_set(v, "MemoryDemand", value_number(heap, json_integer_value(json_object_get(json, "memory_demand"))));
        object_set(v, "MemoryStatus", value_text(heap, text_same(status, "ok") ? "OK" : status));
    }
    if (runs && uptime)
        object_set(v, "Uptime", value_duration(heap, json_integer_value(uptime) / 1000));
    if (runs)
        object_set(
            v, "Heartbeat",
            value_text(heap, json_is_true(json_object_get(agent, "ready")) ? "OkApplicationsUnknown" : "NoContact"));
    if (json_is_object(problem))
        object_set(v, "Status", value_text(heap, model_text(problem, "text")));
    object_set(v, "PrimaryStatusDescription", object_get(v, "Status"));
    struct value *descriptions = value_array(heap);
    array_add(descriptions, object_get(v, "Status"));
    object_set(v, "StatusDescriptions", descriptions);
    snprintf(text, sizeof(text), "Generation%lld",
             (long long)json_integer_value(json_object_get(json_object_get(json, "settings"), "generation")));
    object_set(v, "VirtualMachineSubType", value_text(heap, text));
    put_drives(heap, v, json);
    json_array_foreach (json_object_get(json, "nics"), index, one)
        array_add(cards, card_object(heap, one));
    object_set(v, "NetworkAdapters", cards);
    localtime_r(&created, &tm);
    strftime(text, sizeof(text), "%m/%d/%Y %H:%M:%S", &tm);
    object_set(v, "CreationTime", value_text(heap, text));
    return v;
}

/* -- finding -- */

static const char *name_parameter(const struct call *call)
{
    return call_argument(call, "VMName") ? "VMName" : call_argument(call, "Id") ? "Id" : "Name";
}

/* Is the VM one of those that were asked for? */
static bool is_wanted(struct call *call, const json_t *vm)
{
    const struct value *given = call_argument(call, "VM");
    const char *name = model_text(vm, "name");
    size_t count = call_count(call, "VM");
    for (size_t i = 0; i < count; i++) {
        const struct value *one = given->kind == VALUE_ARRAY ? given->array.item[i] : given;
        const struct value *own = object_get(one, "VMName");
        if (own && own->kind == VALUE_TEXT && text_same(own->text, name))
            return true;
    }
    return !count && (model_wanted(call, name_parameter(call), name) ||
                      model_wanted(call, name_parameter(call), model_text(vm, "id")));
}

static enum flow complain_missing(struct call *call, const json_t *vms)
{
    const char *parameter = name_parameter(call);
    bool lists = text_same(call->name, "Get-VM");
    for (size_t i = 0; i < call_count(call, parameter); i++) {
        const char *name = call_at(call, parameter, i);
        bool any = text_has_wildcards(name);
        size_t index;
        json_t *vm;
        json_array_foreach ((json_t *)(uintptr_t)vms, index, vm)
            any |= text_same(model_text(vm, "name"), name) || text_same(model_text(vm, "id"), name);
        if (any)
            continue;
        enum flow flow = call_error_with(call, lists ? INVALID_ARGUMENT : OBJECT_NOT_FOUND,
                                         lists ? "InvalidParameter" : "ObjectNotFound", name,
                                         "Get-VM lists what there is", "there is no VM '%s'", name);
        if (flow != FLOW_NEXT)
            return flow;
    }
    return FLOW_NEXT;
}

enum flow vms_find(struct call *call, json_t **vms)
{
    struct error error;
    json_t *list, *vm;
    enum flow flow;
    size_t index;
    *vms = json_array();
    struct store *store = model_store(call, &flow);
    if (!store)
        return flow;
    if (vm_list(store, NULL, &list, &error))
        return call_manager_error(call, &error, NULL);
    json_array_foreach (list, index, vm)
        if (is_wanted(call, vm))
            json_array_append(*vms, vm);
    json_decref(list);
    return complain_missing(call, *vms);
}

enum flow vms_put(struct call *call, struct value *(*object)(struct heap *heap, const json_t *json))
{
    json_t *vms, *vm;
    size_t index;
    enum flow flow = vms_find(call, &vms);
    json_array_foreach (vms, index, vm)
        if (flow == FLOW_NEXT)
            flow = call_put(call, object(&call->shell->heap, vm));
    json_decref(vms);
    return flow;
}

static enum flow put_now(struct call *call, const char *name,
                         struct value *(*object)(struct heap *heap, const json_t *json))
{
    struct error error;
    json_t *vm;
    if (vm_show(call->shell->store, name, &vm, &error))
        return call_manager_error(call, &error, name);
    struct value *v = object(&call->shell->heap, vm);
    json_decref(vm);
    return call_put(call, v);
}

enum flow vm_put(struct call *call, const char *name)
{
    return put_now(call, name, vm_object);
}

enum flow vms_each(struct call *call, enum flow (*one)(struct call *call, const char *name),
                   struct value *(*object)(struct heap *heap, const json_t *json))
{
    json_t *vms, *vm;
    size_t index;
    bool go, failed = false;
    enum flow flow = vms_find(call, &vms);
    json_array_foreach (vms, index, vm) {
        const char *name = model_text(vm, "name");
        failed |= call->failed;
        call->failed = false;
        if (flow == FLOW_NEXT)
            flow = call_should(call, name, &go);
        if (flow != FLOW_NEXT || !go)
            continue;
        flow = one(call, name);
        if (flow == FLOW_NEXT && object && !call->failed && call_on(call, "Passthru"))
            flow = put_now(call, name, object);
    }
    call->failed |= failed;
    json_decref(vms);
    return flow;
}

static enum flow change_one(struct call *call, const char *name)
{
    struct model_change change;
    struct error error;
    model_change(&change, call, vm_settings_table);
    return model_changes(call) && vm_set(call->shell->store, name, &change.change, &error)
               ? call_manager_error(call, &error, name)
               : FLOW_NEXT;
}

/* A change to one setting. */
struct one_setting {
    struct change change;
    const char *name, *value;
};

static int apply_one(const struct change *change, void *settings, struct error *error)
{
    const struct one_setting *one = container_of(change, struct one_setting, change);
    return setting_parse(setting_find(vm_settings_table, one->name, strlen(one->name)), one->value, settings, error);
}

static enum flow set_setting(struct call *call, const char *name)
{
    struct error error;
    const struct one_setting *one = call->state;
    return vm_set(call->shell->store, name, &one->change, &error) ? call_manager_error(call, &error, name) : FLOW_NEXT;
}

enum flow vms_set(struct call *call, const char *setting, const char *value,
                  struct value *(*object)(struct heap *heap, const json_t *json))
{
    struct one_setting *one = call->state ? call->state : memory_get(sizeof(*one));
    *one = (struct one_setting){{apply_one}, setting, value};
    call->state = one;
    return vms_each(call, set_setting, object);
}

enum flow vms_change(struct call *call, struct value *(*object)(struct heap *heap, const json_t *json))
{
    return vms_each(call, change_one, object);
}

/* -- cmdlets -- */

static enum flow add_cards(struct call *call, json_t *vms)
{
    struct error error;
    json_t *nics, *nic, *vm;
    size_t i, j;
    if (!json_array_size(vms))
        return FLOW_NEXT;
    if (nic_list(call->shell->store, NULL, &nics, &error))
        return call_manager_error(call, &error, NULL);
    json_array_foreach (vms, i, vm) {
        json_t *own = json_array();
        json_array_foreach (nics, j, nic)
            if (text_same(model_text(nic, "vm"), model_text(vm, "name")))
                json_array_append(own, nic);
        json_object_set_new(vm, "nics", own);
    }
    json_decref(nics);
    return FLOW_NEXT;
}

/* The name of the checkpoint that a VM stands on. */
static void put_parent(struct call *call, const json_t *vm, struct value *v)
{
    const char *id = model_text(vm, "checkpoint");
    struct error ignored;
    json_t *list, *one;
    size_t index;
    if (!*id || checkpoint_list(call->shell->store, model_text(vm, "name"), &list, &ignored))
        return;
    json_array_foreach (list, index, one)
        if (strcmp(model_text(one, "id"), id) == 0) {
            object_set(v, "ParentCheckpointName", value_text(&call->shell->heap, model_text(one, "name")));
            object_set(v, "ParentSnapshotName", value_text(&call->shell->heap, model_text(one, "name")));
        }
    json_decref(list);
}

static enum flow get(struct call *call)
{
    json_t *vms, *vm;
    size_t index;
    enum flow flow = vms_find(call, &vms);
    if (flow == FLOW_NEXT)
        flow = add_cards(call, vms);
    json_array_foreach (vms, index, vm) {
        if (flow != FLOW_NEXT)
            break;
        struct value *v = vm_object(&call->shell->heap, vm);
        put_parent(call, vm, v);
        flow = call_put(call, v);
    }
    json_decref(vms);
    return flow;
}

/* The disk that New-VM asks for. Texts in `text` stay as long as it is used. */
static int new_disk(struct call *call, struct store *store, struct vm_new *new, json_t **image, struct error *error)
{
    const char *path = call_text(call, "VHDPath"), *name = call_text(call, "Image");
    struct disk_new *disk = &new->disk[0];
    s64 size;
    *image = NULL;
    disk_new_init(disk);
    if (call_number(call, "NewVHDSizeBytes", &size))
        disk->size = (u64)size;
    else if (path)
        disk->def.path = path;
    else if (!name)
        return 0;
    new->disks = 1;
    if (!name)
        return 0;
    int e = image_show(store, name, image, error);
    if (e)
        return e;
    disk->base = json_string_value(json_object_get(*image, "path"));
    disk->base_format = json_string_value(json_object_get(*image, "format"));
    return 0;
}

static enum flow create(struct call *call)
{
    const char *name = call_text(call, "Name");
    struct error error;
    json_t *image = NULL;
    enum flow flow;
    bool go;
    struct store *store = model_store(call, &flow);
    if (!store)
        return flow;
    name = name ? name : "New-virtual-machine";
    flow = call_should(call, name, &go);
    if (flow != FLOW_NEXT || !go)
        return flow;
    struct vm_new *new = memory_get(sizeof(*new));
    setting_defaults(vm_settings_table, &new->def.set);
    new->def.set.generation = 1; /* as Hyper-V has it without -Generation */
    new->def.set.memory = 512ull << 20;
    int e = name_check("a VM", name, &error);
    if (!e)
        e = model_apply(call, vm_settings_table, &new->def.set, &error);
    if (!e)
        e = new_disk(call, store, new, &image, &error);
    if (!e) {
        snprintf(new->def.name, sizeof(new->def.name), "%s", name);
        new->switch_name = call_text(call, "SwitchName");
        e = vm_create(store, new, NULL, &error);
    }
    json_decref(image);
    free(new);
    return e ? call_manager_error(call, &error, name) : vm_put(call, name);
}

static enum flow rename_to(struct call *call, const char *name, const char *to)
{
    struct error error;
    if (vm_rename(call->shell->store, name, to, &error))
        return call_manager_error(call, &error, name);
    return call_on(call, "Passthru") ? vm_put(call, to) : FLOW_NEXT;
}

static enum flow set_one(struct call *call, const char *name)
{
    const char *to = call_text(call, "NewVMName");
    enum flow flow = change_one(call, name);
    if (flow != FLOW_NEXT || call->failed)
        return flow;
    return to ? rename_to(call, name, to) : call_on(call, "Passthru") ? vm_put(call, name) : FLOW_NEXT;
}

static enum flow set(struct call *call)
{
    if (call_on(call, "StaticMemory") && call_on(call, "DynamicMemory"))
        return call_error_with(call, INVALID_ARGUMENT, "AmbiguousParameterSet", "DynamicMemory", "give one of them",
                               "-StaticMemory and -DynamicMemory exclude each other");
    return vms_each(call, set_one, NULL);
}

static enum flow rename_one(struct call *call, const char *name)
{
    return rename_to(call, name, call_text(call, "NewName"));
}

static enum flow remove_one(struct call *call, const char *name)
{
    struct error error;
    return vm_delete(call->shell->store, name, &error) ? call_manager_error(call, &error, name) : FLOW_NEXT;
}

static enum flow update_one(struct call *call, const char *name)
{
    struct error error;
    if (vm_update(call->shell->store, name, &error))
        return call_manager_error(call, &error, name);
    return call_on(call, "Passthru") ? vm_put(call, name) : FLOW_NEXT;
}

static enum flow update_vm(struct call *call)
{
    if (call_on(call, "Force"))
        call->yes_to_all = true;
    return vms_each(call, update_one, NULL);
}

static enum flow rename_vm(struct call *call)
{
    return vms_each(call, rename_one, NULL);
}

static enum flow remove_vm(struct call *call)
{
    if (call_on(call, "Force"))
        call->yes_to_all = true;
    return vms_each(call, remove_one, NULL);
}

/* clang-format off */
static const struct parameter get_parameters[] = {
    {"Name", PARAMETER_TEXTS, BY_VALUE | BY_NAME, 1, .aliases = "VMName", .sets = BIT(0),
     .help = "which, with wildcards"},
    {"Id", PARAMETER_TEXTS, BY_NAME, .aliases = "VMId", .sets = BIT(1), .help = "by their ids"}, {0},
};
static const struct parameter new_parameters[] = {
    {"Name", PARAMETER_TEXT, BY_NAME, 1, .aliases = "VMName", .help = "the name; New-virtual-machine without it"},
    {"MemoryStartupBytes", PARAMETER_NUMBER, 0, 2, .setting = "memory", .help = "its memory; 512MB without it"},
    {"Generation", PARAMETER_NUMBER, 0, 3, .least = 1, .most = 2, .setting = "generation",
     .help = "1 has a BIOS, 2 has UEFI; 1 without it"},
    {"NoVHD", PARAMETER_SWITCH, .sets = BIT(0), .help = "without a disk, as without any of these"},
    {"NewVHDSizeBytes", PARAMETER_NUMBER, MANDATORY, .least = 1 << 20, .most = INT64_MAX, .sets = BIT(1),
     .help = "a new disk of that size"},
    {"VHDPath", PARAMETER_TEXT, MANDATORY, .sets = BIT(2), .help = "a disk that is there"},
    {"Image", PARAMETER_TEXT, MANDATORY, .sets = BIT(3), .help = "a disk that stands on one of nestbox image list"},
    {"SwitchName", PARAMETER_TEXT, .setting = "switch", .help = "a network card at that switch"}, {0},
};
static const struct parameter set_parameters[] = {
    VMS_BY_NAME,
    {"ProcessorCount", PARAMETER_NUMBER, .setting = "cpus", .help = "how many CPUs"},
    {"StaticMemory", PARAMETER_SWITCH, .setting = "dynamic-memory", .unit = INVERTED, .help = "memory stays as it is"},
    {"DynamicMemory", PARAMETER_SWITCH, .setting = "dynamic-memory", .help = "memory follows what the guest needs"},
    {"MemoryStartupBytes", PARAMETER_NUMBER, .setting = "memory", .help = "memory at the start"},
    {"MemoryMinimumBytes", PARAMETER_NUMBER, .setting = "memory-minimum", .help = "least of dynamic memory"},
    {"MemoryMaximumBytes", PARAMETER_NUMBER, .setting = "memory-maximum", .help = "most of dynamic memory"},
    {"AutomaticStartAction", PARAMETER_CHOICE, .words = "Nothing|StartIfRunning|Start", .setting = "auto-start",
     .help = "what happens when the host starts"},
    {"AutomaticStartDelay", PARAMETER_NUMBER, .setting = "start-delay", .unit = 1000, .help = "seconds before that"},
    {"AutomaticStopAction", PARAMETER_CHOICE, .words = "TurnOff|Save|ShutDown", .setting = "auto-stop",
     .help = "what happens when the host stops"},
    {"AutomaticCriticalErrorAction", PARAMETER_CHOICE, .words = "None|Pause", .setting = "error-action",
     .help = "what an error of a disk does"},
    {"AutomaticCriticalErrorActionTimeout", PARAMETER_NUMBER, .setting = "error-timeout", .unit = 60000,
     .help = "minutes that it waits for the disk"},
    {"CheckpointType", PARAMETER_CHOICE, .words = "Disabled|ProductionOnly|Production|Standard",
     .setting = "checkpoints", .help = "what a checkpoint has"},
    {"Notes", PARAMETER_TEXT, .setting = "notes", .help = "a text of your own"},
    {"NewVMName", PARAMETER_TEXT, .help = "another name"},
    {"Passthru", PARAMETER_SWITCH, .help = "puts the VMs out"}, {0},
};
static const struct parameter rename_parameters[] = {
    VMS_BY_NAME,
    {"NewName", PARAMETER_TEXT, MANDATORY, 2, .help = "the new name"},
    {"Passthru", PARAMETER_SWITCH, .help = "puts the VM out"}, {0},
};
static const struct parameter update_parameters[] = {
    VMS_BY_NAME, {"Force", PARAMETER_SWITCH, .help = "asks nothing"},
    {"Passthru", PARAMETER_SWITCH, .help = "puts the VM out"}, {0},
};
static const struct parameter remove_parameters[] = {
    VMS_BY_NAME, {"Force", PARAMETER_SWITCH, .help = "asks nothing"}, {0},
};
const struct cmdlet cmdlets_vm[] = {
    {"Get-VM", NULL, get_parameters, .process = get, .summary = "Lists VMs", .gives = "VirtualMachine",
     .examples = "Get-VM\n"
                 "Get-VM lab | Format-List *\n"
                 "Get-VM | Where-Object State -eq Running\n"
                 "(Get-VM lab).NetworkAdapters.IPAddresses"},
    {"New-VM", NULL, new_parameters, IMPACT_MEDIUM, .process = create, .summary = "Creates a VM",
     .gives = "VirtualMachine",
     .examples = "New-VM lab 2GB -Generation 2 -Image debian -SwitchName lab\n"
                 "New-VM old -NewVHDSizeBytes 20GB"},
    {"Set-VM", NULL, set_parameters, IMPACT_MEDIUM, .process = set, .summary = "Changes VMs",
     .examples = "Set-VM lab -ProcessorCount 4 -StaticMemory -MemoryStartupBytes 4GB\n"
                 "Set-VM lab -AutomaticStopAction ShutDown -Notes \"for the course\""},
    {"Rename-VM", NULL, rename_parameters, IMPACT_MEDIUM, .process = rename_vm, .summary = "Renames a VM",
     .examples = "Rename-VM lab lab1"},
    {"Update-VMVersion", "Update-VMConfigurationVersion", update_parameters, IMPACT_HIGH, .process = update_vm,
     .summary = "Gives VMs that are off the newest configuration version of the host's profile",
     .examples = "Update-VMVersion lab -Force"},
    {"Remove-VM", NULL, remove_parameters, IMPACT_HIGH, .process = remove_vm,
     .summary = "Deletes VMs with what is in their folders",
     .examples = "Remove-VM lab -Force\n"
                 "Get-VM test* | Remove-VM -WhatIf"},
    {0},
};
/* clang-format on */
